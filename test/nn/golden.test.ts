import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import * as b from "../../src/graph/build.ts";
import { gradients } from "../../src/graph/gradients.ts";
import { Graph, type Value } from "../../src/graph/graph.ts";
import { evaluate } from "../../src/graph/reference.ts";
import { mutualInformationLoss } from "../../src/losses/bounds.ts";
import { crossEntropyLoss, marginLoss, negativeLogLikelihood, sdimLoss } from "../../src/losses/losses.ts";
import { classify, classifyForTraining, type ModelConfig } from "../../src/nn/classifier.ts";
import { type CriticKind, criticScores, type Negatives } from "../../src/nn/critic.ts";
import { classLogLikelihoods } from "../../src/nn/gaussians.ts";
import { foldNorms, Network } from "../../src/nn/network.ts";
import { basicBlock } from "../../src/nn/resnet.ts";
import { buildInputGradient, describeNetwork } from "../../src/nn/scorer.ts";
import { lower } from "../../src/onnx/lower.ts";
import { adam } from "../../src/optim/adam.ts";
import { type Feeds, layouts, runModel, sizeOf } from "../support/graphs.ts";

// Against PyTorch in float64 (scripts/golden.py): layers by the float64 evaluator, whole networks by ONNX Runtime in every layout.

interface Golden {
  readonly case: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly tensors: readonly {
    readonly name: string;
    readonly shape: readonly number[];
    readonly scale: number;
    readonly offset: number;
  }[];
  readonly results: Readonly<Record<string, Stored>>;
}

interface Stored {
  readonly shape: readonly number[];
  readonly values?: readonly number[];
  readonly digest?: { readonly sum: number; readonly absSum: number; readonly projection: number; readonly first: readonly number[] };
}

const folder = new URL("../golden/", import.meta.url);
const load = (name: string): Golden => JSON.parse(readFileSync(new URL(`${name}.json`, folder), "utf8")) as Golden;
const casesOf = (prefix: string): string[] =>
  readdirSync(folder)
    .filter((file) => file.startsWith(prefix) && file.endsWith(".json"))
    .map((file) => file.replace(".json", ""));

function feedsOf({ tensors }: Golden): Feeds {
  return new Map(
    tensors.map(({ name, shape, scale, offset }, t) => {
      const at = (i: number) => Math.fround(offset + scale * Math.sin(12.9898 * (i + 1) + 78.233 * (t + 1)));
      return [name, { shape, data: Float64Array.from({ length: sizeOf(shape) }, (_, i) => at(i)) }];
    }),
  );
}

/** `tolerance` relative to the magnitude of the stored result. */
function expectStored(got: Float64Array, stored: Stored, tolerance: number, what: string): void {
  expect(got.length, what).toBe(sizeOf(stored.shape));
  const near = (value: number, expected: number, magnitude: number) =>
    expect(Math.abs(value - expected), `${what}: ${value} against ${expected}`).toBeLessThan(tolerance * Math.max(magnitude, 1e-2));
  const { values, digest } = stored;
  if (values) {
    const magnitude = Math.max(...values.map(Math.abs));
    values.forEach((expected, i) => {
      near(got[i]!, expected, magnitude);
    });
    return;
  }
  const sum = (f: (value: number, i: number) => number) => got.reduce((total, value, i) => total + f(value, i), 0);
  near(
    sum((value) => value),
    digest!.sum,
    digest!.absSum,
  );
  near(sum(Math.abs), digest!.absSum, digest!.absSum);
  near(
    sum((value, i) => value * Math.sin(0.7 * (i + 1))),
    digest!.projection,
    digest!.absSum,
  );
  const typical = (10 * digest!.absSum) / got.length;
  digest!.first.forEach((expected, i) => {
    near(got[i]!, expected, Math.max(typical, Math.abs(expected)));
  });
}

/** Results by name, and the gradients of `loss` that the case stores. */
function outputsOf(golden: Golden, graph: Graph, results: Readonly<Record<string, Value>>, loss: Value): Map<string, Value> {
  const parameters = new Map(graph.parameters().map((value) => [value.name, value]));
  const wrt = Object.keys(golden.results)
    .filter((name) => name.startsWith("gradient "))
    .map((name) => name.slice("gradient ".length));
  const slopes = gradients(
    loss,
    wrt.map((name) => parameters.get(name)!),
  );
  return new Map([...Object.entries(results), ...wrt.map((name, i) => [`gradient ${name}`, slopes[i]!] as const)]);
}

function expectReference(golden: Golden, outputs: ReadonlyMap<string, Value>, more: Feeds = new Map()): void {
  expect([...outputs.keys()].sort()).toEqual(Object.keys(golden.results).sort());
  const got = evaluate([...outputs.values()], new Map([...feedsOf(golden), ...more]));
  [...outputs.keys()].forEach((name, i) => {
    expectStored(got[i]!.data, golden.results[name]!, 1e-9, name);
  });
}

async function expectRuntime(
  golden: Golden,
  outputs: ReadonlyMap<string, Value>,
  tolerance: number,
  more: Feeds = new Map(),
): Promise<void> {
  const names = [...outputs.keys()];
  expect([...names].sort()).toEqual(Object.keys(golden.results).sort());
  const values = [...outputs.values()];
  for (const block of layouts) {
    const model = lower(Object.fromEntries(values.map((value, i) => [`result${i}`, value])), { target: { provider: "cpu", block } });
    const got = await runModel(model, values[0]!.graph.values, new Map([...feedsOf(golden), ...more]));
    names.forEach((name, i) => {
      expectStored(got.get(`result${i}`)!, golden.results[name]!, tolerance, `${name}, block ${block}`);
    });
  }
}

/** Declares the case's tensors as parameters. */
function declare(golden: Golden, graph = new Graph()): { readonly graph: Graph; readonly at: (name: string) => Value } {
  const values = new Map(golden.tensors.map(({ name, shape }) => [name, b.parameter(graph, name, shape)]));
  return { graph, at: (name) => values.get(name)! };
}

describe("layers", () => {
  it.each(casesOf("conv-"))("%s", async (name) => {
    const golden = load(name);
    const { graph, at } = declare(golden);
    const { stride, padding } = golden.config as { stride: number; padding: number };
    const y = b.conv2d(at("x"), at("w"), { stride, padding });
    const outputs = outputsOf(golden, graph, { y }, b.sum(b.mul(y, at("dy"))));
    expectReference(golden, outputs);
    await expectRuntime(golden, outputs, 2e-6);
  });

  it("linear", () => {
    const golden = load("linear");
    const net = new Network(new Graph(), "training");
    const x = b.parameter(net.graph, "x", [6, 5]);
    const y = net.linear(x, "linear", { outputs: 4 });
    const dy = b.parameter(net.graph, "dy", [6, 4]);
    expectReference(golden, outputsOf(golden, net.graph, { y }, b.sum(b.mul(y, dy))));
  });

  it.each(casesOf("block-"))("%s, with running statistics", async (name) => {
    const golden = load(name);
    const { block, filters, stride } = golden.config as { block: string; filters: number; stride: number };
    const net = new Network(new Graph(), "training");
    const x = b.parameter(net.graph, "x", golden.tensors[0]!.shape);
    const y = net.scope(block, () => basicBlock(net, x, filters, stride));
    const dy = b.parameter(net.graph, "dy", golden.results["y"]!.shape);
    const outputs = outputsOf(golden, net.graph, { y, ...Object.fromEntries(net.statistics) }, b.sum(b.mul(y, dy)));
    const feeds = new Map(
      net.parameters
        .filter(({ role }) => role === "statistic")
        .map(({ name: at, shape }) => [at, { shape, data: new Float64Array(sizeOf(shape)).fill(at.endsWith("Variance") ? 1 : 0) }]),
    );
    expectReference(golden, outputs, feeds);
    await expectRuntime(golden, outputs, 1e-4, feeds);
  });

  it("batch normalisation in training, with running statistics", () => {
    const golden = load("batch-norm-training");
    const { graph, at } = declare(golden);
    const x = at("x");
    const statistics = b.batchStatistics(x);
    const count = b.perChannelCount(x);
    const y = b.batchNormTraining(x, { gamma: at("norm.weight"), beta: at("norm.bias"), ...statistics }, 1e-5);
    const runningMean = b.mul(statistics.mean, 0.1);
    const runningVariance = b.add(b.mul(statistics.variance, (0.1 * count) / (count - 1)), 0.9);
    expectReference(golden, outputsOf(golden, graph, { y, runningMean, runningVariance }, b.sum(b.mul(y, at("dy")))));
  });

  it("batch normalisation in inference", () => {
    const golden = load("batch-norm-inference");
    const { graph, at } = declare(golden);
    const norm = { gamma: at("norm.weight"), beta: at("norm.bias"), mean: at("mean"), variance: at("variance") };
    const y = b.batchNormInference(at("x"), norm, 1e-5);
    expectReference(golden, outputsOf(golden, graph, { y }, b.sum(b.square(y))));
  });

  it.each(casesOf("resize-"))("%s", async (name) => {
    const golden = load(name);
    const { graph, at } = declare(golden);
    const size = golden.config["size"] as number;
    const y = b.resizeBilinear(at("x"), size, size);
    const outputs = outputsOf(golden, graph, { y }, b.sum(b.square(y)));
    expectReference(golden, outputs);
    await expectRuntime(golden, outputs, 1e-5);
  });

  it("cross-entropy", () => {
    const golden = load("cross-entropy");
    const { graph, at } = declare(golden);
    const labels = golden.config["labels"] as number[];
    const { total } = crossEntropyLoss(at("logits"), b.constant(graph, labels, [labels.length], "int64"));
    expectReference(golden, outputsOf(golden, graph, { loss: total }, total));
  });

  it("three steps of Adam", () => {
    const golden = load("adam");
    const feeds = feedsOf(golden);
    const { graph, at } = declare(golden);
    const loss = b.sum(b.square(b.sub(at("w"), at("target"))));
    const { next, state } = adam(graph, loss, [at("w")]);
    for (const { name, shape, start } of state) feeds.set(name, { shape, data: new Float64Array(sizeOf(shape)).fill(start) });
    feeds.set("learningRate", { shape: [], data: Float64Array.of(golden.config["learningRate"] as number) });
    for (let step = 0; step < 3; step++) {
      const results = evaluate([...next.values()], feeds);
      [...next.keys()].forEach((name, i) => {
        feeds.set(name, results[i]!);
      });
    }
    expectStored(feeds.get("w")!.data, golden.results["w"]!, 1e-9, "w");
  });
});

describe("parts of SDIM", () => {
  it.each(casesOf("gaussians"))("%s: log-likelihoods, NLL and margin", (name) => {
    const golden = load(name);
    const config = golden.config as { logSigmaFloor: number | null; classes: number; dimension: number; labels: number[] };
    const net = new Network(new Graph(), "training");
    const z = b.parameter(net.graph, "z", [4, config.dimension]);
    const scores = classLogLikelihoods(net, z, config.classes, config.logSigmaFloor);
    const labels = b.constant(net.graph, config.labels, [4], "int64");
    const perDimension = b.div(scores, config.dimension);
    const likelihood = negativeLogLikelihood(perDimension, labels);
    const margin = marginLoss(perDimension, labels, 10);
    const loss = b.add(b.mul(likelihood, 2), b.mul(margin, 3));
    expectReference(golden, outputsOf(golden, net.graph, { classLogLikelihoods: scores, negativeLogLikelihood: likelihood, margin }, loss));
  });

  it.each(casesOf("critic-"))("%s", (name) => {
    const golden = load(name);
    const { critic, negatives } = golden.config as { critic: CriticKind; negatives: Negatives };
    const net = new Network(new Graph(), "training");
    const local = b.parameter(net.graph, "local", golden.tensors[0]!.shape);
    const z = b.parameter(net.graph, "z", golden.tensors[1]!.shape);
    const loss = mutualInformationLoss(criticScores(net, local, z, critic, negatives));
    expectReference(golden, outputsOf(golden, net.graph, { loss }, loss));
  });
});

const resnet10: ModelConfig = {
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

describe("whole networks with all their gradients", () => {
  it.each(["sdim-resnet10-concat", "sdim-resnet10-dot", "softmax-resnet10"])("%s", async (name) => {
    const golden = load(name);
    const config = golden.config as { critic?: CriticKind; localFeatures?: "stage2" | "stage4"; negatives?: Negatives; labels: number[] };
    const model: ModelConfig = {
      ...resnet10,
      head: name.startsWith("softmax") ? "softmax" : "sdim",
      critic: config.critic ?? "concat",
      localFeatures: config.localFeatures ?? "stage4",
    };
    const net = new Network(new Graph(), "training");
    const x = b.parameter(net.graph, "x", [4, 1, 32, 32]);
    const labels = b.constant(net.graph, config.labels, [4], "int64");
    const { classScores, representation, critic } = classifyForTraining(net, x, model, config.negatives ?? "shuffled");
    const losses = { alpha: 1, beta: 1, gamma: 1, miBound: "jensen-shannon", margin: 10, perDimension: true } as const;
    const { total, parts } = critic ? sdimLoss(classScores, critic, labels, 64, losses) : crossEntropyLoss(classScores, labels);
    const outputs = outputsOf(golden, net.graph, { representation, ...parts, loss: total }, total);
    expectReference(golden, outputs);
    // In float32 a rounding may move a number across a ReLU's kink, and ten normalisations over a batch of four amplify it.
    await expectRuntime(golden, outputs, 0.05);
  });

  it("input gradients by running statistics, folded and not", async () => {
    const golden = load("input-gradient-resnet10");
    const net = new Network(new Graph(), "inference");
    const x = b.parameter(net.graph, "x", [4, 1, 32, 32]);
    const { classScores, representation } = classify(net, x, resnet10);
    expectReference(golden, outputsOf(golden, net.graph, { representation, classLogLikelihoods: classScores }, b.sum(classScores)));

    const feeds = feedsOf(golden);
    const weights = new Map([...feeds].map(([name, { data }]) => [name, Float32Array.from(data)]));
    const { norms } = describeNetwork(resnet10);
    const { net: folded, outputs } = buildInputGradient(resnet10, 4);
    feeds.set("class_weights", { shape: [4, 10], data: new Float64Array(40).fill(1) });
    for (const block of layouts) {
      const model = lower(outputs, { target: { provider: "cpu", block }, weights: foldNorms(norms, weights) });
      const got = await runModel(model, folded.graph.values, feeds);
      const expectOne = (output: string, stored: string) =>
        expectStored(got.get(output)!, golden.results[stored]!, 1e-4, `${output}, block ${block}`);
      expectOne("representation", "representation");
      expectOne("class_log_likelihoods", "classLogLikelihoods");
      expectOne("input_gradient", "gradient x");
    }
  });
});
