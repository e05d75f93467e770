import { afterAll, describe, expect, it } from "vitest";
import {
  averageRuns,
  Classifier,
  type ClassifierOptions,
  calibrationsOf,
  classGaussiansOf,
  decideAt,
  encodeModelFile,
  fitToCount,
  InputGradients,
  Interrupted,
  posteriors,
  putInForce,
  readPicture,
  resolveConfig,
  score,
  sourceOf,
  thresholdsAt,
  UserError,
  verdictsOf,
} from "../../src/index.ts";

// What callers without a compiler give, and what callers do while a classification is under way.

const path = "models/mnist/model.onnx";
const classifier = await Classifier.load(path, { threads: 1 });
const { card } = classifier;
const gradients = await InputGradients.load(path, 1, { threads: 1 });
afterAll(async () => {
  await Promise.all([classifier.release(), gradients.release()]);
});

const images = (count: number) => ({ count, height: 28, width: 28, channels: 1, pixels: new Uint8Array(count * 784) });
/** Of any type that is asked for. */
const nothing = undefined as never;
const given = (value: unknown) => value as never;
const models = "model: expected a path, a file: URL, a file's bytes or what readModelFile gives, got";
const aCard = "card: expected the card of a classifier or a model file, got undefined";

describe("what is missing, or of another kind, is said", () => {
  it.each<[string, () => unknown, string]>([
    ["Classifier.load()", () => Classifier.load(nothing), `${models} undefined`],
    ["Classifier.load(null)", () => Classifier.load(given(null)), `${models} null`],
    ["Classifier.load({})", () => Classifier.load(given({})), `${models} Object`],
    ["an address elsewhere", () => Classifier.load(new URL("http://a.org/b")), "model: expected a file: URL, got http://a.org/b; fetch"],
    ["verdicts of nothing", () => verdictsOf(nothing, card), "result: expected what classify gives, got undefined"],
    ["verdicts without a card", () => verdictsOf(given({}), nothing), aCard],
    ["posteriors of nothing", () => posteriors(nothing), "result: expected what classify gives, got undefined"],
    ["posteriors of scores alone", () => posteriors(given(new Float32Array(3))), "result: expected what classify gives, got Float32Array"],
    ["no options", () => Classifier.load(path, given(null)), "options of Classifier.load: expected an object, got null"],
    [
      "classify()",
      () => classifier.classify(nothing),
      "images: expected pixels with their count, height, width and channels, got undefined",
    ],
    ["classify(path)", () => classifier.classify(given("a.png")), 'width and channels, got "a.png"'],
    ["no choices", () => classifier.classify(images(1), given(null)), "options of classify: expected an object, got null"],
    ["a percentile in text", () => classifier.classify(images(1), { percentile: given("1") }), 'from 0 to below 100, got "1"'],
    ["no signal", () => classifier.classify(images(1), { signal: given({}) }), "signal: expected an AbortSignal, got Object"],
    ["InputGradients.load()", () => InputGradients.load(nothing, 1), `${models} undefined`],
    ["an unknown option", () => InputGradients.load(path, 1, given({ thread: 1 })), 'did you mean "threads"?'],
    ["run()", () => gradients.run(nothing, nothing), "input gradients: expected x [1,1,32,32] and class weights [1, 10] as Float32Arrays"],
    ["thresholdsAt()", () => thresholdsAt(nothing, 1), aCard],
    ["thresholdsAt(card)", () => thresholdsAt(card, nothing), "percentile: expected a number from 0 to below 100, got undefined"],
    ["calibrationsOf()", () => calibrationsOf(nothing), aCard],
    ["sourceOf()", () => sourceOf(nothing), "calibration: expected one of those that calibrationsOf(card) gives, got undefined"],
    ["putInForce()", () => putInForce(nothing, "training", 1), aCard],
    ["decideAt()", () => decideAt(nothing, card, 1), "result: expected what classify gives, got undefined"],
    ["decideAt(result)", () => decideAt(nothing, nothing, 1), aCard],
    ["encodeModelFile()", () => encodeModelFile(nothing), "model: expected what readModelFile gives, got undefined"],
    ["averageRuns()", () => averageRuns(nothing), "average: expected runs and the data they were trained on, got undefined"],
    ["averageRuns of nothing", () => averageRuns(given({})), "runs: expected the folders of two trainings or more, got undefined"],
    ["averageRuns without data", () => averageRuns(given({ runs: ["a", "b"] })), "data: expected an image set, got undefined"],
    ["score(model, input)", () => score(path, "photos", nothing), "score: expected options with out, the file for the results, got"],
    ["fitToCount()", () => fitToCount(nothing, 1), "fitToCount: expected the config of a training, got undefined"],
    ["fitToCount(config)", () => fitToCount(resolveConfig(), nothing), "fitToCount: expected a whole number of images, got undefined"],
    ["readPicture(file)", () => readPicture("a.png", nothing), "channels: expected 1 (grey) or 3 (RGB), got undefined"],
    ["classGaussiansOf()", () => classGaussiansOf(nothing), "model: expected what readModelFile gives, got undefined"],
  ])("%s", async (_what, call, message) => {
    const called = (async () => call())();
    await expect(called).rejects.toThrow(UserError);
    await expect(called).rejects.toThrow(message);
  });

  it.each<[string, ClassifierOptions, string]>([
    ["no threads", { threads: 0 }, "threads: expected a whole number from 1 to 512, got 0"],
    ["a part of one", { threads: 1.5 }, "threads: expected a whole number from 1 to 512, got 1.5"],
    ["more than any machine has", { threads: 100_000 }, "threads: expected a whole number from 1 to 512, got 100000"],
    ["text", { threads: given("2") }, 'threads: expected a whole number from 1 to 512, got "2"'],
    ["a provider that is none", { provider: given("cup") }, 'unknown provider "cup": did you mean "cpu"? Known: cpu, webgpu, cuda'],
  ])("%s", async (_what, options, message) => {
    for (const load of [() => Classifier.load(path, options), () => InputGradients.load(path, 1, options)]) {
      await expect(load()).rejects.toThrow(new UserError(message));
    }
  });
});

describe("a classification under way", () => {
  it("is finished before the classifier is released, and no other begins", async () => {
    const one = await Classifier.load(path, { threads: 1 });
    const done: number[] = [];
    const classifying = one.classify(images(6), { batchSize: 1, onProgress: (count) => done.push(count) });
    const released = one.release();
    await expect(one.classify(images(1))).rejects.toThrow("classify: this classifier was released; load another");
    await released;
    expect(done).toEqual([1, 2, 3, 4, 5, 6]);
    expect((await classifying).labels).toHaveLength(6);
  });

  it("stops between two batches where it is told to, and the classifier goes on", async () => {
    const controller = new AbortController();
    const onProgress = (count: number) => count === 4 && controller.abort();
    const stopped = classifier.classify(images(10), { batchSize: 2, onProgress, signal: controller.signal });
    await expect(stopped).rejects.toThrow(new Interrupted("classify: stopped after 4 of 10 images"));
    await expect(classifier.classify(images(1), { signal: controller.signal })).rejects.toThrow("stopped after 0 of 1 images");
    expect((await classifier.classify(images(3), { signal: new AbortController().signal })).count).toBe(3);
  });
});

it("posteriors are of each image by itself, and sum to 1", async () => {
  const mixed = { ...images(3), pixels: Uint8Array.from({ length: 3 * 784 }, (_, i) => (i * i) % 251) };
  const [all, one] = [
    await classifier.classify(mixed),
    await classifier.classify({ ...mixed, count: 1, pixels: mixed.pixels.subarray(0, 784) }),
  ];
  const rows = posteriors(all, classifier.logPriors);
  for (let i = 0; i < 3; i++) {
    const row = rows.subarray(i * 10, (i + 1) * 10);
    expect(row.reduce((a, b) => a + b)).toBeCloseTo(1, 12);
    expect(row.indexOf(Math.max(...row))).toBe(all.labels[i]);
  }
  expect(posteriors(one, classifier.logPriors).length).toBe(10);
});

it("verdicts have the names of the classes, image by image", async () => {
  const result = await classifier.classify(images(2));
  const verdicts = verdictsOf(result, card);
  expect(verdicts.map(({ label }) => label)).toEqual([...result.labels].map((label) => card.classNames[label]));
  expect(verdicts.map(({ accepted }) => Number(accepted))).toEqual([...result.accepted]);
  expect(verdicts.map(({ logLikelihood }) => logLikelihood)).toEqual([...result.logLikelihoods]);
  expect(verdicts.map(({ threshold }) => threshold)).toEqual([...result.thresholds]);
});

it("a model's address may be text", async () => {
  const other = await Classifier.load(new URL("../../models/mnist/model.onnx", import.meta.url).href, { threads: 1 });
  expect(other.card).toEqual(card);
  await other.release();
});
