import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Random } from "../../src/core/random.ts";
import {
  adaptiveCalibrationError,
  binning,
  expectedCalibrationError,
  reliability,
  winningPosteriors,
} from "../../src/evaluate/metrics/calibration.ts";

describe("winningPosteriors", () => {
  it("is the softmax of log-likelihoods and log priors", () => {
    const rows = Float32Array.of(Math.log(1), Math.log(3), Math.log(6), Math.log(2), Math.log(2), Math.log(4));
    const labels = Int32Array.of(2, 0);
    [0.6, 0.25].forEach((p, i) => {
      expect(winningPosteriors(rows, labels)[i]).toBeCloseTo(p, 6);
    });
    const priors = Float32Array.of(Math.log(0.5), Math.log(0.25), Math.log(0.25));
    // (6/4) / (1/2 + 3/4 + 6/4) and (2/2) / (2/2 + 2/4 + 4/4).
    [6 / 11, 2 / 5].forEach((p, i) => {
      expect(winningPosteriors(rows, labels, priors)[i]).toBeCloseTo(p, 6);
    });
  });

  it("neither overflows nor divides nothing by nothing", () => {
    const [low, high] = [-3e38, Number.NEGATIVE_INFINITY];
    const rows = Float32Array.of(0, -1e30, low, low, 3e38, low, high, high);
    expect([...winningPosteriors(rows, Int32Array.of(0, 0, 0, 1))]).toEqual([1, 0.5, 1, 0.5]);
  });
});

/** Sum over the bins that `binOf` makes, from the definition. */
function gap(correct: Uint8Array, confidence: Float64Array, binOf: (i: number) => number): number {
  const bins = [...new Set(Array.from(confidence, (_, i) => binOf(i)))];
  const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  return bins.reduce((sum, bin) => {
    const members = Array.from(confidence, (_, i) => i).filter((i) => binOf(i) === bin);
    const difference = mean(members.map((i) => correct[i]!)) - mean(members.map((i) => confidence[i]!));
    return sum + (members.length / confidence.length) * Math.abs(difference);
  }, 0);
}

const answers = fc
  .array(fc.tuple(fc.integer({ min: 0, max: 1 }), fc.integer({ min: 1, max: 20 }), fc.integer({ min: 0, max: 3 })), {
    minLength: 1,
    maxLength: 40,
  })
  .map((rows) => ({
    correct: Uint8Array.from(rows, ([right]) => right),
    confidence: Float64Array.from(rows, ([, twentieths]) => twentieths / 20),
    counts: rows.map(([, , count]) => count),
  }));

describe("calibration errors", () => {
  it("by hand", () => {
    // Two bins: 0.2, 0.5 with half right, and 0.7, 0.9 with all right. (An upper end belongs to its bin.)
    const correct = Uint8Array.of(1, 0, 1, 1);
    const confidence = Float64Array.of(0.2, 0.5, 0.7, 0.9);
    const two = binning(correct, confidence, 2);
    expect(expectedCalibrationError(two)).toBeCloseTo((Math.abs(0.5 - 0.35) + Math.abs(1 - 0.8)) / 2, 12);
    expect(reliability(two)).toEqual([
      { low: 0, high: 0.5, count: 2, confidence: 0.35, accuracy: 0.5 },
      { low: 0.5, high: 1, count: 2, confidence: 0.8, accuracy: 1 },
    ]);
    // Four bins of one each.
    expect(adaptiveCalibrationError(binning(correct, confidence, 4))).toBeCloseTo((0.8 + 0.5 + 0.3 + 0.1) / 4, 12);
    expect(reliability(binning(correct, confidence))[0]).toEqual({ low: 0, high: 1 / 15, count: 0, confidence: null, accuracy: null });
    expect(reliability(binning(correct, confidence))).toHaveLength(15);
  });

  it("of posteriors that are true they are small, of posteriors too sure they are the surplus", () => {
    const random = new Random(3);
    const count = 60_000;
    const confidence = Float64Array.from({ length: count }, () => 0.5 + 0.5 * random.uniform());
    const correct = Uint8Array.from(confidence, (p) => Number(random.uniform() < p));
    const all = binning(correct, confidence);
    // About eight bins of 7,500 with a standard deviation of 0.005 or less, whose mean size is 0.8 of it.
    expect(expectedCalibrationError(all)).toBeLessThan(0.008);
    expect(adaptiveCalibrationError(all)).toBeLessThan(0.01);
    const sure = binning(
      correct,
      confidence.map((p) => p + 0.2 * (1 - p)),
    );
    // Mean of 0.2 (1 - p) is 0.05.
    expect(expectedCalibrationError(sure)).toBeCloseTo(0.05, 2);
    expect(adaptiveCalibrationError(sure)).toBeCloseTo(0.05, 2);
  });

  it("from the definitions, whatever the answers, also where samples count several times", () => {
    fc.assert(
      fc.property(answers, fc.integer({ min: 1, max: 15 }), ({ correct, confidence, counts }, bins) => {
        const weighted = binning(correct, confidence, bins);
        const times = <T>(values: ArrayLike<T>) => Array.from(values).flatMap((value, i) => new Array<T>(counts[i]!).fill(value));
        for (const [right, sure, weights] of [
          [correct, confidence, undefined],
          [Uint8Array.from(times(correct)), Float64Array.from(times(confidence)), counts],
        ] as const) {
          if (sure.length === 0) continue;
          const equal = (i: number) => Math.ceil(sure[i]! * bins) - 1;
          const adaptive = (i: number) => Math.floor((bins * sure.filter((other) => other < sure[i]!).length) / sure.length);
          expect(expectedCalibrationError(weighted, weights)).toBeCloseTo(gap(right, sure, equal), 10);
          expect(adaptiveCalibrationError(weighted, weights)).toBeCloseTo(gap(right, sure, adaptive), 10);
        }
      }),
      { seed: 1 },
    );
  });
});
