import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import type { ModelCard } from "../../src/classify/card.ts";
import { Classifier } from "../../src/classify/classifier.ts";
import {
  decodeModelFile,
  encodeModelFile,
  type ModelFile,
  readModelFile,
  tensorsOf,
  thresholdsInForce,
} from "../../src/classify/model-file.ts";
import { UserError } from "../../src/core/errors.ts";
import { thresholdsName } from "../../src/nn/scorer.ts";
import { copyModel, replaceInitializer, setMetadata } from "../../src/onnx/model-file.ts";
import { train } from "../../src/train/train.ts";
import { temporaryFolder, tinyConfig, trainingDigits } from "../support/digits.ts";

// Model files that another program, or chance, has changed: each is refused when it is read, in words that say what is wrong.

const out = temporaryFolder();
let sound: ModelFile;
beforeAll(async () => {
  await train({ config: tinyConfig(), data: await trainingDigits(), out });
  sound = readModelFile(join(out, "model.onnx"));
});

const reading = (file: ModelFile) => () => decodeModelFile(encodeModelFile(file), "x.onnx");
function changed(change: (file: ModelFile) => void): () => ModelFile {
  const file = { card: structuredClone(sound.card), proto: copyModel(sound.proto) };
  change(file);
  return reading(file);
}
/** The same graph with another card. */
const withText = (card: object) => changed(({ proto }) => setMetadata(proto, { sdim: JSON.stringify(card) }));
const withModel = (model: object) => withText({ ...sound.card, model: { ...sound.card.model, ...model } });
const withCalibration = (calibration: object) => withText({ ...sound.card, calibration: { ...sound.card.calibration, ...calibration } });

describe("a model file that is not what its card says", () => {
  it("is read as it was written", () => {
    expect(reading(sound)().card).toEqual(sound.card);
  });

  it("names the network that memory cannot hold", () => {
    expect(withModel({ depth: 80_000_002 })).toThrow("model.depth: expected at most 1002, got 80000002");
    expect(withModel({ depth: 12 })).toThrow("model.depth: expected 8n + 2 layers");
    expect(withModel({ imageSize: 8_000_000 })).toThrow("model.imageSize: expected at most 4096, got 8000000");
    expect(withModel({ dimension: 2e9 })).toThrow("model.dimension: expected at most 65536");
    expect(withModel({ widths: [0, 1, 1, 1] })).toThrow("model.widths[0]: expected at least 1, got 0");
    expect(withModel({ widths: [8, 4, 4, 4] })).toThrow("expected no stage to have fewer than the one before it");
    expect(withModel({ depth: 1002, widths: [4096, 4096, 4096, 4096] })).toThrow(/come to 15\d{4} million weights, of 268 million at most/);
    expect(withModel({ classes: 1e9 })).toThrow(UserError);
  });

  it("names what is not there for every class", () => {
    const { classNames, calibration } = sound.card;
    expect(withText({ ...sound.card, classNames: classNames.slice(1) })).toThrow(
      "classNames: there must be a name for each of the 3 classes, not 2",
    );
    expect(withText({ ...sound.card, classNames: ["a", "b", "a"] })).toThrow('classNames: "a" is the name of two classes');
    expect(withCalibration({ counts: [1] })).toThrow("calibration.counts: there must be a count for each of the 3 classes, not 1");
    const cut = calibration.thresholds.map((set) => ({ ...set, values: set.values.slice(0, 2) }));
    expect(withCalibration({ thresholds: cut })).toThrow(
      "calibration.thresholds[0].values: there must be a threshold for each of the 3 classes, not 2",
    );
    const other: ModelCard["calibration"] = { ...calibration, source: "given", counts: [1, 2] };
    expect(withText({ ...sound.card, otherCalibrations: [other] })).toThrow("otherCalibrations[0].counts: there must be a count");
  });

  it("names the percentile in force that has no thresholds", () => {
    expect(withCalibration({ percentile: 50 })).toThrow("calibration.percentile: there are no thresholds at the percentile in force, 50");
  });

  it("names inputs and outputs that are missing or of another kind", () => {
    expect(changed(({ proto }) => proto.graph!.output.pop())).toThrow(
      'x.onnx: damaged, or changed by another program: its graph has no output "representation"',
    );
    expect(changed(({ proto }) => proto.graph!.input.pop())).toThrow('its graph has no input "images"');
    expect(withModel({ channels: 3 })).toThrow('expected the input "images" to be uint8 [..., 3], by its card, got uint8 [N, H, W, 1]');
    expect(withModel({ dimension: 4 })).toThrow('the output "representation" to be float32 [..., 4], by its card, got float32 [N, 8]');
  });

  it("names weights that are no numbers, where every image would be refused by a score that is none", () => {
    const weight = "encoder.stem.conv.weight";
    const values = new Float32Array(tensorsOf(sound).get(weight)!.length);
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) {
      values[2] = value;
      expect(changed(({ proto }) => replaceInitializer(proto, weight, values))).toThrow(`weight 2 of "${weight}" is ${value}`);
    }
  });

  it("names thresholds that its card does not have in force", () => {
    const thresholds = thresholdsInForce(sound.card).map((value) => value + 1);
    expect(changed(({ proto }) => replaceInitializer(proto, thresholdsName, thresholds))).toThrow(
      "its thresholds are not those that its card has in force",
    );
  });

  it("is refused by the classifier too, from its bytes", async () => {
    const { card, proto } = sound;
    const damaged = { card, proto: copyModel(proto) };
    damaged.proto.graph!.output.pop();
    await expect(Classifier.load(encodeModelFile(damaged))).rejects.toThrow(UserError);
  });
});
