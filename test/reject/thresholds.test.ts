import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { classThresholds } from "../../src/reject/thresholds.ts";

const classNames = ["cat", "dog"];

describe("classThresholds", () => {
  it("takes element floor(fraction * n) of the correctly classified samples of the class, in ascending order", () => {
    // Class 0: ll_0 of 40 correct samples is 0, 1, .. 39 in a shuffled order; two wrong ones lie far below and must not count.
    const order = Array.from({ length: 40 }, (_, i) => (i * 17) % 40);
    const rows = [...order.map((value) => [value, -1]), [-500, 0], [-600, 0], [-1, 7], [-1, 5]];
    const { thresholds, counts } = classThresholds({
      classLogLikelihoods: Float32Array.from(rows.flat()),
      labels: Int32Array.from([...order.map(() => 0), 0, 0, 1, 1]),
      predictions: Int32Array.from([...order.map(() => 0), 1, 1, 1, 1]),
      classNames,
      percentiles: [0, 1, 5, 7, 50],
    });
    expect(counts).toEqual([40, 2]);
    // floor(0.01 * 40) = 0, floor(0.05 * 40) = 2, floor(0.07 * 40) = 2, floor(0.5 * 40) = 20; of two: 0, 0, 0, 0, 1
    expect(thresholds.map(({ values }) => values[0])).toEqual([0, 0, 2, 2, 20]);
    expect(thresholds.map(({ values }) => values[1])).toEqual([5, 5, 5, 5, 7]);
  });

  it("for all classes, takes them of the samples of all classes together, each by its own class", () => {
    const rows = [...Array.from({ length: 30 }, (_, i) => [i, 1000]), ...Array.from({ length: 10 }, (_, i) => [1000, 100 + i]), [-500, 0]];
    const { thresholds, counts } = classThresholds({
      classLogLikelihoods: Float32Array.from(rows.flat()),
      labels: Int32Array.from(rows, (_, i) => (i < 30 ? 0 : 1)),
      predictions: Int32Array.from(rows, (_, i) => (i < 30 || i === 40 ? 0 : 1)),
      classNames,
      percentiles: [0, 50, 80],
      thresholdsFor: "all-classes",
    });
    // Of 40 in order: 0 .. 29 of cats, then 100 .. 109 of dogs.
    expect(thresholds.map(({ values }) => values)).toEqual([
      [0, 0],
      [20, 20],
      [102, 102],
    ]);
    expect(counts).toEqual([30, 10]);
  });

  it("for all classes, need no correct sample of each", () => {
    const input = { classLogLikelihoods: Float32Array.of(1, 2, 1, 2), labels: Int32Array.of(0, 1), classNames, percentiles: [1] };
    const calibrate = (predictions: number[]) =>
      classThresholds({ ...input, predictions: Int32Array.from(predictions), thresholdsFor: "all-classes" });
    expect(calibrate([1, 1])).toEqual({ thresholds: [{ percentile: 1, values: [2, 2] }], counts: [0, 1] });
    expect(() => calibrate([1, 0])).toThrow('no correctly classified sample of class "cat", "dog"');
  });

  it("names the classes without correctly classified samples", () => {
    const calibrate = () =>
      classThresholds({
        classLogLikelihoods: Float32Array.of(1, 2, 1, 2),
        labels: Int32Array.of(0, 1),
        predictions: Int32Array.of(1, 1),
        classNames,
        percentiles: [1],
      });
    expect(calibrate).toThrow('calibration: no correctly classified sample of class "cat"');
  });

  it.each([-1, 100, Number.NaN])("refuses percentile %s", (percentile) => {
    const calibrate = () =>
      classThresholds({
        classLogLikelihoods: Float32Array.of(1, 2),
        labels: Int32Array.of(1),
        predictions: Int32Array.of(1),
        classNames,
        percentiles: [percentile],
      });
    expect(calibrate).toThrow(`percentile: expected a number from 0 to below 100, got ${percentile}`);
  });

  it("of whole percentiles takes the very element, whatever the number of samples", () => {
    for (const n of [1, 7, 100, 999, 1300]) {
      const percentiles = Array.from({ length: 100 }, (_, i) => i);
      const { thresholds } = classThresholds({
        classLogLikelihoods: Float32Array.from({ length: n }, (_, i) => i),
        labels: new Int32Array(n),
        predictions: new Int32Array(n),
        classNames: ["only"],
        percentiles,
      });
      expect(thresholds.map(({ values }) => values[0])).toEqual(
        percentiles.map((percentile) => (percentile * n - ((percentile * n) % 100)) / 100),
      );
    }
  });

  it("rejects no more than the percentile of the samples it was taken from", () => {
    const values = fc.array(fc.float({ noNaN: true, min: -1000, max: 1000 }), { minLength: 1, maxLength: 200 });
    fc.assert(
      fc.property(values, fc.double({ min: 0, max: 99, noNaN: true }), (scores, percentile) => {
        const { thresholds } = classThresholds({
          classLogLikelihoods: Float32Array.from(scores),
          labels: new Int32Array(scores.length),
          predictions: new Int32Array(scores.length),
          classNames: ["only"],
          percentiles: [percentile],
        });
        const below = Float32Array.from(scores).filter((score) => score < thresholds[0]!.values[0]!).length;
        expect(below / scores.length).toBeLessThanOrEqual(percentile / 100);
      }),
      { seed: 2 },
    );
  });
});
