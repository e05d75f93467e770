import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { withCalibration } from "../../src/classify/calibrations.ts";
import { type Classification, Classifier } from "../../src/classify/classifier.ts";
import { InputGradients } from "../../src/classify/input-gradients.ts";
import {
  encodeModelFile,
  type ModelFile,
  readModelFile,
  rejecting,
  tensorsOf,
  withCard,
  withStatistics,
} from "../../src/classify/model-file.ts";
import { Random } from "../../src/core/random.ts";
import type { ImageSet } from "../../src/data/image-set.ts";
import { exportSmall } from "../../src/export/export.ts";
import type { Penalty } from "../../src/nn/scorer.ts";
import { statisticsCount } from "../../src/nn/statistics.ts";
import { calibrateModel } from "../../src/reject/calibrate.ts";
import { train } from "../../src/train/train.ts";
import { temporaryFolder, testDigits, tinyConfig, trainingDigits } from "../support/digits.ts";
import { relativeError } from "../support/graphs.ts";

const out = temporaryFolder();
const path = join(out, "model.onnx");
const classes = 3;
const batch = 2;
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

const rowOf = (scores: Float32Array, image: number): Float32Array =>
  scores.subarray((image * scores.length) / digits.count, ((image + 1) * scores.length) / digits.count);
const meanOf = (row: Float32Array): number => row.reduce((total, value) => total + value, 0) / row.length;
const penaltyOf = (file: ModelFile): Penalty => {
  const tensors = tensorsOf(file);
  return {
    backgroundLimit: tensors.get("background_limit")![0]!,
    statisticsLimit: tensors.get("statistics_limit")![0]!,
    statisticsMean: tensors.get("statistics_mean")!,
    statisticsWhitening: tensors.get("statistics_whitening")!,
  };
};
const penalisedBy = (penalty: Partial<Penalty>): ModelFile =>
  rejecting(readModelFile(path), { rejectBy: "penalised-likelihood", penalty: { ...penaltyOf(penalised), ...penalty } });
/** 1/2 |W (t - mu)|^2, all of W. */
function unlikenessOf(row: Float32Array, { statisticsMean, statisticsWhitening }: Penalty): number {
  const whitened = Array.from(row, (_, i) =>
    row.reduce((total, value, k) => total + statisticsWhitening[i * row.length + k]! * (value - statisticsMean[k]!), 0),
  );
  return whitened.reduce((total, value) => total + value * value, 0) / 2;
}
const medianOf = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
const far = 1e9;

function someImages(): readonly [x: Float32Array, weights: Float32Array] {
  const random = new Random(5);
  const x = Float32Array.from({ length: batch * 16 * 16 }, () => Math.fround(random.below(256) / 255));
  return [x, Float32Array.from({ length: batch * classes }, () => random.normal())];
}

describe("a model that rejects by penalised likelihood", () => {
  it("takes two penalties from every class, each above its limit, and names the same classes", async () => {
    const plain = await classified(withStatistics(readModelFile(path)));
    const penalty = penaltyOf(penalised);
    const backgrounds = Array.from(plain.labels, (_, i) => meanOf(rowOf(plain.classLogLikelihoods, i)));
    const unlikenesses = Array.from(plain.labels, (_, i) => unlikenessOf(rowOf(plain.statistics!, i), penalty));
    // Lower than those that were taken, so that many images have a penalty and many have none.
    const [backgroundLimit, statisticsLimit] = [medianOf(backgrounds), medianOf(unlikenesses)];
    for (const limits of [
      { backgroundLimit, statisticsLimit: far },
      { backgroundLimit: far, statisticsLimit },
      { backgroundLimit, statisticsLimit },
    ]) {
      const other = await classified(penalisedBy(limits));
      expect(other.labels).toEqual(plain.labels);
      const penalties = backgrounds.map(
        (b, i) => Math.max(0, b - limits.backgroundLimit) + Math.max(0, unlikenesses[i]! - limits.statisticsLimit),
      );
      const expected = Float64Array.from(plain.classLogLikelihoods, (value, i) => value - penalties[Math.floor(i / classes)]!);
      expect(relativeError(other.classLogLikelihoods, expected)).toBeLessThan(1e-5);
      expect(penalties.filter((one) => one === 0).length).toBeGreaterThan(10);
      expect(penalties.filter((one) => one > 0.1).length).toBeGreaterThan(10);
    }
  });

  it("rejects by its thresholds, and the limits are percentiles of the calibration images that it gets right", async () => {
    const [threshold] = penalised.card.calibration.thresholds.filter(({ percentile }) => percentile === 5);
    const { labels, accepted, logLikelihoods, classLogLikelihoods } = await classified(penalised);
    accepted.forEach((flag, i) => {
      expect(logLikelihoods[i]).toBe(classLogLikelihoods[i * classes + labels[i]!]);
      expect(flag).toBe(Number(logLikelihoods[i]! >= Math.fround(threshold!.values[labels[i]!]!)));
    });
    expect(accepted.includes(0)).toBe(true);
    const seen = await classified(withStatistics(readModelFile(path)), training);
    const right = Array.from(seen.labels.keys()).filter((i) => seen.labels[i] === training.labels[i]);
    const penalty = penaltyOf(penalised);
    const row = (values: Float32Array, i: number) =>
      values.subarray((i * values.length) / seen.count, ((i + 1) * values.length) / seen.count);
    const above = (score: (i: number) => number, limit: number) => right.filter((i) => score(i) > limit + 1e-3).length;
    expect(above((i) => meanOf(row(seen.classLogLikelihoods, i)), penalty.backgroundLimit)).toBe(
      right.length - 1 - Math.floor(0.99 * right.length),
    );
    expect(above((i) => unlikenessOf(row(seen.statistics!, i), penalty), penalty.statisticsLimit)).toBe(
      right.length - 1 - Math.floor(0.9 * right.length),
    );
  });

  it("whitens statistics by their covariance over n images and as many more as there are statistics, independent ones", async () => {
    const seen = await classified(withStatistics(readModelFile(path)), training);
    const right = Array.from(seen.labels.keys()).filter((i) => seen.labels[i] === training.labels[i]);
    const size = seen.statistics!.length / seen.count;
    expect(size).toBe(statisticsCount(penalised.card.model));
    const { statisticsMean: mean, statisticsWhitening: whitening } = penaltyOf(penalised);
    const at = (i: number, k: number) => seen.statistics![i * size + k]!;
    expect(
      relativeError(
        mean,
        Float64Array.from({ length: size }, (_, k) => right.reduce((sum, i) => sum + at(i, k), 0) / right.length),
      ),
    ).toBeLessThan(1e-5);
    const covariance = (j: number, k: number) =>
      right.reduce((sum, i) => sum + (at(i, j) - mean[j]!) * (at(i, k) - mean[k]!), 0) / right.length;
    const sigma = (j: number, k: number) => {
      const measured = covariance(j, k);
      return j === k ? Math.max(measured, 1e-6) : (right.length * measured) / (right.length + size);
    };
    const matrix = Array.from({ length: size }, (_, j) => Array.from({ length: size }, (_, k) => sigma(j, k)));
    // W Sigma W^T = I
    const product = (i: number, j: number) => {
      let total = 0;
      for (let k = 0; k < size; k++)
        for (let l = 0; l < size; l++) total += whitening[i * size + k]! * matrix[k]![l]! * whitening[j * size + l]!;
      return total;
    };
    for (let i = 0; i < size; i++) for (let j = 0; j <= i; j++) expect(product(i, j)).toBeCloseTo(i === j ? 1 : 0, 3);
  });

  it.each([
    ["above the limit, that of weights less their mean", -far, (row: Float32Array) => row.map((weight) => weight - meanOf(row))],
    ["below the limits, that of the likelihoods", far, (row: Float32Array) => row],
  ])("has as gradient, %s", async (_where, backgroundLimit, asOfLikelihoods) => {
    const [x, weights] = someImages();
    const other = penalisedBy({ backgroundLimit, statisticsLimit: far });
    const gradients = [await InputGradients.load(path, batch), await InputGradients.load(other, batch)] as const;
    const equivalent = Float32Array.from(
      [0, 1].flatMap((image) => Array.from(asOfLikelihoods(weights.subarray(image * classes, (image + 1) * classes)))),
    );
    const [expected, got] = [await gradients[0].run(x, equivalent), await gradients[1].run(x, weights)];
    await Promise.all(gradients.map((one) => one.release()));
    expect(relativeError(got.inputGradient, Float64Array.from(expected.inputGradient))).toBeLessThan(1e-3);
    expect(Math.max(...got.inputGradient.map(Math.abs))).toBeGreaterThan(0);
  });

  it("has the gradient of the statistics' penalty too: a step along it does what it says", async () => {
    const [x, weights] = someImages();
    const gradients = await InputGradients.load(penalisedBy({ backgroundLimit: far, statisticsLimit: 0 }), batch);
    const valueAt = async (images: Float32Array) =>
      (await gradients.run(images, weights)).classLogLikelihoods.reduce((total, value, i) => total + weights[i]! * value, 0);
    const { inputGradient } = await gradients.run(x, weights);
    const norm = Math.hypot(...inputGradient);
    const step = 1e-3;
    const moved = (sign: number) => x.map((value, i) => value + (sign * step * inputGradient[i]!) / norm);
    const slope = ((await valueAt(moved(1))) - (await valueAt(moved(-1)))) / (2 * step);
    await gradients.release();
    expect(slope / norm).toBeGreaterThan(0.97);
    expect(slope / norm).toBeLessThan(1.03);
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

  it.each([false, true])(
    "keeps its rule in 16-bit and 8-bit exports, and gives none to change; weights only: %s",
    async (isWeightsOnly) => {
      const expected = await classified(penalised);
      for (const format of ["onnx-fp16", "onnx-int8"] as const) {
        const small = await exportSmall(penalised, format, { isWeightsOnly, calibrationImages: training, threads: 1 });
        expect(penaltyOf(small)).toEqual(penaltyOf(penalised));
        const got = await classified(small);
        const alike = got.labels.filter((label, i) => label === expected.labels[i]).length / digits.count;
        expect(alike).toBeGreaterThan(0.95);
        const change =
          got.logLikelihoods.reduce((total, value, i) => total + Math.abs(value - expected.logLikelihoods[i]!), 0) / digits.count;
        const size = expected.logLikelihoods.reduce((total, value) => total + Math.abs(value), 0) / digits.count;
        expect(change / size).toBeLessThan(0.1);
        expect(() => rejecting(small, { rejectBy: "likelihood" })).toThrow("the weights are not stored in float32");
      }
    },
  );
});

describe("a model of the softmax head", () => {
  it("has no likelihoods to reject by", async () => {
    const { model } = await train({ config: tinyConfig({ head: "softmax", epochs: 4 }), data: training, out: temporaryFolder() });
    expect(() => rejecting(model, { rejectBy: "penalised-likelihood", penalty: penaltyOf(penalised) })).toThrow(
      "the softmax head has no likelihoods",
    );
    expect(() => tinyConfig({ head: "softmax", rejectBy: "penalised-likelihood" })).toThrow("the softmax head has no likelihoods");
    expect(() => tinyConfig({ head: "softmax", prior: "training-frequency" })).toThrow("with priors on top they would count twice");
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
    // Calibrating takes penalties outside the graph where it makes them, and in it where the model has them already.
    const [first, second] = [again, made].map(({ thresholds }) => thresholds.find(({ percentile }) => percentile === 5)!.values);
    expect(relativeError(first!, second!)).toBeLessThan(1e-6);
  });
});
