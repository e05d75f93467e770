import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { calibrationsOf, putInForce, sourceOf, thresholdsAt } from "../../src/classify/calibrations.ts";
import { classGaussiansOf, distancesToMeans } from "../../src/classify/class-gaussians.ts";
import { decideAt, joinClassifications } from "../../src/classify/classification.ts";
import { type Classification, Classifier, type ImageBatch } from "../../src/classify/classifier.ts";
import { readModelFile, withCard } from "../../src/classify/model-file.ts";
import { loadDataset } from "../../src/data/registry.ts";

const path = "models/mnist/model.onnx";
const { card } = readModelFile(path);
let images: ImageBatch;
let result: Classification;
beforeAll(async () => {
  const garments = await loadDataset("fashion-mnist-sample", "test");
  images = { pixels: garments.pixels.subarray(0, 60 * 784), count: 60, height: 28, width: 28, channels: 1 };
  const classifier = await Classifier.load(path, { threads: 1 });
  result = await classifier.classify(images);
  await classifier.release();
});
let others: Classifier[] = [];
afterAll(async () => {
  for (const classifier of others) await classifier.release();
  others = [];
});

describe("decideAt", () => {
  it.each(card.calibration.thresholds.map(({ percentile }) => percentile))(
    "percentile %s: as a file with it in force",
    async (percentile) => {
      const file = readModelFile(path);
      const classifier = await Classifier.load(withCard(file, putInForce(card, sourceOf(calibrationsOf(card)[0]!), percentile)), {
        threads: 1,
      });
      others.push(classifier);
      expect(decideAt(result, card, percentile)).toEqual(await classifier.classify(images));
    },
  );

  it("accepts a log-likelihood that is the threshold, and says what there is", () => {
    const threshold = Math.fround(thresholdsAt(card, 2).values[3]!);
    const one = { ...result, count: 1, labels: Int32Array.of(3), logLikelihoods: Float32Array.of(threshold) };
    expect([...decideAt(one, card, 2).accepted]).toEqual([1]);
    expect([...decideAt(one, card, 5).accepted]).toEqual([0]);
    expect(() => decideAt(one, card, 3)).toThrow("percentile 3: the model file has thresholds at");
  });
});

it("joinClassifications puts parts together in order", async () => {
  const classifier = await Classifier.load(path, { threads: 1 });
  others.push(classifier);
  const part = (from: number, to: number) =>
    classifier.classify({ ...images, pixels: images.pixels.subarray(from * 784, to * 784), count: to - from });
  const joined = joinClassifications([await part(0, 7), await part(7, 8), await part(8, 60)]);
  expect([...joined.labels]).toEqual([...result.labels]);
  expect(joined.representations.length).toBe(result.representations.length);
  expect(joined.classLogLikelihoods[59 * 10 + 3]).toBeCloseTo(result.classLogLikelihoods[59 * 10 + 3]!, 2);
});

it("distances to the means belong to the log-likelihoods: ll = -1/2 [d distance^2 + sum_k log(2 pi sigma_k^2)]", () => {
  const gaussians = classGaussiansOf(readModelFile(path))!;
  const { classes, dimension } = card.model;
  const distances = distancesToMeans(result.representations.subarray(0, dimension), gaussians);
  expect(distances.length).toBe(classes);
  for (const [c, distance] of distances.entries()) {
    const deviations = gaussians.deviations.subarray(c * dimension, (c + 1) * dimension);
    const logNormaliser = deviations.reduce((sum, sigma) => sum + Math.log(2 * Math.PI * sigma ** 2), 0);
    expect(-0.5 * (dimension * distance ** 2 + logNormaliser)).toBeCloseTo(result.classLogLikelihoods[c]!, 1);
  }
  expect(classGaussiansOf(readModelFile("models/mnist-softmax/model.onnx"))).toBeUndefined();
});
