import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { withCalibration } from "../../src/classify/calibrations.ts";
import { type Classification, Classifier } from "../../src/classify/classifier.ts";
import { InputGradients } from "../../src/classify/input-gradients.ts";
import { encodeModelFile, type ModelFile, readModelFile, rejecting, tensorsOf, withCard } from "../../src/classify/model-file.ts";
import { Random } from "../../src/core/random.ts";
import type { ImageSet } from "../../src/data/image-set.ts";
import { exportSmall } from "../../src/export/export.ts";
import { calibrateModel } from "../../src/reject/calibrate.ts";
import { train } from "../../src/train/train.ts";
import { temporaryFolder, testDigits, tinyConfig, trainingDigits } from "../support/digits.ts";
import { relativeError } from "../support/graphs.ts";

const out = temporaryFolder();
const path = join(out, "model.onnx");
const classes = 3;
const calibration = { percentile: 5, percentiles: [1, 5] };
const digits = await testDigits();
const training = await trainingDigits();
let penalised: ModelFile;
beforeAll(async () => {
  await train({ config: tinyConfig({ epochs: 4 }), data: training, out });
  ({ file: penalised } = await calibrateModel(readModelFile(path), training, { ...calibration, rejectBy: "penalised-likelihood" }));
});

async function classified(file: ModelFile, images: ImageSet = digits): Promise<Classification> {
  const classifier = await Classifier.load(file);
  try {
    return await classifier.classify(images);
  } finally {
    await classifier.release();
  }
}

const meanOf = (row: Float32Array): number => row.reduce((total, value) => total + value, 0) / classes;
const rowOf = (scores: Float32Array, image: number): Float32Array => scores.subarray(image * classes, (image + 1) * classes);
const limitOf = (file: ModelFile): number => tensorsOf(file).get("background_limit")![0]!;

describe("a model that rejects by penalised likelihood", () => {
  it("takes from every class what their mean has above the limit, names the same classes, and rejects by thresholds of that", async () => {
    // Lower than the one that was taken, so that many images have a penalty and many have none.
    const plain = await classified(readModelFile(path));
    const limit = Array.from(plain.labels, (_, i) => meanOf(rowOf(plain.classLogLikelihoods, i))).sort((a, b) => a - b)[digits.count / 2]!;
    const other = await classified(rejecting(readModelFile(path), { rejectBy: "penalised-likelihood", backgroundLimit: limit }));
    expect(other.labels).toEqual(plain.labels);
    const expected = Float64Array.from(plain.classLogLikelihoods, (value, i) => {
      const background = meanOf(rowOf(plain.classLogLikelihoods, Math.floor(i / classes)));
      return value - Math.max(0, background - limit);
    });
    expect(relativeError(other.classLogLikelihoods, expected)).toBeLessThan(1e-5);
    const untouched = plain.classLogLikelihoods.filter((value, i) => other.classLogLikelihoods[i] === value).length;
    expect(untouched / (classes * digits.count)).toBeCloseTo(0.5, 1);
  });

  it("rejects by its thresholds, and the limit is the 99th percentile of the calibration images that it gets right", async () => {
    const [threshold] = penalised.card.calibration.thresholds.filter(({ percentile }) => percentile === 5);
    const { labels, accepted, logLikelihoods, classLogLikelihoods } = await classified(penalised);
    accepted.forEach((flag, i) => {
      expect(logLikelihoods[i]).toBe(classLogLikelihoods[i * classes + labels[i]!]);
      expect(flag).toBe(Number(logLikelihoods[i]! >= Math.fround(threshold!.values[labels[i]!]!)));
    });
    expect(accepted.includes(0)).toBe(true);
    const seen = await classified(readModelFile(path), training);
    const right = Array.from(seen.labels, (label, i) => (label === training.labels[i] ? i : -1)).filter((i) => i >= 0);
    const above = right.filter((i) => meanOf(rowOf(seen.classLogLikelihoods, i)) > limitOf(penalised) + 1e-3).length;
    expect(above).toBe(right.length - 1 - Math.floor(0.99 * right.length));
  });

  it.each([
    ["above the limit, that of weights less their mean", -1e6, (row: Float32Array) => row.map((weight) => weight - meanOf(row))],
    ["below the limit, that of the likelihoods", 1e6, (row: Float32Array) => row],
  ])("has as gradient, %s", async (_where, backgroundLimit, asOfLikelihoods) => {
    const batch = 2;
    const random = new Random(5);
    const x = Float32Array.from({ length: batch * 16 * 16 }, () => Math.fround(random.below(256) / 255));
    const weights = Float32Array.from({ length: batch * classes }, () => random.normal());
    const other = rejecting(readModelFile(path), { rejectBy: "penalised-likelihood", backgroundLimit });
    const gradients = [await InputGradients.load(path, batch), await InputGradients.load(other, batch)] as const;
    const equivalent = Float32Array.from([0, 1].flatMap((image) => Array.from(asOfLikelihoods(rowOf(weights, image)))));
    const [expected, got] = [await gradients[0].run(x, equivalent), await gradients[1].run(x, weights)];
    await Promise.all(gradients.map((one) => one.release()));
    expect(relativeError(got.inputGradient, Float64Array.from(expected.inputGradient))).toBeLessThan(1e-3);
    expect(Math.max(...got.inputGradient.map(Math.abs))).toBeGreaterThan(0);
  });

  it("is, calibrated back, the file it was", async () => {
    const { percentile, thresholds } = readModelFile(path).card.calibration;
    const percentiles = thresholds.map((set) => set.percentile);
    const { file } = await calibrateModel(penalised, training, { percentile, percentiles, rejectBy: "likelihood" });
    const [back, before] = [encodeModelFile(file), readFileSync(path)];
    expect(Buffer.from(back).equals(before)).toBe(true);
  });

  it("has no thresholds left of the score before", async () => {
    const file = readModelFile(path);
    const both = withCard(file, withCalibration(file.card, { ...file.card.calibration, source: "validation" }));
    expect(both.card.otherCalibrations).toHaveLength(1);
    const { card } = (await calibrateModel(both, training, { ...calibration, rejectBy: "penalised-likelihood" })).file;
    expect([card.calibration.source, card.otherCalibrations]).toEqual(["training", undefined]);
    const again = (await calibrateModel(both, digits, { ...calibration, rejectBy: "likelihood" })).file.card;
    expect(again.otherCalibrations).toHaveLength(2);
  });

  it("keeps its rule in 16-bit and 8-bit exports, and gives none to change", async () => {
    const expected = await classified(penalised);
    for (const format of ["onnx-fp16", "onnx-int8"] as const) {
      const small = await exportSmall(penalised, format, { isWeightsOnly: false, calibrationImages: training, threads: 1 });
      const got = await classified(small);
      const alike = got.labels.filter((label, i) => label === expected.labels[i]).length / digits.count;
      expect(alike).toBeGreaterThan(0.95);
      const change =
        got.logLikelihoods.reduce((total, value, i) => total + Math.abs(value - expected.logLikelihoods[i]!), 0) / digits.count;
      const size = expected.logLikelihoods.reduce((total, value) => total + Math.abs(value), 0) / digits.count;
      expect(change / size).toBeLessThan(0.1);
      expect(() => rejecting(small, { rejectBy: "likelihood" })).toThrow("the weights are not stored in float32");
    }
  });
});

describe("a model of the softmax head", () => {
  it("has no likelihoods to reject by", async () => {
    const { model } = await train({ config: tinyConfig({ head: "softmax", epochs: 4 }), data: training, out: temporaryFolder() });
    expect(() => rejecting(model, { rejectBy: "penalised-likelihood", backgroundLimit: 0 })).toThrow("the softmax head has no likelihoods");
    expect(() => tinyConfig({ head: "softmax", rejectBy: "penalised-likelihood" })).toThrow("the softmax head has no likelihoods");
  });
});

describe("a training", () => {
  it("makes what calibrating afterwards makes, and may have one threshold for all classes", async () => {
    const config = tinyConfig({ epochs: 4, rejectBy: "penalised-likelihood", thresholdsFor: "all-classes" });
    const { model } = await train({ config, data: training, out: temporaryFolder() });
    const { calibration: made } = model.card;
    expect(made.thresholdsFor).toBe("all-classes");
    for (const { values } of made.thresholds) expect(new Set(values).size).toBe(1);
    const options = { ...calibration, rejectBy: "penalised-likelihood", thresholdsFor: "all-classes" } as const;
    const { card } = (await calibrateModel(readModelFile(path), training, options)).file;
    expect(card.calibration.thresholds).toEqual(made.thresholds.filter(({ percentile }) => calibration.percentiles.includes(percentile)));
    expect(card.model).toEqual(model.card.model);
    const again = (await calibrateModel(model, training, { percentile: 5, percentiles: [] })).file.card.calibration;
    expect(again.thresholdsFor).toBe("all-classes");
    expect(again.thresholds).toEqual(made.thresholds.filter(({ percentile }) => percentile === 5));
  });
});
