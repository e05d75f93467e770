import { describe, expect, it } from "vitest";
import { calibrationsOf, putInForce, sourceOf, thresholdsAt, withCalibration } from "../../src/classify/calibrations.ts";
import { type Calibration, type ModelCard, parseCard } from "../../src/classify/card.ts";
import { UserError } from "../../src/core/errors.ts";

const calibration = (overrides: Partial<Calibration> = {}): Calibration => ({
  data: "mnist",
  split: "train",
  fingerprint: "f",
  correctOnly: true,
  counts: [3, 4],
  percentile: 1,
  thresholds: [
    { percentile: 1, values: [-10, -20] },
    { percentile: 2, values: [-9, -19] },
  ],
  ...overrides,
});
const held = calibration({ source: "validation", split: "validation", thresholds: [{ percentile: 1, values: [-8, -18] }] });

/** As sdim 0.1.0 wrote it. */
const old = {
  format: 1,
  version: "0.1.0",
  model: {
    head: "sdim",
    classes: 2,
    channels: 1,
    imageSize: 8,
    depth: 10,
    widths: [1, 1, 1, 1],
    dimension: 2,
    critic: "dot",
    localFeatures: "stage2",
    logSigmaFloor: null,
  },
  classNames: ["a", "b"],
  parameters: 10,
  prior: "uniform",
  calibration: calibration(),
  training: {},
  measured: {},
};
const card = (): ModelCard => parseCard(JSON.stringify(old), "x.onnx");

describe("a card's calibrations", () => {
  it("of an old card are read, with the source they had by default", () => {
    expect(card()).toEqual(old);
    expect(sourceOf(card().calibration)).toBe("training");
    expect(sourceOf(calibration({ split: "test" }))).toBe("given");
    expect(thresholdsAt(card(), 2, "training").values).toEqual([-9, -19]);
  });

  it("are one of each source, the newest in force, and survive the file", () => {
    const both = withCalibration(card(), held);
    expect(calibrationsOf(both).map(sourceOf)).toEqual(["validation", "training"]);
    expect(parseCard(JSON.stringify(both), "x.onnx")).toEqual(both);
    expect(both.format).toBe(3);
    const newer = withCalibration(both, { ...held, counts: [1, 1] });
    expect(calibrationsOf(newer).map(({ counts }) => counts)).toEqual([
      [1, 1],
      [3, 4],
    ]);
    expect(thresholdsAt(both, 1).values).toEqual([-8, -18]);
    const back = putInForce(both, "training", 2);
    expect([sourceOf(back.calibration), back.calibration.percentile]).toEqual(["training", 2]);
    expect(calibrationsOf(back)[1]).toEqual(held);
  });

  it("that are not there are named", () => {
    expect(() => thresholdsAt(card(), 3)).toThrow("percentile 3: the model file has thresholds at 1, 2. Add it with: sdim calibrate MODEL");
    expect(() => thresholdsAt(card(), 1, "validation")).toThrow("thresholds from validation: the model file has them from training only");
    expect(() => putInForce(withCalibration(card(), held), "validation", 2)).toThrow(UserError);
  });

  it("of a newer format are refused as such", () => {
    expect(() => parseCard(JSON.stringify({ ...old, format: 4 }), "x.onnx")).toThrow(
      "x.onnx: its card has format 4, written by a newer sdim; this one reads up to 3",
    );
  });
});
