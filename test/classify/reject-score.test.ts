import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { withCalibration } from "../../src/classify/calibrations.ts";
import { type Classification, Classifier } from "../../src/classify/classifier.ts";
import { InputGradients } from "../../src/classify/input-gradients.ts";
import { encodeModelFile, type ModelFile, readModelFile, rejectingBy, withCard } from "../../src/classify/model-file.ts";
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
let relative: ModelFile;
beforeAll(async () => {
  await train({ config: tinyConfig({ epochs: 4 }), data: training, out });
  ({ file: relative } = await calibrateModel(readModelFile(path), training, { ...calibration, rejectBy: "relative-likelihood" }));
});

async function classified(file: ModelFile, images: ImageSet = digits): Promise<Classification> {
  const classifier = await Classifier.load(file);
  try {
    return await classifier.classify(images);
  } finally {
    await classifier.release();
  }
}

/** Each row of [N, C] minus its mean, in float64. */
const relativeToMean = (scores: Float32Array): Float64Array =>
  Float64Array.from(scores, (score, i) => {
    const row = scores.subarray(i - (i % classes), i - (i % classes) + classes);
    return score - row.reduce((total, value) => total + value, 0) / classes;
  });

describe("a model that rejects by relative likelihood", () => {
  it("names the same classes, by log-likelihoods minus their mean, and rejects by thresholds of those", async () => {
    const [plain, other] = [await classified(readModelFile(path)), await classified(relative)];
    expect(other.labels).toEqual(plain.labels);
    expect(relativeError(other.classLogLikelihoods, relativeToMean(plain.classLogLikelihoods))).toBeLessThan(1e-5);
    const [threshold] = relative.card.calibration.thresholds.filter(({ percentile }) => percentile === 5);
    other.accepted.forEach((accepted, i) => {
      const label = other.labels[i]!;
      expect(other.logLikelihoods[i]).toBe(other.classLogLikelihoods[i * classes + label]);
      expect(accepted).toBe(Number(other.logLikelihoods[i]! >= Math.fround(threshold!.values[label]!)));
    });
    expect(other.accepted.includes(0)).toBe(true);
  });

  it("has the gradient of that: weights of the classes act as if their mean were taken off them", async () => {
    const batch = 2;
    const random = new Random(5);
    const x = Float32Array.from({ length: batch * 16 * 16 }, () => Math.fround(random.below(256) / 255));
    const weights = Float32Array.from({ length: batch * classes }, () => random.normal());
    const [plain, other] = [await InputGradients.load(path, batch), await InputGradients.load(relative, batch)];
    const expected = await plain.run(x, Float32Array.from(relativeToMean(weights)));
    const got = await other.run(x, weights);
    await Promise.all([plain.release(), other.release()]);
    expect(relativeError(got.inputGradient, Float64Array.from(expected.inputGradient))).toBeLessThan(1e-3);
    expect(Math.max(...got.inputGradient.map(Math.abs))).toBeGreaterThan(0);
  });

  it("is, calibrated back, the file it was", async () => {
    const { percentile, thresholds } = readModelFile(path).card.calibration;
    const percentiles = thresholds.map((set) => set.percentile);
    const { file } = await calibrateModel(relative, training, { percentile, percentiles, rejectBy: "likelihood" });
    const [back, before] = [encodeModelFile(file), readFileSync(path)];
    expect(Buffer.from(back).equals(before)).toBe(true);
  });

  it("has no thresholds left of the score before", async () => {
    const file = readModelFile(path);
    const both = withCard(file, withCalibration(file.card, { ...file.card.calibration, source: "validation" }));
    expect(both.card.otherCalibrations).toHaveLength(1);
    const { card } = (await calibrateModel(both, training, { ...calibration, rejectBy: "relative-likelihood" })).file;
    expect([card.calibration.source, card.otherCalibrations]).toEqual(["training", undefined]);
    const again = (await calibrateModel(both, digits, { ...calibration, rejectBy: "likelihood" })).file.card;
    expect(again.otherCalibrations).toHaveLength(2);
  });

  it("keeps its rule in 16-bit and 8-bit exports, and gives none to change", async () => {
    const expected = await classified(relative);
    for (const format of ["onnx-fp16", "onnx-int8"] as const) {
      const small = await exportSmall(relative, format, { isWeightsOnly: false, calibrationImages: training, threads: 1 });
      const got = await classified(small);
      const alike = got.labels.filter((label, i) => label === expected.labels[i]).length / digits.count;
      expect(alike).toBeGreaterThan(0.95);
      const change =
        got.logLikelihoods.reduce((total, value, i) => total + Math.abs(value - expected.logLikelihoods[i]!), 0) / digits.count;
      const size = expected.logLikelihoods.reduce((total, value) => total + Math.abs(value), 0) / digits.count;
      expect(change / size).toBeLessThan(0.1);
      expect(() => rejectingBy(small, "likelihood")).toThrow("the weights are not stored in float32");
    }
  });
});

describe("a model of the softmax head", () => {
  it("has no likelihoods to reject by", async () => {
    const { model } = await train({ config: tinyConfig({ head: "softmax", epochs: 4 }), data: training, out: temporaryFolder() });
    expect(() => rejectingBy(model, "relative-likelihood")).toThrow("the softmax head has no likelihoods");
    expect(() => tinyConfig({ head: "softmax", rejectBy: "relative-likelihood" })).toThrow("the softmax head has no likelihoods");
  });
});

describe("a training", () => {
  it("makes what calibrating afterwards makes, and may have one threshold for all classes", async () => {
    const config = tinyConfig({ epochs: 4, rejectBy: "relative-likelihood", thresholdsFor: "all-classes" });
    const { model } = await train({ config, data: training, out: temporaryFolder() });
    const { calibration: made } = model.card;
    expect(made.thresholdsFor).toBe("all-classes");
    for (const { values } of made.thresholds) expect(new Set(values).size).toBe(1);
    const options = { ...calibration, rejectBy: "relative-likelihood", thresholdsFor: "all-classes" } as const;
    const { card } = (await calibrateModel(readModelFile(path), training, options)).file;
    expect(card.calibration.thresholds).toEqual(made.thresholds.filter(({ percentile }) => calibration.percentiles.includes(percentile)));
    expect(card.model).toEqual(model.card.model);
  });
});
