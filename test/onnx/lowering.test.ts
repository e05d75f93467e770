import { describe, expect, it } from "vitest";
import { Random } from "../../src/core/random.ts";
import * as b from "../../src/graph/build.ts";
import { gradients } from "../../src/graph/gradients.ts";
import { Graph, type Value } from "../../src/graph/graph.ts";
import { evaluate } from "../../src/graph/reference.ts";
import type { ModelProto } from "../../src/onnx/generated/onnx_pb.ts";
import { lower } from "../../src/onnx/lower.ts";
import { expectSameAsReference, layouts, randomTensor, relativeError, runModel } from "../support/graphs.ts";

const nchwc = "com.microsoft.nchwc";
const blocked = { provider: "cpu", block: 16 } as const;

const opsOf = (model: ModelProto): string[] =>
  model.graph!.node.map(({ domain, opType }) => (domain === nchwc ? `blocked ${opType}` : opType));
const count = (model: ModelProto, op: string): number => opsOf(model).filter((name) => name === op).length;

function convolution(graph: Graph, batch: number, channels: number, filters: number, stride: number, kernel = 3) {
  const x = b.parameter(graph, "x", [batch, channels, 6, 6]);
  const w = b.parameter(graph, "w", [filters, channels, kernel, kernel]);
  const y = b.conv2d(x, w, { stride, padding: kernel >> 1 });
  const dy = b.parameter(graph, "dy", y.type.shape as number[]);
  const [dx, dw] = gradients(b.sum(b.mul(y, dy)), [x, w]);
  return { y, dx: dx!, dw: dw! };
}

describe("which formulation a convolution gets", () => {
  const formulations = (
    batch: number,
    channels: number,
    filters: number,
    stride: number,
    target: Parameters<typeof lower>[1]["target"] = blocked,
  ) => {
    const { y, dx, dw } = convolution(new Graph(), batch, channels, filters, stride);
    const kindOf = (value: Value) => opsOf(lower({ result: value }, { target })).filter((op) => /Conv|MatMul/.test(op));
    return { y: kindOf(y), dx: kindOf(dx), dw: kindOf(dw) };
  };

  it("whole blocks: everything blocked, the stride-2 input gradient in four phases", () => {
    // Of the weight gradient's two, one is the padding.
    const [one, two, four] = [1, 2, 4].map((times) => new Array<string>(times).fill("blocked Conv"));
    expect(formulations(16, 32, 16, 1)).toEqual({ y: one, dx: one, dw: two });
    expect(formulations(16, 16, 32, 2)).toEqual({ y: one, dx: four, dw: two });
  });

  it("a first layer of one or three channels: blocked from a plain image", () => {
    for (const channels of [1, 3]) {
      const { y, dw } = formulations(16, channels, 16, 1);
      expect({ y, dw }).toEqual({ y: ["blocked Conv"], dw: ["blocked Conv"] });
    }
  });

  it("a batch or channels that do not fill blocks: the weight gradient by taps, plain convolutions", () => {
    expect(formulations(3, 16, 16, 1).dw).toEqual(new Array(9).fill("MatMul"));
    expect(formulations(16, 5, 7, 1)).toEqual({ y: ["Conv"], dx: ["ConvTranspose"], dw: new Array(9).fill("MatMul") });
  });

  it("the portable lowering: standard operators only", () => {
    const { y, dx, dw } = convolution(new Graph(), 16, 16, 16, 1);
    const model = lower({ y, dx, dw: b.neg(dw) }, { target: { provider: "cpu", block: 0 } });
    expect(new Set(model.graph!.node.map(({ domain }) => domain))).toEqual(new Set([""]));
    expect(model.opsetImport.map(({ domain }) => domain)).toEqual([""]);
  });
});

const norm = (graph: Graph, x: Value): Value =>
  b.batchNormTraining(
    x,
    { gamma: b.parameter(graph, "gamma", [16]), beta: b.parameter(graph, "beta", [16]), ...b.batchStatistics(x) },
    1e-5,
  );

interface FusionCase {
  readonly what: string;
  readonly build: (graph: Graph) => Record<string, Value>;
  /** Nodes of each kind that the blocked lowering must have. */
  readonly counts: Readonly<Record<string, number>>;
}

const image = (graph: Graph, name: string) => b.parameter(graph, name, [16, 16, 4, 4]);
const weight = (graph: Graph) => b.parameter(graph, "w", [16, 16, 3, 3]);

const feedsOf = (graph: Graph, seed: number) => {
  const random = new Random(seed);
  return new Map(graph.parameters().map(({ name, type }) => [name, randomTensor(random, type.shape as number[])]));
};

describe.runIf(layouts.length > 1)("formulations for the sizes of caches", () => {
  it.each([
    {
      what: "a large map, its weight gradient in bands and per block of images",
      channels: 16,
      stride: 1,
      size: 32,
      op: "Gather",
      times: 1,
    },
    { what: "the same at stride 2", channels: 16, stride: 2, size: 64, op: "Gather", times: 1 },
    {
      what: "a small map of many channels, its weight gradient over all images at once",
      channels: 32,
      stride: 1,
      size: 4,
      op: "ReduceSum",
      times: 0,
    },
  ])("$what", async ({ channels, stride, size, op, times }) => {
    const graph = new Graph();
    const x = b.parameter(graph, "x", [32, channels, size, size]);
    const dy = b.parameter(graph, "dy", [32, 32, size / stride, size / stride]);
    const dw = graph.node({ kind: "conv2dWeightGradient", stride, padding: 1, size: 3 }, [x, dy]);
    const models = await expectSameAsReference({ dw }, feedsOf(graph, 4), 2e-6);
    expect(count(models.get(16)!, op)).toBe(times);
  });

  it.each([1, 2])("a large weight, stride %i: shares of the filters, forward and backward, with bias, sum and ReLU", async (stride) => {
    const graph = new Graph();
    const w = b.parameter(graph, "w", [256, 128, 3, 3]);
    const y = b.conv2d(b.parameter(graph, "x", [2, 128, 4, 4]), w, { stride, padding: 1, bias: b.parameter(graph, "bias", [256]) });
    const fused = b.relu(b.add(y, b.parameter(graph, "s", y.type.shape as number[])));
    const backward = { kind: "conv2dInputGradient", stride: 1, padding: 1, height: 4, width: 4 } as const;
    const dx = graph.node(backward, [b.parameter(graph, "dy", [2, 128, 4, 4]), b.transpose(w, [1, 0, 2, 3])]);
    const models = await expectSameAsReference({ fused, dx }, feedsOf(graph, 5), 2e-6);
    expect(count(models.get(0)!, "Conv")).toBe(2);
    expect(count(models.get(16)!, "blocked Conv")).toBe(4);
  });
});

describe("fixed weights", () => {
  it("are arranged by standard operators, which the runtime evaluates at load, with the same result", async () => {
    const graph = new Graph();
    const { y, dx } = convolution(graph, 16, 16, 32, 2);
    const feeds = feedsOf(graph, 6);
    const expected = evaluate([y, dx], feeds);
    const weights = new Map([["w", Float32Array.from(feeds.get("w")!.data)]]);
    for (const block of layouts) {
      const model = lower({ y, dx }, { target: { provider: "cpu", block }, weights });
      const got = await runModel(model, graph.values, feeds);
      expect(relativeError(got.get("y")!, expected[0]!.data)).toBeLessThan(2e-6);
      expect(relativeError(got.get("dx")!, expected[1]!.data)).toBeLessThan(2e-6);
      // What is reordered are x and dy.
      expect(count(model, "blocked ReorderInput")).toBe(block > 0 ? 2 : 0);
    }
  });
});

describe("a shortcut in standard operators", () => {
  it("is a convolution with a selection matrix, for a batch of any size", async () => {
    const graph = new Graph();
    const x = b.input(graph, "x", "float32", ["N", 3, 4, 6]);
    const shortcut = b.pad(b.slice(x, { 2: [0, 4, 2], 3: [0, 6, 2] }), { 1: [1, 2] });
    const models = await expectSameAsReference({ shortcut }, new Map([["x", randomTensor(new Random(9), [5, 3, 4, 6])]]), 1e-9);
    expect(opsOf(models.get(0)!)).toEqual(["Conv"]);
  });
});

// The one Add that a batch normalisation has is variance + epsilon.
const fusionCases: FusionCase[] = [
  { what: "relu(batch norm)", build: (g) => ({ result: b.relu(norm(g, image(g, "x"))) }), counts: { Relu: 0, Add: 1, "blocked Conv": 1 } },
  {
    what: "relu(batch norm + x)",
    build: (g) => ({ result: b.relu(b.add(norm(g, image(g, "x")), image(g, "s"))) }),
    counts: { Relu: 0, Add: 1, "blocked Conv": 1 },
  },
  {
    what: "convolution + x",
    build: (g) => ({ result: b.add(b.conv2d(image(g, "x"), weight(g), { padding: 1 }), image(g, "s")) }),
    counts: { Add: 0, "blocked Conv": 1 },
  },
  {
    what: "two scaled images",
    build: (g) => {
      const scale = b.parameter(g, "scale", [16]);
      const zero = b.expand(b.scalar(g, 0), [16]);
      return { result: b.add(b.channelAffine(image(g, "x"), scale, zero), b.channelAffine(image(g, "s"), b.neg(scale), scale)) };
    },
    counts: { Add: 0, "blocked Conv": 2 },
  },
  {
    what: "a value with a second use is not absorbed",
    build: (g) => {
      const y = b.conv2d(image(g, "x"), weight(g), { padding: 1 });
      return { result: b.relu(y), other: b.channelSum(y) };
    },
    counts: { Relu: 1, "blocked Conv": 1 },
  },
];

describe.runIf(layouts.length > 1)("fusion into blocked convolutions", () => {
  it.each(fusionCases)("$what", async ({ build, counts }) => {
    const graph = new Graph();
    const outputs = build(graph);
    const models = await expectSameAsReference(outputs, feedsOf(graph, 8), 2e-6);
    const got = Object.fromEntries(Object.keys(counts).map((op) => [op, count(models.get(16)!, op)]));
    expect(got).toEqual(counts);
  });
});

describe("outputs", () => {
  it("may be a parameter, or one value twice", async () => {
    const graph = new Graph();
    const x = b.parameter(graph, "x", [2]);
    const y = b.relu(x);
    await expectSameAsReference({ same: x, once: y, again: y }, new Map([["x", { shape: [2], data: Float64Array.of(-1, 2) }]]), 1e-9);
  });
});

describe("resizing with sizes known only at run time", () => {
  it.each([
    [5, 4],
    [8, 8],
    [21, 13],
  ])("from %i x %i", async (height, width) => {
    const graph = new Graph();
    const y = b.resizeBilinear(b.input(graph, "x", "float32", ["N", 2, "H", "W"]), 8, 8);
    await expectSameAsReference({ y }, new Map([["x", randomTensor(new Random(3), [3, 2, height, width])]]), 2e-6);
  });
});
