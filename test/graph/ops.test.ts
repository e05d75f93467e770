import { describe, expect, it } from "vitest";
import { Random } from "../../src/core/random.ts";
import { mul, parameter, sum } from "../../src/graph/build.ts";
import { gradients } from "../../src/graph/gradients.ts";
import { Graph, type Value } from "../../src/graph/graph.ts";
import { evaluate } from "../../src/graph/reference.ts";
import { lower } from "../../src/onnx/lower.ts";
import {
  expectGradientsMatchDifferences,
  expectSameAsReference,
  type Feeds,
  layouts,
  randomTensor,
  runModelOnEach,
} from "../support/graphs.ts";
import { opCases } from "./op-cases.ts";

function feedsFor(graph: Graph, draw?: (random: Random) => number): Feeds {
  const random = new Random(5);
  const named = graph.values.filter(({ op }) => op.kind === "parameter" || op.kind === "input");
  return new Map(named.map(({ name, type }) => [name, randomTensor(random, type.shape as readonly number[], draw)]));
}

/** A scalar that depends on every element of y, each differently. */
function lossOf(y: Value): Value {
  return sum(mul(y, parameter(y.graph, "loss.weights", y.type.shape as readonly number[])));
}

/** Every parameter is one of these everywhere, or all of them in turn. */
const extremes = [[0], [1000], [-1000], [1000, -1000, 0]];

/** Beyond this float32 may have overflowed where float64 has not. */
const large = 1e30;

/**
 * The largest error: in units of the largest number expected, or of `unit` where that is larger. Where no number is expected (0 / 0, an
 * overflow), one is an error without bound.
 */
function extremeError(got: Float64Array, expected: Float64Array, unit: number): number {
  expect(got.length).toBe(expected.length);
  const isNumber = (value: number) => Math.abs(value) < large;
  const magnitude = expected.filter(isNumber).reduce((most, value) => Math.max(most, Math.abs(value)), unit);
  return expected.reduce((most, value, i) => {
    if (isNumber(value) !== isNumber(got[i]!)) return Number.POSITIVE_INFINITY;
    return isNumber(value) ? Math.max(most, Math.abs(got[i]! - value) / magnitude) : most;
  }, 0);
}

describe.each(Object.entries(opCases))("%s", (_kind, cases) => {
  describe.each(cases)("$what", ({ build, draw, valuesOnly, extremeUnits = { value: 1, gradient: 1 } }) => {
    it("gives the reference's values in every layout", async () => {
      const graph = new Graph();
      const y = build(graph);
      await expectSameAsReference({ result: y }, feedsFor(graph, draw), 2e-6);
    });

    it.skipIf(valuesOnly)("has gradients that match finite differences, in every layout and to the second order", async () => {
      const graph = new Graph();
      const y = build(graph);
      const wrt = graph.parameters();
      const loss = lossOf(y);
      const feeds = feedsFor(graph, draw);
      const slopes = gradients(loss, wrt);
      expectGradientsMatchDifferences(loss, wrt, slopes, feeds);
      await expectSameAsReference(Object.fromEntries(slopes.map((slope, i) => [`d${i}`, slope])), feeds, 1e-5);
      const random = new Random(6);
      const second = slopes
        .map((slope, i) => {
          const weights = parameter(graph, `second.weights${i}`, slope.type.shape as readonly number[]);
          feeds.set(weights.name, randomTensor(random, weights.type.shape as readonly number[]));
          return sum(mul(slope, weights));
        })
        .reduce((a, b) => graph.node({ kind: "binary", fn: "add" }, [a, b]));
      expectGradientsMatchDifferences(second, wrt, gradients(second, wrt), feeds, 1e-5);
    });

    it("is right at extremes, and so are its gradients", async () => {
      const graph = new Graph();
      const y = build(graph);
      const parameters = graph.parameters();
      const slopes = valuesOnly ? [] : gradients(lossOf(y), parameters);
      const outputs = { result: y, ...Object.fromEntries(slopes.map((slope, i) => [`gradient ${parameters[i]!.name}`, slope])) };
      const drawn = feedsFor(graph, draw);
      const cases = extremes.map(
        (values): Feeds =>
          new Map([...drawn].map(([name, { shape, data }]) => [name, { shape, data: data.map((_, i) => values[i % values.length]!) }])),
      );
      for (const block of layouts) {
        const results = await runModelOnEach(lower(outputs, { target: { provider: "cpu", block } }), graph.values, cases);
        for (const [k, feeds] of cases.entries()) {
          const expected = evaluate(Object.values(outputs), feeds);
          Object.keys(outputs).forEach((name, i) => {
            const unit = name === "result" ? extremeUnits.value : extremeUnits.gradient;
            const error = extremeError(results[k]!.get(name)!, expected[i]!.data, unit);
            expect(error, `${name} at ${extremes[k]}, block ${block}`).toBeLessThan(1e-4);
          });
        }
      }
    });
  });
});
