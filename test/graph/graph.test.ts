import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Random } from "../../src/core/random.ts";
import * as b from "../../src/graph/build.ts";
import { gradients } from "../../src/graph/gradients.ts";
import { Graph, type Value } from "../../src/graph/graph.ts";
import { evaluate } from "../../src/graph/reference.ts";
import { verify } from "../../src/graph/verify.ts";
import { expectGradientsMatchDifferences, expectSameAsReference, randomTensor } from "../support/graphs.ts";

describe("building a graph", () => {
  it("keeps a node that is equal to an earlier one once", () => {
    const graph = new Graph();
    const x = b.parameter(graph, "x", [2, 3]);
    expect(b.add(x, 1)).toBe(b.add(x, 1));
    expect(b.add(x, 1)).not.toBe(b.add(x, 2));
  });

  it("names parameters by their scopes and nodes after them", () => {
    const graph = new Graph();
    const [x, y] = graph.scope("encoder", () =>
      graph.scope("stage1", () => {
        const weight = b.parameter(graph, "conv1.weight", [2]);
        return [weight, b.relu(weight)];
      }),
    );
    expect(x!.name).toBe("encoder.stage1.conv1.weight");
    expect(y!.name).toMatch(/^encoder\.stage1\/unary_\d+$/);
  });

  it.each([
    [
      "a name taken twice",
      (g: Graph) => [b.parameter(g, "x", [2]), b.input(g, "x", "float32", [3])],
      'input "x": the name is taken by another parameter',
    ],
    [
      "shapes that do not broadcast",
      (g: Graph) => b.add(b.parameter(g, "x", [2, 3]), b.parameter(g, "y", [4])),
      "binary: [2, 3] and [4] do not broadcast; in binary_2 of x float32[2, 3], y float32[4]",
    ],
    [
      "inner sizes that differ",
      (g: Graph) => b.matmul(b.parameter(g, "x", [2, 3]), b.parameter(g, "y", [2, 3])),
      "matmul: inner sizes 3 and 2 differ",
    ],
    [
      "channels that differ",
      (g: Graph) => b.conv2d(b.parameter(g, "x", [1, 3, 4, 4]), b.parameter(g, "w", [8, 1, 3, 3])),
      "conv2d: the image has 3 channels, the weight takes 1",
    ],
    [
      "a kernel larger than the image",
      (g: Graph) => b.conv2d(b.parameter(g, "x", [1, 1, 2, 2]), b.parameter(g, "w", [1, 1, 3, 3])),
      "conv2d: the kernel is larger than the padded image [1, 1, 2, 2]",
    ],
    [
      "a reshape to another count",
      (g: Graph) => b.reshape(b.parameter(g, "x", [2, 3]), [5]),
      "reshape: [2, 3] has not as many elements as [5]",
    ],
    [
      "a reshape to another count beside a named size",
      (g: Graph) => b.reshape(b.input(g, "x", "float32", ["N", 3]), ["N", 4]),
      "reshape: [N, 3] has not as many elements as [N, 4]",
    ],
    [
      "a reshape that loses a named size",
      (g: Graph) => b.reshape(b.input(g, "x", "float32", ["N", 3]), [6]),
      "reshape: [N, 3] has not as many elements as [6]",
    ],
    [
      "a reshape to two sizes that nothing names",
      (g: Graph) => b.reshape(b.input(g, "x", "float32", ["H", "W"]), ["A", "B"]),
      "reshape: [H, W] has not as many elements as [A, B]",
    ],
    ["a named axis reversed", (g: Graph) => b.reverse(b.input(g, "x", "float32", ["N", 3]), 0), "reverse: needs a fixed size, got N"],
    ["a slice outside its axis", (g: Graph) => b.slice(b.parameter(g, "x", [4]), { 0: [1, 5] }), "slice: 1:5:1 is not inside an axis of 4"],
    ["a wrong dtype", (g: Graph) => b.relu(b.input(g, "x", "int64", [2])), "unary: input 0: expected float32, got int64"],
    [
      "a statistic of another channel count",
      (g: Graph) => b.channelAffine(b.parameter(g, "x", [2, 3]), b.parameter(g, "a", [4]), b.parameter(g, "c", [3])),
      "channelAffine: input 1: expected [3], got [4]",
    ],
    ["too few values", (g: Graph) => b.constant(g, [1, 2], [3]), "constant: expected 3 values for [3], got 2"],
  ])("refuses %s", (_what, build, message) => {
    expect(() => build(new Graph())).toThrow(message as string);
  });

  it("reshapes to one named size in the place of another, which is what is left", () => {
    const x = b.input(new Graph(), "x", "float32", ["N", 2, 3]);
    const merged = b.reshape(x, ["2N", 3]);
    expect(merged.type.shape).toEqual(["2N", 3]);
    expect(b.reshape(merged, ["N", 2, 3]).type.shape).toEqual(["N", 2, 3]);
  });

  it("refuses values of another graph", () => {
    expect(() => b.add(b.parameter(new Graph(), "x", [1]), b.parameter(new Graph(), "y", [1]))).toThrow("y belongs to another graph");
  });

  it("keeps named sizes through elementwise ops, convolutions and reductions", () => {
    const graph = new Graph();
    const x = b.input(graph, "x", "float32", ["N", 3, 8, 8]);
    const y = b.mean(b.relu(b.conv2d(x, b.parameter(graph, "w", [4, 3, 3, 3]), { padding: 1 })), [2, 3]);
    expect(y.type.shape).toEqual(["N", 4]);
    expect(() => b.batchStatistics(x)).toThrow('batch statistics: expected a fixed size, got the named size "N"');
    const fed = new Map([
      ["x", randomTensor(new Random(1), [5, 3, 8, 8])],
      ["w", randomTensor(new Random(2), [4, 3, 3, 3])],
    ]);
    expect(evaluate([y], fed)[0]!.shape).toEqual([5, 4]);
  });
});

describe("verify", () => {
  it("finds a value whose type is not what its op gives", () => {
    const graph = new Graph();
    const y = b.relu(b.parameter(graph, "x", [2]));
    verify([y]);
    const tampered: Value = { ...y, type: { dtype: "float32", shape: [3] } };
    expect(() => verify([tampered])).toThrow("is float32[3], its op gives float32[2]");
  });
});

describe("gradients", () => {
  it("are asked of a scalar only", () => {
    const x = b.parameter(new Graph(), "x", [2]);
    expect(() => gradients(x, [x])).toThrow("gradients: expected a scalar float32 loss, got x [2]");
  });

  it("are zero for what the loss does not depend on", () => {
    const graph = new Graph();
    const [x, y] = [b.parameter(graph, "x", [2]), b.parameter(graph, "y", [3])];
    const [dy] = gradients(b.sum(x), [y]);
    expect([...evaluate([dy!], new Map())[0]!.data]).toEqual([0, 0, 0]);
  });

  it("do not flow through stopGradient", () => {
    const graph = new Graph();
    const x = b.parameter(graph, "x", [2]);
    const [dx] = gradients(b.sum(b.mul(x, b.stopGradient(x))), [x]);
    const feeds = new Map([["x", { shape: [2], data: Float64Array.of(3, 5) }]]);
    expect([...evaluate([dx!], feeds)[0]!.data]).toEqual([3, 5]);
  });
});

/** A random graph of elementwise ops, views and reductions on one parameter. */
const randomGraph = fc.array(fc.nat({ max: 9 }), { minLength: 1, maxLength: 7 });

function grow(choices: readonly number[]): { readonly graph: Graph; readonly y: Value } {
  const graph = new Graph();
  let y = b.parameter(graph, "x", [2, 3, 4]);
  for (const [i, choice] of choices.entries()) {
    const { shape } = y.type;
    const last = shape.length - 1;
    const steps: (() => Value)[] = [
      () => b.sigmoid(y),
      () => b.softplus(y),
      () => b.add(y, b.parameter(graph, `p${i}`, shape.slice(1) as number[])),
      () => b.mul(y, b.parameter(graph, `p${i}`, [shape[last] as number])),
      () =>
        b.transpose(
          y,
          shape.map((_, axis) => last - axis),
        ),
      () => (shape.length > 1 ? b.mean(y, [0]) : b.exp(b.sigmoid(y))),
      () => b.pad(y, { [last]: [1, 1, 1] }),
      () => ((shape[last] as number) > 2 ? b.slice(y, { [last]: [1, shape[last] as number, 2] }) : b.sigmoid(y)),
      () => b.concat([y, b.neg(y)], 0),
      () => b.logSoftmax(y),
    ];
    y = steps[choice]!();
  }
  return { graph, y };
}

describe("random graphs", () => {
  it("give the reference's values and gradients that match finite differences", async () => {
    await fc.assert(
      fc.asyncProperty(randomGraph, async (choices) => {
        const { graph, y } = grow(choices);
        const loss = b.sum(b.square(y));
        const wrt = graph.parameters();
        const random = new Random(11);
        const feeds = new Map(wrt.map(({ name, type }) => [name, randomTensor(random, type.shape as number[])]));
        const slopes = gradients(loss, wrt);
        expectGradientsMatchDifferences(loss, wrt, slopes, feeds, 1e-5);
        await expectSameAsReference({ result: y, ...Object.fromEntries(slopes.map((slope, i) => [`d${i}`, slope])) }, feeds, 1e-5);
      }),
      { seed: 4, numRuns: 40 },
    );
  });
});
