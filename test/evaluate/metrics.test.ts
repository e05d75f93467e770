import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Classification } from "../../src/classify/classifier.ts";
import { acceptedAt, evaluateInDistribution, evaluateOutOfDistribution } from "../../src/evaluate/evaluation.ts";
import { auroc, averagePrecision, falsePositiveRateAt } from "../../src/evaluate/metrics/detection.ts";
import { aurc, rejectionRate, riskCoverageCurve, selectiveAccuracy } from "../../src/evaluate/metrics/selective.ts";
import { renderTable } from "../../src/evaluate/summary.ts";

const scores = fc.array(fc.integer({ min: -5, max: 5 }), { minLength: 1, maxLength: 30 });

describe("detection metrics", () => {
  it("by hand", () => {
    const groups = { positive: [3, 2, 1], negative: [2.5, 0] };
    // Of 6 pairs, 3 > 2.5, 3 > 0, 2 > 0, 1 > 0 are in order.
    expect(auroc(groups)).toBeCloseTo(4 / 6, 12);
    // Positives at ranks 1, 3 and 4.
    expect(averagePrecision(groups)).toBeCloseTo((1 / 1 + 2 / 3 + 3 / 4) / 3, 12);
    // 95% of 3 positives needs all three, down to score 1: one of two negatives is above.
    expect(falsePositiveRateAt(0.95, groups)).toBe(0.5);
    expect(falsePositiveRateAt(0.3, groups)).toBe(0);
  });

  it("AUROC is the share of pairs in order, ties half, whatever the scores", () => {
    fc.assert(
      fc.property(scores, scores, (positive, negative) => {
        let inOrder = 0;
        for (const p of positive) for (const n of negative) inOrder += p > n ? 1 : p === n ? 0.5 : 0;
        expect(auroc({ positive, negative })).toBeCloseTo(inOrder / (positive.length * negative.length), 10);
      }),
      { seed: 1 },
    );
  });

  it("the false positive rate is that of the strictest threshold that finds enough, whatever the scores", () => {
    fc.assert(
      fc.property(scores, scores, fc.double({ min: 0.01, max: 1, noNaN: true }), (positive, negative, rate) => {
        const enough = [...positive].sort((a, b) => b - a).filter((t) => positive.filter((p) => p >= t).length >= rate * positive.length);
        expect(falsePositiveRateAt(rate, { positive, negative })).toBe(negative.filter((n) => n >= enough[0]!).length / negative.length);
      }),
      { seed: 1 },
    );
  });
});

describe("selective metrics", () => {
  it("by hand", () => {
    const correct = Uint8Array.of(1, 0, 1, 1);
    expect(selectiveAccuracy(correct, Uint8Array.of(1, 1, 1, 0))).toBeCloseTo(2 / 3, 12);
    expect(selectiveAccuracy(correct, new Uint8Array(4))).toBeNull();
    // Risks of the 1, 2, 3, 4 most confident: 0, 1/2, 1/3, 1/4.
    expect(aurc(correct, [9, 8, 7, 6])).toBeCloseTo((0 + 1 / 2 + 1 / 3 + 1 / 4) / 4, 12);
    // All equal: every coverage has the mean risk.
    expect(aurc(correct, [1, 1, 1, 1])).toBeCloseTo(1 / 4, 12);
    // The error is among the second and third, which are tied: half of it at coverage 2, all of it at 3.
    expect([...riskCoverageCurve(correct, [9, 8, 8, 6])]).toEqual([0, 1 / 2 / 2, 1 / 3, 1 / 4]);
    expect(rejectionRate(Uint8Array.from({ length: 1000 }, (_, i) => Number(i >= 330)))).toBe(0.33);
  });
});

/** Rows of class log-likelihoods with the argmax as label. */
function classified(rows: readonly (readonly number[])[]): Classification {
  const labels = Int32Array.from(rows, (row) => row.indexOf(Math.max(...row)));
  return {
    count: rows.length,
    labels,
    accepted: new Uint8Array(rows.length),
    logLikelihoods: Float32Array.from(rows, (row) => Math.max(...row)),
    thresholds: new Float32Array(rows.length),
    classLogLikelihoods: Float32Array.from(rows.flat()),
    representations: new Float32Array(0),
  };
}

describe("evaluation", () => {
  const thresholds = [{ percentile: 1, values: [10, 20] }];
  const inside = classified([
    [10, 0],
    [9.5, 0],
    [0, 25],
    [0, 20],
    [30, 0],
  ]);
  const truth = Int32Array.of(0, 0, 1, 0, 1);

  it("rejects strictly below the threshold of the winning class", () => {
    expect([...acceptedAt(inside, thresholds[0]!)]).toEqual([1, 0, 1, 1, 1]);
  });

  it("compares in float32, as the model file does", () => {
    // float32(0.7) is below 0.7: compared in float64, a log-likelihood at the threshold would be rejected.
    const atThreshold = classified([[0.7, 0]]);
    const sets = [{ percentile: 1, values: [0.7, 0.7] }];
    expect([...acceptedAt(atThreshold, sets[0]!)]).toEqual([1]);
    expect(evaluateOutOfDistribution(atThreshold, atThreshold, 2, sets).rejection[0]!.perClassRejectionRate).toBe(1 / 2);
  });

  it("measures accuracy before and after rejection", () => {
    const result = evaluateInDistribution(inside, truth, 3, thresholds);
    expect(result).toMatchObject({ count: 5, accuracy: 3 / 5, rejection: [{ percentile: 1, selectiveAccuracy: 2 / 4 }] });
    expect(result.perClassAccuracy).toEqual([2 / 3, 1 / 2, null]);
    expect(result.rejection[0]!.rejectionRate).toBeCloseTo(1 / 5, 12);
  });

  it("keeps the decision rule and the paper's class-wise protocol apart", () => {
    // Winning classes 0, 1, 0 at 15, 30, 5: one is rejected. By class: below 10: [30's 0, 5], below 20: [0, 0] -> (2/3 + 2/3) / 2.
    const outside = classified([
      [15, 0],
      [0, 30],
      [5, 0],
    ]);
    const result = evaluateOutOfDistribution(inside, outside, 2, thresholds);
    expect(result.rejection[0]!.decisionRejectionRate).toBeCloseTo(1 / 3, 12);
    expect(result.rejection[0]!.perClassRejectionRate).toBeCloseTo((2 / 3 + 2 / 3) / 2, 12);
    // Winning scores inside 10, 9.5, 25, 20, 30, outside 15, 30, 5: pairs with inside above 3 + 0.5 + 5 of 15.
    expect(result.auroc).toBeCloseTo(8.5 / 15, 12);
  });

  it("takes each group for positive where the name says so", () => {
    // Winning log-likelihoods inside 8, 6, 4 and outside 9, 5, 3, 2, 1, so all four numbers differ.
    const one = (values: readonly number[]) => classified(values.map((value) => [value, 0]));
    const result = evaluateOutOfDistribution(one([8, 6, 4]), one([9, 5, 3, 2, 1]), 2, thresholds);
    // Surest first, inside at ranks 2, 3, 5; most outlying first, outside at ranks 1, 2, 3, 5, 8.
    expect(result.auprInPositive).toBeCloseTo((1 / 2 + 2 / 3 + 3 / 5) / 3, 12);
    expect(result.auprOutPositive).toBeCloseTo((1 + 1 + 1 + 4 / 5 + 5 / 8) / 5, 12);
    // To let in all inside, down to 4, lets in 9 and 5; to flag all outside, up to 9, flags all inside.
    expect(result.fprAt95InPositive).toBeCloseTo(2 / 5, 12);
    expect(result.fprAt95OutPositive).toBe(1);
    expect(result.auroc).toBeCloseTo(11 / 15, 12);
  });

  it("prints one aligned table", () => {
    const ood = [{ data: "garments", ...evaluateOutOfDistribution(inside, inside, 2, thresholds) }];
    const table = renderTable({ model: "m", data: "digits", split: "test", ...evaluateInDistribution(inside, truth, 2, thresholds), ood });
    expect(table).toBe(
      [
        "thresholds at percentile                      1",
        "-----------------------------------------------",
        "accuracy on 5 digits images              60.00%",
        "digits images rejected                   20.00%",
        "accuracy on the accepted part            50.00%",
        "garments rejected (decision rule)        1 of 5",
        "garments rejected (class-wise protocol)  60.00%",
        "AUROC, digits against garments           0.5000",
      ].join("\n"),
    );
  });
});
