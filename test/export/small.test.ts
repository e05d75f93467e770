import { beforeAll, describe, expect, it } from "vitest";
import { loadAttackedModel } from "../../src/attacks/model.ts";
import { Classifier } from "../../src/classify/classifier.ts";
import { InputGradients } from "../../src/classify/input-gradients.ts";
import { decodeModelFile, encodeModelFile, type ModelFile, readModelFile } from "../../src/classify/model-file.ts";
import { convertChannels } from "../../src/data/channels.ts";
import { type ImageSet, takeFirst } from "../../src/data/image-set.ts";
import { loadDataset } from "../../src/data/registry.ts";
import { synthesise } from "../../src/data/synthetic.ts";
import { evaluate } from "../../src/evaluate/evaluate.ts";
import type { OodEvaluation } from "../../src/evaluate/evaluation.ts";
import { agreement, compare, scores } from "../../src/export/compare.ts";
import { exportSmall, type SmallFormat } from "../../src/export/export.ts";
import { uint8Scale } from "../../src/export/quantise.ts";
import { quantiseRows } from "../../src/export/weights-only.ts";
import { checkModel } from "../../src/onnx/checker.ts";
import { dtypeOfCode } from "../../src/onnx/model-file.ts";
import { calibrateModel } from "../../src/reject/calibrate.ts";

const path = "models/mnist/model.onnx";
let test: ImageSet;
let ranges: ImageSet;
let original: Classifier;

beforeAll(async () => {
  test = takeFirst(await loadDataset("mnist", "test"), 150);
  ranges = takeFirst(await loadDataset("mnist", "train"), 64);
  original = await Classifier.load(path, { threads: 1 });
});

const make = (format: SmallFormat, isWeightsOnly: boolean): Promise<ModelFile> =>
  exportSmall(readModelFile(path), format, { isWeightsOnly, calibrationImages: ranges, threads: 1 });

/** Bytes of initializers by element type. */
function bytesByType({ proto }: ModelFile): Record<string, number> {
  const bytes: Record<string, number> = {};
  for (const { dataType, rawData } of proto.graph!.initializer) {
    const dtype = dtypeOfCode(dataType)!;
    bytes[dtype] = (bytes[dtype] ?? 0) + rawData.length;
  }
  return bytes;
}

const opsOf = ({ proto }: ModelFile): string[] => proto.graph!.node.map(({ opType }) => opType);
const types: Readonly<Record<SmallFormat, string>> = { "onnx-fp16": "float16", "onnx-int8": "int8" };

describe.each<[SmallFormat, boolean, number, number]>([
  // Largest size by the original's, largest mean change of the log-likelihood in nats.
  ["onnx-fp16", true, 0.52, 0.02],
  ["onnx-int8", true, 0.28, 0.4],
  ["onnx-fp16", false, 0.52, 0.05],
  ["onnx-int8", false, 0.28, 1],
])("%s, weights only: %s", (format, isWeightsOnly, largest, change) => {
  it("is small, passes the checker, carries card and thresholds, and says nearly what the original says", async () => {
    const file = await make(format, isWeightsOnly);
    const bytes = encodeModelFile(file);
    expect(bytes.length).toBeLessThan(largest * encodeModelFile(readModelFile(path)).length);
    const read = decodeModelFile(bytes, "export");
    checkModel(read.proto);
    const { measured, ...card } = readModelFile(path).card;
    expect(measured).toHaveProperty("testAccuracy");
    // What was measured on the original is not said of the export.
    expect(read.card).toEqual({ ...card, measured: {} });
    const stored = bytesByType(read);
    expect(stored[types[format]]).toBeGreaterThan(2e5);
    expect(stored["float32"]).toBeLessThan(1e5);
    const exported = await Classifier.load(read, { threads: 1 });
    const result = await compare(original, exported, test, { speedImages: 8 });
    await exported.release();
    expect(result.sameLabel).toBeGreaterThan(0.99);
    expect(result.sameVerdict).toBeGreaterThan(0.98);
    expect(result.logLikelihoodChange).toBeLessThan(change);
    // It is another computation: nothing changed would mean that nothing was exported.
    expect(result.logLikelihoodChange).toBeGreaterThan(0);
    expect(result.speedPairs).toHaveLength(5);
  });
});

it("a quantised file has every convolution between 8-bit numbers, and a half one no float convolution", async () => {
  const quantised = await make("onnx-int8", false);
  const producers = new Map(quantised.proto.graph!.node.map((node) => [node.output[0]!, node]));
  const convolutions = quantised.proto.graph!.node.filter(({ opType }) => opType === "Conv");
  expect(convolutions).toHaveLength(9);
  for (const { input } of convolutions) expect(input.map((name) => producers.get(name)?.opType)).toEqual(Array(3).fill("DequantizeLinear"));
  expect(opsOf(quantised).filter((op) => op === "QuantizeLinear").length).toBeGreaterThanOrEqual(convolutions.length);
  const half = await make("onnx-fp16", false);
  const weights = new Map(half.proto.graph!.initializer.map((tensor) => [tensor.name, dtypeOfCode(tensor.dataType)]));
  for (const { opType, input } of half.proto.graph!.node)
    if (opType === "Conv") expect(input.slice(1).map((name) => weights.get(name))).toEqual(["float16", "float16"]);
});

it("thresholds can be taken anew, and then reject what they should", async () => {
  const file = await make("onnx-int8", false);
  const { file: recalibrated } = await calibrateModel(file, test, { percentile: 10, percentiles: [10], threads: 1 });
  const classifier = await Classifier.load(decodeModelFile(encodeModelFile(recalibrated), "export"), { threads: 1 });
  const said = await classifier.classify(test);
  await classifier.release();
  expect(recalibrated.card.calibration).toMatchObject({ source: "given", percentile: 10, counts: expect.anything() });
  expect(scores(said, test.labels).rejectionRate).toBeGreaterThan(0.05);
  expect(scores(said, test.labels).rejectionRate).toBeLessThan(0.15);
});

it("what an export does to images that should be refused is what an evaluation says of either file", async () => {
  const [few, patches] = [takeFirst(test, 60), synthesise("shuffled-patches", test, { count: 60, seed: 1 })];
  const exported = await Classifier.load(await make("onnx-int8", true), { threads: 1 });
  const { ood } = await compare(original, exported, few, { ood: [patches], speedImages: 8 });
  const measured = async (classifier: Classifier) => {
    const { evaluation } = await evaluate(classifier, few, { ood: [patches], percentiles: [1], bootstrap: { resamples: 0 } });
    const [{ auroc, rejection }] = evaluation.ood as [OodEvaluation];
    const { percentile, decisionRejectionRate, perClassRejectionRate } = rejection[0]!;
    return { percentile, decisionRejectionRate, perClassRejectionRate, auroc };
  };
  const { data, fingerprint, count, sameVerdict } = ood[0]!;
  expect([data, fingerprint, count]).toEqual(["shuffled-patches", patches.fingerprint, 60]);
  expect(ood[0]!.original).toEqual(await measured(original));
  expect(ood[0]!.exported).toEqual(await measured(exported));
  expect(ood[0]!.exported).not.toEqual(ood[0]!.original);
  expect(sameVerdict).toBeGreaterThan(0.9);
  const colour = convertChannels(patches, 3);
  await expect(compare(original, exported, few, { ood: [colour] })).rejects.toThrow("1 channel(s), these have 3");
  await exported.release();
});

it("an export is not exported again, nor attacked, has no gradients, and 8 bits want images", async () => {
  const half = await make("onnx-fp16", false);
  const notFloats = "the weights are not stored in float32, as in files of sdim export; take the original file";
  await expect(exportSmall(half, "onnx-int8", { isWeightsOnly: true })).rejects.toThrow("export the original file, not an export");
  await expect(exportSmall(half, "onnx-fp16", { isWeightsOnly: false })).rejects.toThrow(`export: ${notFloats}`);
  await expect(InputGradients.load(half, 1)).rejects.toThrow(`input gradients: ${notFloats}`);
  expect(() => loadAttackedModel(half)).toThrow(`attack: ${notFloats}`);
  await expect(exportSmall(readModelFile(path), "onnx-int8", { isWeightsOnly: false })).rejects.toThrow("--weights-only");
});

describe("numbers", () => {
  it("a row's largest magnitude is 127, a row of zeros stays zeros, and the error is at most half a step", () => {
    const data = Float32Array.of(1, -2, 0.5, 0, 0, 0, 100, 30, -3);
    const { values, scales } = quantiseRows(data, 3);
    expect(Array.from(values)).toEqual([64, -127, 32, 0, 0, 0, 127, 38, -4]);
    data.forEach((value, i) => {
      expect(Math.abs(values[i]! * scales[Math.floor(i / 3)]! - value)).toBeLessThanOrEqual(scales[Math.floor(i / 3)]! / 2 + 1e-6);
    });
    expect(quantiseRows(Float32Array.of(1, 2), 1, Float32Array.of(1)).values).toEqual(Int8Array.of(1, 2));
  });

  it("0 is a whole number of every scale", () => {
    expect(uint8Scale({ low: 0, high: 255 })).toEqual({ scale: 1, zeroPoint: 0 });
    expect(uint8Scale({ low: -1, high: 1 })).toEqual({ scale: Math.fround(2 / 255), zeroPoint: 127 });
    expect(uint8Scale({ low: 3, high: 510 })).toEqual({ scale: 2, zeroPoint: 0 });
    expect(uint8Scale({ low: 0, high: 0 })).toEqual({ scale: 1, zeroPoint: 0 });
  });

  it("agreement and scores, by hand", () => {
    const said = (labels: number[], accepted: number[], logLikelihoods: number[]) => ({
      count: labels.length,
      labels: Int32Array.from(labels),
      accepted: Uint8Array.from(accepted),
      logLikelihoods: Float32Array.from(logLikelihoods),
      thresholds: new Float32Array(labels.length),
      classLogLikelihoods: new Float32Array(),
      representations: new Float32Array(),
    });
    const [a, b] = [said([0, 1, 1, 0], [1, 1, 0, 0], [1, 2, 3, 4]), said([0, 0, 0, 0], [1, 1, 0, 1], [2, 0, 0, 7])];
    expect(agreement(a, b)).toEqual({ sameLabel: 0.5, sameVerdict: 0.5, logLikelihoodChange: 2 });
    expect(scores(a, Int32Array.of(0, 0, 1, 1))).toEqual({ accuracy: 0.5, rejectionRate: 0.5, selectiveAccuracy: 0.5 });
    expect(scores(said([0], [0], [0]), Int32Array.of(0)).selectiveAccuracy).toBeNull();
  });
});
