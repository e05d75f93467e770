import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { loadAttackedModel } from "../../src/attacks/model.ts";
import { type Classification, Classifier } from "../../src/classify/classifier.ts";
import { decodeModelFile, encodeModelFile, type ModelFile, readModelFile, withStatistics } from "../../src/classify/model-file.ts";
import { Random } from "../../src/core/random.ts";
import type { ImageSet } from "../../src/data/image-set.ts";
import { exportSmall } from "../../src/export/export.ts";
import { type CalibrateOptions, calibrateModel } from "../../src/reject/calibrate.ts";
import { train } from "../../src/train/train.ts";
import { temporaryFolder, testDigits, tinyConfig, trainingDigits } from "../support/digits.ts";
import { relativeError } from "../support/graphs.ts";

const calibration = { percentile: 5, percentiles: [1, 5] };
const digits = await testDigits();
const training = await trainingDigits();
const heads = ["sdim", "softmax"] as const;
const plain = new Map<string, ModelFile>();

beforeAll(async () => {
  for (const head of heads) {
    const out = temporaryFolder();
    await train({ config: tinyConfig({ epochs: 4, head }), data: training, out });
    plain.set(head, readModelFile(join(out, "model.onnx")));
  }
});

const calibrated = async (file: ModelFile, options: Partial<CalibrateOptions>): Promise<ModelFile> =>
  (await calibrateModel(file, training, { ...calibration, ...options })).file;

/** What the file says when it is written and read again. */
async function classified(file: ModelFile, images: ImageSet = digits): Promise<Classification> {
  const classifier = await Classifier.load(decodeModelFile(encodeModelFile(file), "model"));
  try {
    return await classifier.classify(images);
  } finally {
    await classifier.release();
  }
}

function mirrored(images: ImageSet): ImageSet {
  const { height, width, channels } = images;
  const at = (i: number) => {
    const [row, column, channel] = [Math.floor(i / (width * channels)), Math.floor(i / channels) % width, i % channels];
    return (row * width + width - 1 - column) * channels + channel;
  };
  expect(images.pixels.length % (height * width * channels)).toBe(0);
  return { ...images, pixels: images.pixels.map((_, i) => images.pixels[at(i)]!) };
}

const meanOf = (a: Float32Array, b: Float32Array): Float32Array => a.map((value, i) => (value + b[i]!) / 2);

describe("a model with a test-time flip", () => {
  it("scores an image by the mean log-likelihood of it and its mirror image, and keeps the image's representation", async () => {
    const file = await calibrated(plain.get("sdim")!, { testTimeFlip: true });
    expect(file.card.model.testTimeFlip).toBe(true);
    const [own, other] = [await classified(plain.get("sdim")!), await classified(plain.get("sdim")!, mirrored(digits))];
    const got = await classified(file);
    expect(relativeError(own.classLogLikelihoods, other.classLogLikelihoods)).toBeGreaterThan(0.01);
    expect(relativeError(got.classLogLikelihoods, meanOf(own.classLogLikelihoods, other.classLogLikelihoods))).toBeLessThan(1e-5);
    expect(relativeError(got.representations, own.representations)).toBeLessThan(1e-5);
    const turned = await classified(file, mirrored(digits));
    expect(relativeError(turned.classLogLikelihoods, got.classLogLikelihoods)).toBeLessThan(1e-5);
  });

  it("averages the logits of the softmax head", async () => {
    const file = await calibrated(plain.get("softmax")!, { testTimeFlip: true });
    const [own, other] = [await classified(plain.get("softmax")!), await classified(plain.get("softmax")!, mirrored(digits))];
    const means = meanOf(own.classLogLikelihoods, other.classLogLikelihoods);
    const classes = digits.classNames.length;
    const expected = means.map((value, i) => {
      const row = means.subarray(i - (i % classes), i - (i % classes) + classes);
      return value - Math.log(row.reduce((sum, each) => sum + Math.exp(each), 0));
    });
    expect(relativeError((await classified(file)).classLogLikelihoods, expected)).toBeLessThan(1e-5);
  });

  it("takes its thresholds and penalties of what it scores, and keeps nothing that was measured before", async () => {
    const before = await calibrated(plain.get("sdim")!, { rejectBy: "penalised-likelihood" });
    const file = await calibrated(before, { testTimeFlip: true });
    expect(file.card.model).toMatchObject({ rejectBy: "penalised-likelihood", testTimeFlip: true });
    expect(file.card.otherCalibrations).toBeUndefined();
    expect(Object.keys(file.card.measured)).toEqual(["calibrationAccuracy"]);
    const { accepted, labels } = await classified(file, training);
    const right = Array.from(labels).flatMap((label, i) => (label === training.labels[i] ? [accepted[i]!] : []));
    expect(right.filter((value) => value === 0).length / right.length).toBeLessThanOrEqual(0.05);
    const flipped = await calibrated(plain.get("sdim")!, { testTimeFlip: true, rejectBy: "penalised-likelihood" });
    expect(Buffer.from(encodeModelFile(flipped)).equals(encodeModelFile(file))).toBe(true);
    const statistics = async (images: ImageSet, model: ModelFile) => (await classifiedWithStatistics(model, images)).statistics!;
    const likelihood = await calibrated(plain.get("sdim")!, { testTimeFlip: true });
    const expected = meanOf(await statistics(digits, plain.get("sdim")!), await statistics(mirrored(digits), plain.get("sdim")!));
    expect(relativeError(await statistics(digits, likelihood), expected)).toBeLessThan(1e-5);
  });

  it("is, taken back, the model it was", async () => {
    const file = await calibrated(plain.get("sdim")!, {});
    const back = await calibrated(await calibrated(file, { testTimeFlip: true }), { testTimeFlip: false });
    expect(back.card.model).toEqual(file.card.model);
    expect(back.card.calibration).toEqual(file.card.calibration);
    expect(relativeError((await classified(back)).classLogLikelihoods, (await classified(file)).classLogLikelihoods)).toBe(0);
  });

  it("is attacked as it scores: values and gradients are of the mean", async () => {
    const model = loadAttackedModel(await calibrated(plain.get("sdim")!, { testTimeFlip: true }));
    const random = new Random(3);
    const { channels, height, width } = model.shape;
    const count = 3;
    const x = Float32Array.from({ length: count * channels * height * width }, () => 0.2 + 0.6 * random.uniform());
    const direction = x.map(() => random.normal());
    const labels = Int32Array.from({ length: count }, (_, i) => i % model.classes);
    const valuesAt = (images: Float32Array) => model.gradient!({ kind: "margin", targeted: false }, images, { labels });
    const { gradient, classLogLikelihoods } = await valuesAt(x);
    expect(relativeError(classLogLikelihoods, (await model.score(x)).classLogLikelihoods)).toBeLessThan(1e-4);
    const step = 1e-3;
    const moved = async (sign: number) => (await valuesAt(x.map((value, k) => value + sign * step * direction[k]!))).objective;
    const [above, below] = [await moved(1), await moved(-1)];
    const size = x.length / count;
    const slopes = Float32Array.from({ length: count }, (_, i) => {
      let slope = 0;
      for (let k = i * size; k < (i + 1) * size; k++) slope += gradient[k]! * direction[k]!;
      return slope;
    });
    const differences = above.map((value, i) => (value - below[i]!) / (2 * step));
    expect(relativeError(slopes, differences)).toBeLessThan(0.03);
    await model.release();
  });

  it("keeps looking at mirror images in 16-bit and 8-bit exports", async () => {
    const file = await calibrated(plain.get("sdim")!, { testTimeFlip: true });
    const expected = await classified(file);
    for (const format of ["onnx-fp16", "onnx-int8"] as const) {
      const small = await exportSmall(file, format, { isWeightsOnly: false, calibrationImages: training, threads: 1 });
      expect(small.card.model.testTimeFlip).toBe(true);
      const got = await classified(small);
      expect(got.labels.filter((label, i) => label === expected.labels[i]).length / digits.count).toBeGreaterThan(0.95);
      await expect(calibrated(small, { testTimeFlip: false })).rejects.toThrow("the weights are not stored in float32");
    }
  });

  it("comes from a training too, the same file as calibrated afterwards", async () => {
    const out = temporaryFolder();
    const { model } = await train({ config: tinyConfig({ epochs: 4, testTimeFlip: true }), data: training, out });
    const { card } = await calibrated(plain.get("sdim")!, { testTimeFlip: true });
    expect(model.card.model).toEqual(card.model);
    const kept = model.card.calibration.thresholds.filter(({ percentile }) => calibration.percentiles.includes(percentile));
    expect(kept).toEqual(card.calibration.thresholds);
    expect(readFileSync(join(out, "config.json"), "utf8")).toContain('"testTimeFlip": true');
  });
});

async function classifiedWithStatistics(file: ModelFile, images: ImageSet): Promise<Classification> {
  const classifier = await Classifier.load(withStatistics(file));
  try {
    return await classifier.classify(images);
  } finally {
    await classifier.release();
  }
}
