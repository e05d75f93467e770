import { describe, expect, it } from "vitest";
import { Random } from "../../src/core/random.ts";
import { input } from "../../src/graph/build.ts";
import { Graph } from "../../src/graph/graph.ts";
import { classify, type ModelConfig } from "../../src/nn/classifier.ts";
import { countWeights, foldNorms, Network, unfoldNorms } from "../../src/nn/network.ts";
import { describeNetwork } from "../../src/nn/scorer.ts";
import { lower, portable } from "../../src/onnx/lower.ts";
import { initialState } from "../../src/train/initialise.ts";
import { buildTrainingStep } from "../../src/train/step.ts";
import { randomTensor, relativeError, runModel } from "../support/graphs.ts";

const base: ModelConfig = {
  head: "sdim",
  depth: 10,
  widths: [32, 64, 128, 256],
  classes: 10,
  channels: 1,
  imageSize: 32,
  dimension: 64,
  critic: "concat",
  localFeatures: "stage4",
  logSigmaFloor: null,
};
const loss = { alpha: 1, beta: 1, gamma: 1, miBound: "jensen-shannon", margin: 10, perDimension: true } as const;

const weightsOf = (model: ModelConfig): number =>
  countWeights(buildTrainingStep({ model, loss, negatives: "shuffled", batchSize: 4, height: 32, width: 32 }).parameters);

describe("parameter counts are the paper's", () => {
  it.each<[string, Partial<ModelConfig>, number]>([
    ["discriminative ResNet10", { head: "softmax" }, 1_250_794],
    ["discriminative ResNet26, 3 channels", { head: "softmax", depth: 26, channels: 3 }, 4_388_650],
    ["SDIM ResNet10, concat critic", {}, 1_414_177],
    ["SDIM ResNet10, encode-and-dot", { critic: "dot", localFeatures: "stage2" }, 1_465_120],
    ["SDIM ResNet26, 3 channels, encode-and-dot", { critic: "dot", localFeatures: "stage2", depth: 26, channels: 3 }, 4_602_976],
  ])("%s", (_what, change, expected) => {
    expect(weightsOf({ ...base, ...change })).toBe(expected);
  });

  it("refuses a depth that is not 8n + 2", () => {
    expect(() => weightsOf({ ...base, depth: 12 })).toThrow("depth: expected 8n + 2 layers (10, 18, 26, 34, ...), got 12");
  });
});

it("the folded network is the inference network", async () => {
  const model: ModelConfig = { ...base, widths: [16, 16, 32, 32], imageSize: 16 };
  const { parameters, norms } = describeNetwork(model);
  const random = new Random(4);
  const weights = new Map<string, Float32Array>();
  for (const [name, { data }] of initialState(parameters, [], 1)) {
    // Statistics and scales of a trained network are neither 0 nor 1.
    const isVariance = name.endsWith("runningVariance");
    weights.set(name, /norm/.test(name) ? data.map(() => (isVariance ? 0.5 + random.uniform() : random.normal())) : data);
  }
  const run = async (mode: "inference" | "folded", tensors: ReadonlyMap<string, Float32Array>) => {
    const net = new Network(new Graph(), mode);
    const { classScores } = classify(net, input(net.graph, "x", "float32", [3, 1, 16, 16]), model);
    const proto = lower({ classScores }, { target: portable, weights: tensors });
    return (await runModel(proto, net.graph.values, new Map([["x", randomTensor(new Random(9), [3, 1, 16, 16])]]))).get("classScores")!;
  };
  expect(relativeError(await run("folded", foldNorms(norms, weights)), await run("inference", weights))).toBeLessThan(1e-5);
});

it("unfolding and folding again is no change, and unfolded weights are as large as fresh ones", () => {
  const { parameters, norms } = describeNetwork({ ...base, widths: [16, 16, 32, 32] });
  const random = new Random(7);
  const drawn = (size: number, scale: number) => Float32Array.from({ length: size }, () => scale * random.normal());
  const trained = new Map(
    [...initialState(parameters, [], 1)].map(([name, { data }]) => [name, name.endsWith("runningVariance") ? data : drawn(data.length, 3)]),
  );
  const folded = foldNorms(norms, trained);
  const dead = norms[2]!.layer;
  folded.set(
    `${dead}.weight`,
    folded.get(`${dead}.weight`)!.map((value, i) => (i < 144 ? 0 : value)),
  );
  const statistics = new Map(
    norms.map(({ layer }) => {
      const size = folded.get(`${layer}.bias`)!.length;
      return [layer, { mean: drawn(size, 2), variance: drawn(size, 1).map((value) => value ** 2) }];
    }),
  );
  const unfolded = unfoldNorms(norms, folded, statistics);
  for (const { name } of parameters) expect([name, unfolded.get(name)?.every(Number.isFinite)]).toEqual([name, true]);
  const again = foldNorms(norms, unfolded);
  for (const [name, values] of folded) expect([name, relativeError(again.get(name)!, values) < 1e-5]).toEqual([name, true]);
  for (const { layer } of norms.filter((one) => one.layer !== dead)) {
    const weight = unfolded.get(`${layer}.weight`)!;
    const perOutput = weight.length / folded.get(`${layer}.bias`)!.length;
    const size = Math.sqrt(weight.reduce((sum, value) => sum + value ** 2, 0) / weight.length);
    expect(size * Math.sqrt(3 * perOutput)).toBeCloseTo(1, 4);
  }
});

it("starts each parameter from seed and name alone", () => {
  const { parameters } = describeNetwork(base);
  const [all, some] = [initialState(parameters, [], 3), initialState(parameters.slice(5), [], 3)];
  for (const [name, { data }] of some) expect(data).toEqual(all.get(name)!.data);
  const [one, other] = [initialState(parameters, [], 3), initialState(parameters, [], 4)];
  expect(one.get("encoder.stem.conv.weight")).not.toEqual(other.get("encoder.stem.conv.weight"));
  const stem = one.get("encoder.stem.conv.weight")!.data;
  expect(Math.max(...stem.map(Math.abs))).toBeLessThanOrEqual(1 / 3);
});
