import { copyFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Classifier } from "../../src/classify/classifier.ts";
import { floatWeights, type ModelFile, readModelFile } from "../../src/classify/model-file.ts";
import { InThreadBatches } from "../../src/data/batch-source.ts";
import { takeFirst } from "../../src/data/image-set.ts";
import { batchStatistics, input } from "../../src/graph/build.ts";
import { Graph } from "../../src/graph/graph.ts";
import { evaluate, type Reference } from "../../src/graph/reference.ts";
import { classify } from "../../src/nn/classifier.ts";
import { foldNorms, Network } from "../../src/nn/network.ts";
import { preprocess } from "../../src/nn/preprocess.ts";
import { averageRuns } from "../../src/train/average-runs.ts";
import { beginWith } from "../../src/train/begin-with.ts";
import { checkpointPath, loadCheckpoint, previousCheckpointPath } from "../../src/train/checkpoint.ts";
import { modelConfigOf } from "../../src/train/config.ts";
import { train } from "../../src/train/train.ts";
import { sdimHere } from "../support/cli.ts";
import { temporaryFolder, testDigits, tinyConfig, trainingDigits } from "../support/digits.ts";
import { relativeError } from "../support/graphs.ts";

const data = await trainingDigits();
const [first, second] = [temporaryFolder(), temporaryFolder()];
const config = tinyConfig({ epochs: 8, meanSpread: 1, thresholdsFor: "all-classes" });
await train({ config, data, out: first });
const again = { ...config, epochs: 3, seed: 2, cropPadding: 1, learningRate: 0.002 };
await train({ config: again, data, out: second, from: first });
const runs = [first, second];

/** Mean and unbiased variance of what every normalised layer puts out, meant over the epoch's batches, by the float64 reference. */
async function referenceStatistics(weights: ReadonlyMap<string, Float32Array>): Promise<Map<string, Float32Array>> {
  const { batchSize, seed, cropPadding, flip, randomErasing, imageSize } = again;
  const net = new Network(new Graph(), "training");
  classify(net, preprocess(input(net.graph, "images", "uint8", [batchSize, 28, 28, 1]), imageSize), modelConfigOf(again, 3, 1));
  const seen = net.norms.map(({ output }) => batchStatistics(output));
  const batches = new InThreadBatches(data, { batchSize, seed, augmentation: { cropPadding, flip, randomErasing } });
  const steps = Math.floor(data.count / batchSize);
  const sums = new Map<string, Float64Array>();
  for (let step = 0; step < steps; step++) {
    const { images } = await batches.take(step);
    const feeds = new Map<string, Reference>([["images", { shape: [batchSize, 28, 28, 1], data: Float64Array.from(images) }]]);
    for (const { name, type } of net.graph.parameters())
      feeds.set(name, { shape: type.shape as readonly number[], data: Float64Array.from(weights.get(name)!) });
    const found = evaluate(
      seen.flatMap(({ mean, variance }) => [mean, variance]),
      feeds,
    );
    for (const [i, { norm, output }] of net.norms.entries()) {
      const count = (output.type.shape as readonly number[]).reduce((n, dim, axis) => (axis === 1 ? n : n * dim), 1);
      const add = (name: string, values: ArrayLike<number>, by: number) => {
        const sum = sums.get(`${norm}.${name}`) ?? new Float64Array(values.length);
        sums.set(
          `${norm}.${name}`,
          sum.map((s, k) => s + (values[k]! * by) / steps),
        );
      };
      add("runningMean", found[2 * i]!.data, 1);
      add("runningVariance", found[2 * i + 1]!.data, count / (count - 1));
    }
  }
  return new Map([...sums].map(([name, sum]) => [name, Float32Array.from(sum)]));
}

function network(): Network {
  const net = new Network(new Graph(), "training");
  classify(net, preprocess(input(net.graph, "images", "uint8", [32, 28, 28, 1]), 16), modelConfigOf(again, 3, 1));
  return net;
}

type State = ReadonlyMap<string, { readonly data: Float32Array }>;

/** That its weights are the mean of these, folded with the reference's statistics. */
async function expectMean(model: ModelFile, one: State, other: State): Promise<void> {
  const mean = new Map(
    [...one].map(([name, { data: values }]) => [name, values.map((value, i) => (value + other.get(name)!.data[i]!) / 2)]),
  );
  const net = network();
  const folded = foldNorms(net.norms, new Map([...mean, ...(await referenceStatistics(mean))]));
  const exported = [...floatWeights(model, "test")].filter(([name]) => name.startsWith("encoder.") || name.startsWith("gaussians."));
  expect(exported.length).toBeGreaterThan(net.norms.length);
  for (const [name, values] of exported) expect([name, relativeError(values, folded.get(name)!) < 1e-4]).toEqual([name, true]);
}

/** With every normalised filter of `state` as large as that of `other`. */
function sizedLike(other: State, state: State): State {
  const sized = new Map(state);
  for (const { layer, norm } of network().norms) {
    const [name, outputs] = [`${layer}.weight`, state.get(`${norm}.bias`)!.data.length];
    const values = state.get(name)!.data;
    const perOutput = values.length / outputs;
    const size = (all: Float32Array, o: number) => Math.hypot(...all.subarray(o * perOutput, (o + 1) * perOutput));
    const scales = Array.from({ length: outputs }, (_, o) => size(other.get(name)!.data, o) / size(values, o));
    sized.set(name, { data: values.map((value, i) => value * scales[Math.floor(i / perOutput)]!) });
  }
  return sized;
}

describe("the mean of trainings", () => {
  it("has the mean of their weights, and batch normalisation by the statistics of that mean", async () => {
    const model = await averageRuns({ runs, data });
    await expectMean(model, loadCheckpoint(first).state, loadCheckpoint(second).state);
    expect(model.card.training).toMatchObject({
      config: again,
      steps: 27,
      startedFrom: [{ config, data: data.name, steps: 72 }],
      averagedWith: [{ config, data: data.name, steps: 72 }],
    });
  }, 60_000);

  it("takes a model file with the weights that a training, begun with it, had at first", async () => {
    const file = join(first, "model.onnx");
    const third = temporaryFolder();
    await train({ config: again, data, out: third, from: file });
    const model = await averageRuns({ runs: [file, third], data });
    const { state } = loadCheckpoint(third);
    const parameters = [...state].map(([name, { shape }]) => ({ name, shape })).filter(({ name }) => /^(encoder|gaussians)\./.test(name));
    const begun = await beginWith(file, parameters as never, state, { images: data, imageSize: 16 });
    await expectMean(model, sizedLike(state, new Map(parameters.map(({ name }) => [name, begun.state.get(name)!]))), state);
    expect(model.card.training).toMatchObject({ config: again, averagedWith: [{ config, data: data.name, steps: 72 }] });

    const before = join(second, "model.onnx");
    await expect(averageRuns({ runs: [before, third], data })).rejects.toThrow(`${third} did not begin with ${before}`);
    await expect(averageRuns({ runs: [file, join(third, "model.onnx")], data })).rejects.toThrow(
      "expected the folder of a training at least",
    );
  }, 60_000);

  it("classifies as well as they do, with thresholds of its own", async () => {
    const model = await averageRuns({ runs, data });
    const test = await testDigits();
    const classifier = await Classifier.load(model);
    const { labels } = await classifier.classify(test);
    await classifier.release();
    expect(labels.filter((c, i) => c === test.labels[i]).length / test.count).toBeGreaterThan(0.9);
    expect(model.card.calibration.thresholds).not.toEqual(readModelFile(join(second, "model.onnx")).card.calibration.thresholds);
  });

  it("tells progress, and stops when it is told to", async () => {
    const stop = new AbortController();
    const seen: string[] = [];
    const onStatistics = (done: number, total: number) => {
      seen.push(`${done}/${total}`);
      if (done === 2) stop.abort();
    };
    await expect(averageRuns({ runs, data, signal: stop.signal, onStatistics })).rejects.toThrow("stopped; nothing was written");
    expect(seen).toEqual(["1/9", "2/9"]);
  });

  it("wants two trainings of one network on the same images", async () => {
    const averaged = (other: Partial<Parameters<typeof averageRuns>[0]>) => averageRuns({ runs, data, ...other });
    await expect(averaged({ runs: [first] })).rejects.toThrow(`expected the folders of two trainings or more, each once, got ${first}`);
    await expect(averaged({ runs: [first, first] })).rejects.toThrow("each once");
    await expect(averaged({ runs: [first, temporaryFolder()] })).rejects.toThrow("there is no checkpoint");
    await expect(averaged({ data: takeFirst(data, 100) })).rejects.toThrow(`${first} was trained on`);
    const other = temporaryFolder();
    await train({ config: { ...config, epochs: 1, dimension: 9 }, data, out: other });
    await expect(averaged({ runs: [other, second] })).rejects.toThrow(`${other} and ${second} are not of one network`);
  });
});

it("says so when a newest checkpoint is damaged and the one before it serves", async () => {
  const folder = temporaryFolder();
  copyFileSync(checkpointPath(first), previousCheckpointPath(folder));
  writeFileSync(checkpointPath(folder), readFileSync(checkpointPath(first)).subarray(0, -8));
  const notes: string[] = [];
  await averageRuns({ runs: [folder, second], data, onNote: (note) => notes.push(note) });
  expect(notes).toEqual([expect.stringMatching(/not a whole safetensors file.*\nso the checkpoint before it serves, of step 72/)]);
});

it("says so when a training has not ended, and takes what it has now", async () => {
  const out = temporaryFolder();
  const stop = new AbortController();
  const stopping = train({ config: { ...config, seed: 3 }, data, out, from: first, signal: stop.signal, onProgress: () => stop.abort() });
  await expect(stopping).rejects.toThrow();
  const { step } = loadCheckpoint(out).position;
  const notes: string[] = [];
  await averageRuns({ runs: [out, second], data, onNote: (note) => notes.push(note) });
  expect(notes).toEqual([
    expect.stringMatching(new RegExp(`^${out} has done ${step} of its \\d+ steps: it counts with the weights it has now$`)),
  ]);
});

describe("sdim average", () => {
  const digits = ["--data", "mnist", "--limit", "640"];
  const small = ["--preset", "quick", "--widths", "16,16,16,16", "--image-size", "8", "--epochs", "1", "--thresholds-for", "all-classes"];

  it("writes one model file of runs, by the data they name, and replaces nothing unasked", async () => {
    const folder = temporaryFolder();
    const [a, b, out] = ["a", "b", "mean.onnx"].map((name) => join(folder, name));
    expect((await sdimHere("train", ...digits, ...small, "--out", a!)).code).toBe(0);
    expect((await sdimHere("train", ...digits, ...small, "--from", a!, "--seed", "2", "--out", b!)).code).toBe(0);
    const { code, stdout } = await sdimHere("average", a!, b!, "--limit", "640", "--out", out!);
    const { training, measured } = readModelFile(out!).card;
    expect(training["averagedWith"]).toHaveLength(1);
    const [accuracy, rejected] = ["testAccuracy", "testRejectionRate"].map((key) => (100 * measured[key]!).toFixed(2));
    expect([code, stdout]).toEqual([0, `${out}: the mean of ${a}, ${b}, test accuracy ${accuracy}%, ${rejected}% rejected\n`]);

    const inspected = (await sdimHere("inspect", out!)).stdout;
    expect(inspected).toMatch(/\n {2}began {4}with the weights of a training on mnist, \d+ steps\n/);
    expect(inspected).toMatch(/\n {2}mean {5}of these weights and those of a training on mnist, \d+ steps\n/);

    const refused = await sdimHere("average", a!, b!, "--limit", "640", "--out", out!);
    expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining("is there already; --force replaces it")]);
    const others = await sdimHere("average", a!, b!, "--limit", "600", "--out", join(folder, "other.onnx"));
    expect([others.code, others.stderr]).toEqual([2, expect.stringContaining("all runs must have seen the same")]);
    expect(existsSync(join(folder, "other.onnx"))).toBe(false);
  });
});
