import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import * as web from "onnxruntime-web";
import { beforeAll, describe, expect, it } from "vitest";
import { Classifier } from "../../src/classify/classifier.ts";
import { InputGradients } from "../../src/classify/input-gradients.ts";
import { encodeModelFile, readModelFile, tensorsOf, thresholdsInForce } from "../../src/classify/model-file.ts";
import { UserError } from "../../src/core/errors.ts";
import { Random } from "../../src/core/random.ts";
import { takeFirst } from "../../src/data/image-set.ts";
import { loadDataset } from "../../src/data/registry.ts";
import { constant, mul, sum } from "../../src/graph/build.ts";
import { Graph } from "../../src/graph/graph.ts";
import { evaluate } from "../../src/graph/reference.ts";
import { buildInputGradient } from "../../src/nn/scorer.ts";
import { lower, portable } from "../../src/onnx/lower.ts";
import { describeValues, encodeModel, readTensor } from "../../src/onnx/model-file.ts";
import { calibrateModel } from "../../src/reject/calibrate.ts";
import { train } from "../../src/train/train.ts";
import { temporaryFolder, testDigits, tinyConfig, trainingDigits } from "../support/digits.ts";
import { expectGradientsMatchDifferences, type Feeds, relativeError } from "../support/graphs.ts";

const out = temporaryFolder();
const path = join(out, "model.onnx");
const digits = await testDigits();
const garments = takeFirst(await loadDataset("fashion-mnist-sample", "test"), 100);
beforeAll(async () => {
  await train({ config: tinyConfig({ epochs: 4 }), data: await trainingDigits(), out });
});

function randomImages(count: number, height: number, width: number) {
  const random = new Random(height);
  return { count, height, width, channels: 1, pixels: Uint8Array.from({ length: count * height * width }, () => random.below(256)) };
}

describe("a model file", () => {
  it("promises its inputs and outputs by name, type and shape", () => {
    const { proto } = readModelFile(path);
    expect(describeValues(proto, "input")).toEqual([{ name: "images", dtype: "uint8", dims: ["N", "H", "W", 1] }]);
    expect(describeValues(proto, "output")).toEqual([
      { name: "label", dtype: "int64", dims: ["N"] },
      { name: "accepted", dtype: "bool", dims: ["N"] },
      { name: "log_likelihood", dtype: "float32", dims: ["N"] },
      { name: "threshold", dtype: "float32", dims: ["N"] },
      { name: "class_log_likelihoods", dtype: "float32", dims: ["N", 3] },
      { name: "representation", dtype: "float32", dims: ["N", 8] },
    ]);
    expect(tensorsOf(readModelFile(path)).has("encoder.stage1.block1.conv1.weight")).toBe(true);
  });

  it("is loaded from its path, its address and its bytes, and used until it is released", async () => {
    const images = randomImages(2, 28, 28);
    const answers = [];
    for (const source of [path, pathToFileURL(path), readFileSync(path), readModelFile(path)]) {
      const classifier = await Classifier.load(source, { threads: 1 });
      answers.push(await classifier.classify(images));
      await classifier.release();
      await expect(classifier.classify(images)).rejects.toThrow("classify: this classifier was released; load another");
    }
    for (const answer of answers) expect(answer).toEqual(answers[0]);
    await expect(Classifier.load(readFileSync(path).subarray(9))).rejects.toThrow(/the model's bytes/);
  });

  it("says what is wrong to callers without a compiler", async () => {
    const classifier = await Classifier.load(path, { threads: 1 });
    const images = randomImages(2, 28, 28);
    const floats = { ...images, pixels: Float32Array.from(images.pixels) as unknown as Uint8Array };
    await expect(classifier.classify(floats)).rejects.toThrow("images: expected pixels as a Uint8Array");
    await expect(classifier.classify({ ...images, count: undefined as unknown as number })).rejects.toThrow("images: expected count");
    const mistyped = { percentil: 2 } as object;
    await expect(classifier.classify(images, mistyped)).rejects.toThrow('did you mean "percentile"?');
    await expect(Classifier.load(path, { thread: 1 } as object)).rejects.toThrow('did you mean "threads"?');
    await expect(InputGradients.load(path, undefined as unknown as number)).rejects.toThrow("batchSize: expected a whole number");
    await classifier.release();
  });

  it.each([
    [1, 28, 28],
    [3, 16, 16],
    [2, 57, 40],
  ])("decides by its rule on %i images of %i x %i", async (count, height, width) => {
    const classifier = await Classifier.load(path);
    const result = await classifier.classify(randomImages(count, height, width));
    await classifier.release();
    const thresholds = thresholdsInForce(classifier.card);
    for (let i = 0; i < count; i++) {
      const row = [...result.classLogLikelihoods.subarray(i * 3, i * 3 + 3)];
      const label = row.indexOf(Math.max(...row));
      expect(result.labels[i]).toBe(label);
      expect(result.logLikelihoods[i]).toBe(row[label]);
      expect(result.thresholds[i]).toBe(thresholds[label]);
      expect(result.accepted[i]).toBe(Number(row[label]! >= thresholds[label]!));
    }
  });

  it("gives an image the same verdict alone and in a batch", async () => {
    const classifier = await Classifier.load(path);
    const [together, apart] = [await classifier.classify(digits, { batchSize: 64 }), await classifier.classify(digits, { batchSize: 1 })];
    await classifier.release();
    expect(apart.labels).toEqual(together.labels);
    expect(apart.accepted).toEqual(together.accepted);
  });

  it("survives being written and read", () => {
    const file = readModelFile(path);
    expect(Buffer.from(encodeModelFile(file)).equals(readFileSync(path))).toBe(true);
    expect(file.card.calibration.thresholds.map(({ percentile }) => percentile)).toEqual([0.5, 1, 2, 5, 10]);
  });

  it("calibrated anew differs in its thresholds and metadata alone", async () => {
    const tensors = () => new Map(readModelFile(path).proto.graph!.initializer.map((tensor) => [tensor.name, readTensor(tensor).data]));
    const before = tensors();
    const { file } = await calibrateModel(readModelFile(path), digits, { percentile: 20, percentiles: [] });
    const after = new Map(file.proto.graph!.initializer.map((tensor) => [tensor.name, readTensor(tensor).data]));
    expect([...after.keys()]).toEqual([...before.keys()]);
    const changed = [...after].filter(
      ([name, data]) => JSON.stringify([...data].map(String)) !== JSON.stringify([...before.get(name)!].map(String)),
    );
    expect(changed.map(([name]) => name)).toEqual(["thresholds"]);
    expect(Float32Array.from(after.get("thresholds") as Float32Array)).toEqual(thresholdsInForce(file.card));
    const classifier = await Classifier.load(file);
    const { accepted, labels } = await classifier.classify(digits);
    await classifier.release();
    const rejectedCorrect = accepted.filter((one, i) => one === 0 && labels[i] === digits.labels[i]).length;
    const correct = labels.filter((label, i) => label === digits.labels[i]).length;
    expect(Math.abs(rejectedCorrect / correct - 0.2)).toBeLessThan(0.02);
  });

  it("is left as it was when another is calibrated from it", async () => {
    const file = readModelFile(path);
    const strict = (await calibrateModel(file, digits, { percentile: 20, percentiles: [] })).file;
    const written = encodeModelFile(strict);
    await calibrateModel(strict, digits, { percentile: 1, percentiles: [] });
    expect(Buffer.from(encodeModelFile(strict)).equals(written)).toBe(true);
    expect(Buffer.from(encodeModelFile(file)).equals(readFileSync(path))).toBe(true);
  });

  it("decides by any thresholds that it carries, and says which there are", async () => {
    const classifier = await Classifier.load(path);
    const inForce = await classifier.classify(digits);
    const strict = await classifier.classify(digits, { percentile: 10 });
    const { values } = classifier.card.calibration.thresholds.find(({ percentile }) => percentile === 10)!;
    expect(strict.labels).toEqual(inForce.labels);
    expect(strict.thresholds).toEqual(Float32Array.from(strict.labels, (label) => values[label]!));
    expect(strict.accepted).toEqual(Uint8Array.from(strict.logLikelihoods, (score, i) => Number(score >= strict.thresholds[i]!)));
    expect(strict.accepted).not.toEqual(inForce.accepted);
    await expect(classifier.classify(digits, { percentile: 3 })).rejects.toThrow(
      "percentile 3: the model file has thresholds at 0.5, 1, 2, 5, 10",
    );
    await expect(classifier.classify(digits, { thresholdsFrom: "validation" })).rejects.toThrow("thresholds from validation");
    await classifier.release();
    await classifier.release();
  });

  it("refuses batches of no images", async () => {
    const classifier = await Classifier.load(path);
    for (const batchSize of [0, -1, 0.5]) {
      await expect(classifier.classify(digits, { batchSize })).rejects.toThrow(
        `batchSize: expected a whole number of images, at least 1, got ${batchSize}`,
      );
    }
    await classifier.release();
  });

  it("with a training-frequency prior decides by log p(z|c) + log p(c)", async () => {
    const folder = temporaryFolder();
    const data = await trainingDigits();
    const { model } = await train({
      config: tinyConfig({ epochs: 4, prior: "training-frequency" }),
      data,
      out: folder,
    });
    const logPriors = tensorsOf(model).get("log_priors")!;
    expect([...logPriors].reduce((total, value) => total + Math.exp(value), 0)).toBeCloseTo(1, 5);
    const classifier = await Classifier.load(model);
    const { labels, classLogLikelihoods, logLikelihoods } = await classifier.classify(digits);
    await classifier.release();
    labels.forEach((label, i) => {
      const row = [...classLogLikelihoods.subarray(i * 3, i * 3 + 3)];
      const posterior = row.map((value, c) => Math.fround(value + logPriors[c]!));
      expect(label).toBe(posterior.indexOf(Math.max(...posterior)));
      expect(logLikelihoods[i]).toBe(row[label]);
    });
  });

  it.each([
    ["something else", () => Buffer.from("not a model"), "bad.onnx"],
    ["truncated", () => readFileSync(path).subarray(0, 20_000), "bad.onnx"],
    [
      "an ONNX model of somebody else",
      () => encodeModel(lower({ y: constant(new Graph(), [1]) }, { target: portable })),
      'an ONNX model, but not one of ours: expected metadata "sdim"',
    ],
  ])("that is %s is refused", async (_what, bytes, message) => {
    const bad = join(out, "bad.onnx");
    writeFileSync(bad, bytes());
    await expect(Classifier.load(bad)).rejects.toThrow(UserError);
    await expect(Classifier.load(bad)).rejects.toThrow(message);
  });

  it("that is a pipe is not waited for", () => {
    const pipe = join(out, "pipe.onnx");
    execFileSync("mkfifo", [pipe]);
    expect(() => readModelFile(pipe)).toThrow(new UserError(`cannot read the model ${pipe}: it is a device or a pipe, not a file`));
  });

  it("refuses images with other channels, or pixels that do not fit", async () => {
    const classifier = await Classifier.load(path);
    await expect(classifier.classify({ count: 1, height: 2, width: 2, channels: 3, pixels: new Uint8Array(12) })).rejects.toThrow(
      "the model takes 1 channel(s), got 3",
    );
    await expect(classifier.classify({ count: 2, height: 2, width: 2, channels: 1, pixels: new Uint8Array(7) })).rejects.toThrow(
      "expected 2 x 2 x 2 x 1 pixels, got 7 values",
    );
    await classifier.release();
  });
});

describe("the same file in onnxruntime-web", () => {
  it("gives the verdicts of Node on real digits and garments", async () => {
    web.env.wasm.numThreads = 1;
    web.env.logLevel = "error";
    const session = await web.InferenceSession.create(readFileSync(path), { executionProviders: ["wasm"] });
    const classifier = await Classifier.load(path);
    for (const set of [takeFirst(digits, 64), takeFirst(garments, 64)]) {
      const expected = await classifier.classify(set);
      const results = await session.run({ images: new web.Tensor("uint8", set.pixels, [set.count, set.height, set.width, set.channels]) });
      expect(Array.from(results["label"]!.data as BigInt64Array, Number)).toEqual([...expected.labels]);
      expect([...(results["accepted"]!.data as Uint8Array)]).toEqual([...expected.accepted]);
      (results["log_likelihood"]!.data as Float32Array).forEach((value, i) => {
        expect(Math.abs(value - expected.logLikelihoods[i]!)).toBeLessThan(1e-3 * Math.max(1, Math.abs(value)));
      });
    }
    await Promise.all([session.release(), classifier.release()]);
  });
});

describe("input gradients", () => {
  const batch = 2;
  const size = 16 * 16;
  const random = new Random(3);
  const x = Float32Array.from({ length: batch * size }, () => Math.fround(random.below(256) / 255));
  const weights = Float32Array.from({ length: batch * 3 }, () => random.normal());

  it("match finite differences in float64, and ONNX Runtime matches that", async () => {
    const file = readModelFile(path);
    const { outputs, net } = buildInputGradient(file.card.model, batch);
    const feeds: Feeds = new Map(
      net.graph
        .parameters()
        .map(({ name, type }) => [name, { shape: type.shape as number[], data: Float64Array.from(tensorsOf(file).get(name)!) }]),
    );
    feeds.set("x", { shape: [batch, 1, 16, 16], data: Float64Array.from(x) });
    feeds.set("class_weights", { shape: [batch, 3], data: Float64Array.from(weights) });
    const scores = outputs["class_log_likelihoods"]!;
    const input = net.graph.values.find(({ name }) => name === "x")!;
    const objective = sum(mul(scores, net.graph.values.find(({ name }) => name === "class_weights")!));
    expectGradientsMatchDifferences(objective, [input], [outputs["input_gradient"]!], feeds, 1e-5, 1e-8);

    const gradients = await InputGradients.load(path, batch);
    const got = await gradients.run(x, weights);
    await gradients.release();
    const [expectedScores, expectedGradient] = evaluate([scores, outputs["input_gradient"]!], feeds);
    expect(relativeError(got.classLogLikelihoods, expectedScores!.data)).toBeLessThan(1e-4);
    expect(relativeError(got.inputGradient, expectedGradient!.data)).toBeLessThan(1e-2);
  });

  it("come with the scores that the model file gives to the same images", async () => {
    const [gradients, classifier] = [await InputGradients.load(path, batch), await Classifier.load(path)];
    const { classLogLikelihoods } = await gradients.run(x, weights);
    const pixels = Uint8Array.from(x, (value) => Math.round(value * 255));
    const whole = await classifier.classify({ count: batch, height: 16, width: 16, channels: 1, pixels });
    expect(relativeError(classLogLikelihoods, whole.classLogLikelihoods)).toBeLessThan(1e-4);
    await Promise.all([gradients.release(), classifier.release()]);
  });

  it("refuse batches of another size", async () => {
    const gradients = await InputGradients.load(path, batch);
    await expect(gradients.run(x.subarray(1), weights)).rejects.toThrow("input gradients: expected x [2,1,16,16] and class weights [2, 3]");
    await gradients.release();
  });
});
