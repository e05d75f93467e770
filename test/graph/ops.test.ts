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
  relativeError,
  runModel,
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

describe.each(Object.entries(opCases))("%s", (_kind, cases) => {
  describe.each(cases)("$what", ({ build, draw, valuesOnly, extremeTolerance = 1e-4 }) => {
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

    it("stays finite and right at extremes", async () => {
      const graph = new Graph();
      const y = build(graph);
      for (const extreme of [0, 1000, -1000]) {
        const feeds: Feeds = new Map(
          [...feedsFor(graph, draw)].map(([name, { shape, data }]) => [name, { shape, data: data.map(() => extreme) }]),
        );
        const expected = evaluate([y], feeds)[0]!.data;
        for (const block of layouts) {
          const got = (await runModel(lower({ result: y }, { target: { provider: "cpu", block } }), graph.values, feeds)).get("result")!;
          // Where float64 itself overflows or divides by zero there is nothing to compare; float32 exp overflows earlier.
          const comparable = expected.every((value) => Number.isFinite(value) && Math.abs(value) < 1e30);
          if (comparable) expect(relativeError(got, expected, 1), `at ${extreme}, block ${block}`).toBeLessThan(extremeTolerance);
          else expect(got.some((value) => !Number.isFinite(value) || Math.abs(value) >= 1e30)).toBe(true);
        }
      }
    });
  });
});
