import { describe, expect, it } from "vitest";
import { acceptedBy } from "../../src/classify/classification.ts";
import type { Classification } from "../../src/classify/classifier.ts";
import { Random } from "../../src/core/random.ts";
import type { Evaluation } from "../../src/evaluate/evaluation.ts";
import { evaluateInDistribution } from "../../src/evaluate/in-distribution.ts";
import { evaluateOutOfDistribution } from "../../src/evaluate/out-of-distribution.ts";
import { renderTable } from "../../src/evaluate/summary.ts";

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
  const thresholds = [{ percentile: 1, values: [10, 20], source: "training" as const }];
  const inside = classified([
    [10, 0],
    [9.5, 0],
    [0, 25],
    [0, 20],
    [30, 0],
  ]);
  const truth = Int32Array.of(0, 0, 1, 0, 1);

  it("rejects strictly below the threshold of the winning class", () => {
    expect([...acceptedBy(inside, thresholds[0]!.values)]).toEqual([1, 0, 1, 1, 1]);
  });

  it("compares in float32, as the model file does", () => {
    // float32(0.7) is below 0.7: compared in float64, a log-likelihood at the threshold would be rejected.
    const atThreshold = classified([[0.7, 0]]);
    const sets = [{ percentile: 1, values: [0.7, 0.7], source: "training" as const }];
    expect([...acceptedBy(atThreshold, sets[0]!.values)]).toEqual([1]);
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
    // Within class 0, inside 10, 9.5, 30: above 15 one, above 5 three of three; within class 1, inside 25, 20: above 30 none.
    expect(result.decisionAuroc).toBeCloseTo((1 / 3 + 0 + 3 / 3) / 3, 12);
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

  it("counts true classes by row and winning classes by column", () => {
    // Winning classes 0, 0, 1, 1, 0.
    const { confusion } = evaluateInDistribution(inside, Int32Array.of(0, 2, 2, 0, 2), 3, thresholds);
    expect(confusion).toEqual([
      [1, 1, 0],
      [0, 0, 0],
      [2, 1, 0],
    ]);
  });

  it("reads the risk-coverage curve of the winning log-likelihood", () => {
    // Surest first: 30 wrong, 25 right, 20 wrong, 10 right, 9.5 right.
    const result = evaluateInDistribution(inside, truth, 2, thresholds, { risks: [0.45, 0.1], coverages: [0.5, 1] });
    const risks = [1, 1 / 2, 2 / 3, 2 / 4, 2 / 5];
    expect(result.riskCoverage.map(({ risk }) => risk)).toEqual(risks);
    expect(result.aurc).toBeCloseTo(risks.reduce((a, b) => a + b) / 5, 12);
    // The oracle's risks: 0, 0, 0, 1/4, 2/5.
    expect(result.excessAurc).toBeCloseTo((risks.reduce((a, b) => a + b) - 1 / 4 - 2 / 5) / 5, 12);
    expect(result.coverageAtRisk.map(({ coverage }) => coverage)).toEqual([1, 0]);
    expect(result.riskAtCoverage.map(({ risk }) => risk)).toEqual([2 / 3, 2 / 5]);
  });

  it("calibrates the posterior with the model's priors", () => {
    const even = classified([
      [0, Math.log(3)],
      [0, Math.log(3)],
    ]);
    const truths = Int32Array.of(1, 0);
    // p(1|z) = 3/4, right half of the time; with priors 1/4 and 3/4 it is 9/10.
    const { calibration } = evaluateInDistribution(even, truths, 2, thresholds);
    expect(calibration.expectedCalibrationError).toBeCloseTo(1 / 4, 6);
    expect(calibration.adaptiveCalibrationError).toBeCloseTo(1 / 4, 6);
    const logPriors = Float32Array.of(Math.log(1 / 4), Math.log(3 / 4));
    expect(evaluateInDistribution(even, truths, 2, thresholds, { logPriors }).calibration.expectedCalibrationError).toBeCloseTo(4 / 10, 6);
  });

  it("puts an interval on every rate, and none where none are asked for", () => {
    const inResult = evaluateInDistribution(inside, truth, 3, thresholds);
    const outResult = evaluateOutOfDistribution(inside, inside, 2, thresholds);
    const intervals = [
      inResult.intervals.accuracy,
      ...inResult.intervals.perClassAccuracy.slice(0, 2),
      inResult.intervals.aurc,
      inResult.intervals.excessAurc,
      ...inResult.rejection.flatMap((row) => Object.values(row.intervals)),
      ...inResult.coverageAtRisk.map(({ interval }) => interval),
      ...inResult.riskAtCoverage.map(({ interval }) => interval),
      ...Object.values(inResult.calibration.intervals),
      ...Object.values(outResult.intervals),
      ...outResult.rejection.flatMap((row) => Object.values(row.intervals)),
    ];
    expect(intervals).toHaveLength(1 + 2 + 2 + 2 + 4 + 3 + 2 + 6 + 2);
    for (const interval of intervals) {
      expect(interval!.low).toBeGreaterThanOrEqual(0);
      expect(interval!.high).toBeGreaterThanOrEqual(interval!.low);
      expect(interval!.high).toBeLessThanOrEqual(1);
    }
    // A class without samples, in any resample.
    expect(inResult.intervals.perClassAccuracy[2]).toBeNull();
    const none = evaluateInDistribution(inside, truth, 3, thresholds, { bootstrap: { resamples: 0 } });
    expect(none.intervals).toEqual({ accuracy: null, perClassAccuracy: [null, null, null], aurc: null, excessAurc: null });
    expect(none.accuracy).toBe(inResult.accuracy);
  });

  it("the interval of an accuracy is that of a binomial share", () => {
    // 900 of 1000 right: 0.9 -+ 1.96 * sqrt(0.9 * 0.1 / 1000) = 0.9 -+ 0.0186.
    const many = classified(Array.from({ length: 1000 }, (_, i) => [i % 10 === 0 ? -1 : 1, 0]));
    const { low, high } = evaluateInDistribution(many, new Int32Array(1000), 2, thresholds).intervals.accuracy!;
    expect(Math.abs(low - 0.8814)).toBeLessThan(0.003);
    expect(Math.abs(high - 0.9186)).toBeLessThan(0.003);
  });

  it("draws both groups anew, each on its own", () => {
    const one = (values: readonly number[]) => classified(values.map((value) => [value, 0]));
    const many = one(Array.from({ length: 100 }, (_, i) => 1 + (i % 2)));
    // A group of one is itself in every resample, so the other's binomial share is all that varies: 0.5 -+ 1.96 * 0.05.
    for (const { auroc } of [
      evaluateOutOfDistribution(many, one([1.5]), 2, thresholds).intervals,
      evaluateOutOfDistribution(one([1.5]), many, 2, thresholds).intervals,
    ]) {
      expect(Math.abs(auroc!.low - 0.402)).toBeLessThan(0.02);
      expect(Math.abs(auroc!.high - 0.598)).toBeLessThan(0.02);
    }
  });

  it("every interval is around its own number", () => {
    const random = new Random(5);
    const images = (count: number, mean: number) =>
      classified(Array.from({ length: count }, () => [mean + 8 * random.normal(), mean - 3 + 8 * random.normal()]));
    const [known, unknown] = [images(1500, 30), images(900, 20)];
    const labels = known.labels.map((label, i) => (random.uniform() < (known.logLikelihoods[i]! < 30 ? 0.5 : 0.1) ? 1 - label : label));
    const sets = [{ percentile: 1, values: [28, 26], source: "training" as const }];
    const inResult = evaluateInDistribution(known, labels, 2, sets);
    const outResult = evaluateOutOfDistribution(known, unknown, 2, sets);
    const [inRow, outRow] = [inResult.rejection[0]!, outResult.rejection[0]!];
    const groups = [
      [
        [inResult.accuracy, inResult.intervals.accuracy],
        [inRow.rejectionRate, inRow.intervals.rejectionRate],
        [inRow.selectiveAccuracy!, inRow.intervals.selectiveAccuracy],
        [inResult.aurc, inResult.intervals.aurc],
        [inResult.excessAurc, inResult.intervals.excessAurc],
        ...inResult.perClassAccuracy.map((value, c) => [value!, inResult.intervals.perClassAccuracy[c]!] as const),
        ...inResult.riskAtCoverage.map(({ risk, interval }) => [risk, interval] as const),
      ],
      [
        [outRow.decisionRejectionRate, outRow.intervals.decisionRejectionRate],
        [outRow.perClassRejectionRate, outRow.intervals.perClassRejectionRate],
        [outResult.auroc, outResult.intervals.auroc],
        [outResult.decisionAuroc!, outResult.intervals.decisionAuroc],
        [outResult.auprInPositive, outResult.intervals.auprInPositive],
        [outResult.auprOutPositive, outResult.intervals.auprOutPositive],
        [outResult.fprAt95InPositive, outResult.intervals.fprAt95InPositive],
        [outResult.fprAt95OutPositive, outResult.intervals.fprAt95OutPositive],
      ],
    ] as const;
    for (const [value, interval] of groups.flat()) {
      // Symmetric enough for the middle to be within a quarter of the width, which no two of these numbers are by chance.
      expect(Math.abs((interval!.low + interval!.high) / 2 - value)).toBeLessThan((interval!.high - interval!.low) / 4);
      expect(interval!.high - interval!.low).toBeGreaterThan(0);
      expect(interval!.high - interval!.low).toBeLessThan(0.2);
    }
  });

  const evaluationWith = (resamples: number): Evaluation => ({
    model: "m",
    data: "digits",
    split: "test",
    fingerprint: "abc",
    classNames: ["0", "1"],
    bootstrap: { resamples, level: 0.95, seed: 0 },
    ...evaluateInDistribution(inside, truth, 2, thresholds, { bootstrap: { resamples } }),
    ood: [{ data: "garments", fingerprint: "def", ...evaluateOutOfDistribution(inside, inside, 2, thresholds, { resamples }) }],
  });

  it("prints one aligned table", () => {
    expect(renderTable(evaluationWith(0))).toBe(
      [
        "thresholds at percentile                        1",
        "-------------------------------------------------",
        "accuracy on 5 digits images                60.00%",
        "digits images rejected                     20.00%",
        "accuracy on the accepted part              50.00%",
        "AURC (lower is better)                    0.61333",
        "calibration error of the posterior (ECE)   40.00%",
        "garments rejected (decision rule)          1 of 5",
        "garments rejected (class-wise protocol)    60.00%",
        "AUROC, digits against garments             0.5000",
        "AUROC of the decision rule, garments       0.5000",
      ].join("\n"),
    );
  });

  it("prints intervals in brackets and says what they are", () => {
    const lines = renderTable(evaluationWith(1000)).split("\n");
    expect(lines[2]).toMatch(/^accuracy on 5 digits images +60\.00% \[20\.00, 100\.00\]$/);
    expect(lines[7]).toMatch(/^garments rejected \(decision rule\) +1 of 5 \[0, 3\]$/);
    expect(lines.at(-1)).toBe("[low, high]: 95% percentile bootstrap interval, 1,000 resamples");
  });
});
