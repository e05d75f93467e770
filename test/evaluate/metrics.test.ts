import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  auroc,
  aurocWithinClasses,
  averagePrecision,
  falsePositiveRateAt,
  rank,
  rankWithinClasses,
  rocCurve,
  steps,
  stepsOf,
  swapped,
  type TwoGroups,
} from "../../src/evaluate/metrics/detection.ts";
import { atLeast, thinned } from "../../src/evaluate/metrics/ranking.ts";
import {
  aurc,
  coverageAtRisk,
  excessAurc,
  oracleAurc,
  rankByConfidence,
  rejectionRate,
  riskAtCoverage,
  riskCoverageCurve,
  selectiveAccuracy,
  selectiveSteps,
  share,
  thinnedCurve,
} from "../../src/evaluate/metrics/selective.ts";

const scores = fc.array(fc.integer({ min: -5, max: 5 }), { minLength: 1, maxLength: 30 });
const groups = fc.record({ positive: scores, negative: scores });

/** Each value as often as its count says. */
const repeated = <T>(values: readonly T[], counts: ArrayLike<number>): T[] =>
  values.flatMap((value, i) => new Array<T>(counts[i]!).fill(value));
const countsFor = (length: number) => fc.array(fc.integer({ min: 0, max: 3 }), { minLength: length, maxLength: length });

describe("detection metrics", () => {
  it("by hand", () => {
    const byHand = stepsOf({ positive: [3, 2, 1], negative: [2.5, 0] });
    // Of 6 pairs, 3 > 2.5, 3 > 0, 2 > 0, 1 > 0 are in order.
    expect(auroc(byHand)).toBeCloseTo(4 / 6, 12);
    // Positives at ranks 1, 3 and 4.
    expect(averagePrecision(byHand)).toBeCloseTo((1 / 1 + 2 / 3 + 3 / 4) / 3, 12);
    // 95% of 3 positives needs all three, down to score 1: one of two negatives is above.
    expect(falsePositiveRateAt(0.95, byHand)).toBe(0.5);
    expect(falsePositiveRateAt(0.3, byHand)).toBe(0);
    expect(rocCurve(byHand)).toEqual([
      { falsePositiveRate: 0, truePositiveRate: 0 },
      { falsePositiveRate: 0, truePositiveRate: 1 / 3 },
      { falsePositiveRate: 0.5, truePositiveRate: 1 / 3 },
      { falsePositiveRate: 0.5, truePositiveRate: 2 / 3 },
      { falsePositiveRate: 0.5, truePositiveRate: 1 },
      { falsePositiveRate: 1, truePositiveRate: 1 },
    ]);
  });

  it("AUROC is the share of pairs in order, ties half, whatever the scores", () => {
    fc.assert(
      fc.property(groups, ({ positive, negative }) => {
        let inOrder = 0;
        for (const p of positive) for (const n of negative) inOrder += p > n ? 1 : p === n ? 0.5 : 0;
        expect(auroc(stepsOf({ positive, negative }))).toBeCloseTo(inOrder / (positive.length * negative.length), 10);
      }),
      { seed: 1 },
    );
  });

  it("AUROC within classes is the mean over the positives of the share of their class's negatives below them, whatever the scores", () => {
    const sample = fc.record({ score: fc.integer({ min: -5, max: 5 }), label: fc.nat(2), count: fc.nat(3) });
    const group = fc.array(sample, { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(group, group, (positive, negative) => {
        const column = (key: "score" | "label" | "count") => ({
          positive: positive.map((one) => one[key]),
          negative: negative.map((one) => one[key]),
        });
        const shares = positive.flatMap(({ score, label, count }) => {
          const rivals = negative
            .filter((other) => other.label === label)
            .flatMap((other) => new Array<number>(other.count).fill(other.score));
          const below = rivals.reduce((sum, rival) => sum + (score > rival ? 1 : score === rival ? 0.5 : 0), 0);
          return rivals.length === 0 ? [] : new Array<number>(count).fill(below / rivals.length);
        });
        const rankings = rankWithinClasses({ scores: column("score"), classes: column("label") });
        const found = aurocWithinClasses(rankings, column("count"));
        if (shares.length === 0) expect(found).toBeNull();
        else expect(found).toBeCloseTo(shares.reduce((sum, share) => sum + share, 0) / shares.length, 10);
      }),
      { seed: 1 },
    );
  });

  it("average precision is the mean precision of the rules at the positives, whatever the scores", () => {
    fc.assert(
      fc.property(groups, ({ positive, negative }) => {
        const precision = (t: number) => {
          const found = positive.filter((p) => p >= t).length;
          return found / (found + negative.filter((n) => n >= t).length);
        };
        const mean = positive.reduce((sum, t) => sum + precision(t), 0) / positive.length;
        expect(averagePrecision(stepsOf({ positive, negative }))).toBeCloseTo(mean, 10);
      }),
      { seed: 1 },
    );
  });

  it("the false positive rate is that of the strictest threshold that finds enough, whatever the scores", () => {
    fc.assert(
      fc.property(groups, fc.double({ min: 0.01, max: 1, noNaN: true }), ({ positive, negative }, rate) => {
        const enough = [...positive].sort((a, b) => b - a).filter((t) => positive.filter((p) => p >= t).length >= rate * positive.length);
        expect(falsePositiveRateAt(rate, stepsOf({ positive, negative }))).toBe(
          negative.filter((n) => n >= enough[0]!).length / negative.length,
        );
      }),
      { seed: 1 },
    );
  });

  it("no metric changes under a growing function of the scores", () => {
    const all = (g: TwoGroups) => [auroc(stepsOf(g)), averagePrecision(stepsOf(g)), falsePositiveRateAt(0.95, stepsOf(g))];
    fc.assert(
      fc.property(groups, ({ positive, negative }) => {
        const grown = (values: number[]) => values.map((value) => Math.exp(value / 2) - 7);
        expect(all({ positive: grown(positive), negative: grown(negative) })).toEqual(all({ positive, negative }));
      }),
      { seed: 1 },
    );
  });

  it("swapped is the other group against this one, by minus the score", () => {
    fc.assert(
      fc.property(groups, ({ positive, negative }) => {
        const minus = (values: number[]) => values.map((value) => -value);
        expect(swapped(stepsOf({ positive, negative }))).toEqual(stepsOf({ positive: minus(negative), negative: minus(positive) }));
      }),
      { seed: 1 },
    );
  });

  it("a sample that counts n times is n samples", () => {
    const counted = groups.chain((g) =>
      fc.record({ g: fc.constant(g), positive: countsFor(g.positive.length), negative: countsFor(g.negative.length) }),
    );
    fc.assert(
      fc.property(counted, ({ g, positive, negative }) => {
        const long = { positive: repeated(g.positive as number[], positive), negative: repeated(g.negative as number[], negative) };
        fc.pre(long.positive.length > 0 && long.negative.length > 0);
        // A resample has as many samples as the group; here the totals differ, so the sizes are said anew.
        const sizes = { positives: long.positive.length, negatives: long.negative.length };
        const short = { ...steps(rank(g), { positive, negative }), ...sizes };
        for (const metric of [auroc, averagePrecision, (s: typeof short) => falsePositiveRateAt(0.95, s)]) {
          expect(metric(short)).toBeCloseTo(metric(stepsOf(long)), 12);
          expect(metric(swapped(short))).toBeCloseTo(metric(swapped(stepsOf(long))), 12);
        }
      }),
      { seed: 1 },
    );
  });

  it("orders infinite scores, and ties between them", () => {
    const infinite = [Number.POSITIVE_INFINITY, 0, Number.NEGATIVE_INFINITY];
    expect(auroc(stepsOf({ positive: infinite, negative: infinite }))).toBe(0.5);
  });

  it("a curve of many steps is thinned to 200 points, both ends among them", () => {
    const many = Array.from({ length: 1000 }, (_, i) => i);
    const curve = rocCurve(stepsOf({ positive: many.map((i) => i + 0.5), negative: many }));
    expect(curve).toHaveLength(200);
    expect([curve[0], curve.at(-1)]).toEqual([
      { falsePositiveRate: 0, truePositiveRate: 0 },
      { falsePositiveRate: 1, truePositiveRate: 1 },
    ]);
    expect(thinned(5, 5)).toEqual([0, 1, 2, 3, 4]);
    expect(thinned(101, 3)).toEqual([0, 50, 100]);
  });
});

/** Correctness and confidence of some samples. */
const answers = fc
  .array(fc.tuple(fc.integer({ min: 0, max: 1 }), fc.integer({ min: 0, max: 6 })), { minLength: 1, maxLength: 25 })
  .map((pairs) => ({ correct: Uint8Array.from(pairs, ([right]) => right), confidence: pairs.map(([, value]) => value) }));
const of = (correct: Uint8Array, confidence: readonly number[], counts?: ArrayLike<number>) =>
  selectiveSteps(rankByConfidence(correct, confidence), counts);

/** Coverage and risk of every threshold on the confidence, the strictest first, from the definition. */
const thresholdsOf = ({ correct, confidence }: { correct: Uint8Array; confidence: readonly number[] }) =>
  [...new Set(confidence)]
    .sort((a, b) => b - a)
    .map((t) => {
      const kept = [...correct].filter((_, i) => confidence[i]! >= t);
      return { coverage: kept.length / correct.length, risk: kept.filter((right) => right === 0).length / kept.length };
    });

describe("selective metrics", () => {
  const correct = Uint8Array.of(1, 0, 1, 1);

  it("by hand", () => {
    expect(selectiveAccuracy(correct, Uint8Array.of(1, 1, 1, 0))).toBeCloseTo(2 / 3, 12);
    expect(selectiveAccuracy(correct, new Uint8Array(4))).toBeNull();
    // Risks of the 1, 2, 3, 4 most confident: 0, 1/2, 1/3, 1/4.
    expect(aurc(of(correct, [9, 8, 7, 6]))).toBeCloseTo((0 + 1 / 2 + 1 / 3 + 1 / 4) / 4, 12);
    // The oracle puts the one error last.
    expect(excessAurc(of(correct, [9, 8, 7, 6]))).toBeCloseTo((1 / 2 + 1 / 3) / 4, 12);
    expect(excessAurc(of(correct, [9, 1, 7, 6]))).toBe(0);
    // All equal: every coverage has the mean risk.
    expect(aurc(of(correct, [1, 1, 1, 1]))).toBeCloseTo(1 / 4, 12);
    // The error is among the second and third, which are tied: half of it at coverage 2, all of it at 3.
    expect([...riskCoverageCurve(of(correct, [9, 8, 8, 6]))]).toEqual([0, 1 / 2 / 2, 1 / 3, 1 / 4]);
    expect(thinnedCurve(Float64Array.of(0, 0.5, 0.25), 2)).toEqual([
      { coverage: 1 / 3, risk: 0 },
      { coverage: 1, risk: 0.25 },
    ]);
    expect(rejectionRate(Uint8Array.from({ length: 1000 }, (_, i) => Number(i >= 330)))).toBe(0.33);
    expect(share([])).toBeNull();
  });

  it("coverage at a risk and risk at a coverage, by hand", () => {
    // Thresholds: coverage 1/4 at risk 0, 2/4 at 1/2, 3/4 at 1/3, 4/4 at 1/4.
    const curve = of(correct, [9, 8, 7, 6]);
    expect([0, 0.2, 0.25, 0.3, 0.5].map((risk) => coverageAtRisk(risk, curve))).toEqual([0.25, 0.25, 1, 1, 1]);
    expect([0, 0.25, 0.3, 0.75, 1].map((coverage) => riskAtCoverage(coverage, curve))).toEqual([0, 0, 1 / 2, 1 / 3, 1 / 4]);
    expect(coverageAtRisk(0.5, of(Uint8Array.of(0, 0), [2, 1]))).toBe(0);
    // In a resample without the surest, the least coverage is that of the next, which is wrong.
    expect(riskAtCoverage(0, of(correct, [9, 8, 7, 6], [0, 2, 1, 1]))).toBe(1);
    // 0.07 * 100 is 7.000000000000001.
    expect(atLeast(0.07, 100)).toBe(7);
    expect(atLeast(0.951, 1000)).toBe(951);
  });

  it("the curve is the mean over the orders of equal confidences, and AURC its mean", () => {
    fc.assert(
      fc.property(answers, ({ correct, confidence }) => {
        const risks = riskCoverageCurve(of(correct, confidence));
        expect(risks).toHaveLength(correct.length);
        // Expected errors among the k surest when ties are broken at random: each of a tie is in with the same chance.
        const expected = risks.map((_, i) => {
          const k = i + 1;
          const errors = confidence.map((value, j) => {
            const above = confidence.filter((other) => other > value).length;
            const tied = confidence.filter((other) => other === value).length;
            return (1 - correct[j]!) * Math.min(1, Math.max(0, (k - above) / tied));
          });
          return errors.reduce((a, b) => a + b, 0) / k;
        });
        risks.forEach((risk, i) => {
          expect(risk).toBeCloseTo(expected[i]!, 10);
        });
        expect(aurc(of(correct, confidence))).toBeCloseTo(expected.reduce((a, b) => a + b, 0) / expected.length, 10);
      }),
      { seed: 1 },
    );
  });

  it("AURC lies between the oracle's, which is that of correctness as confidence, and that of the worst order", () => {
    fc.assert(
      fc.property(answers, ({ correct, confidence }) => {
        const errors = correct.filter((right) => right === 0).length;
        const oracle = aurc(of(correct, [...correct]));
        expect(oracleAurc(errors, correct.length)).toBeCloseTo(aurc(of(correct, distinct(correct, 1))), 12);
        expect(oracle).toBeGreaterThanOrEqual(oracleAurc(errors, correct.length) - 1e-12);
        const area = aurc(of(correct, confidence));
        expect(area).toBeGreaterThanOrEqual(oracleAurc(errors, correct.length) - 1e-12);
        expect(area).toBeLessThanOrEqual(aurc(of(correct, distinct(correct, -1))) + 1e-12);
        expect(excessAurc(of(correct, confidence))).toBeCloseTo(area - oracleAurc(errors, correct.length), 12);
      }),
      { seed: 1 },
    );
  });

  it("coverage at a risk and risk at a coverage, from the definition", () => {
    fc.assert(
      fc.property(answers, fc.integer({ min: 0, max: 100 }), (samples, hundredths) => {
        const rate = hundredths / 100;
        const curve = of(samples.correct, samples.confidence);
        const all = thresholdsOf(samples);
        const coverages = all.filter(({ risk }) => risk <= rate + 1e-9).map(({ coverage }) => coverage);
        expect(coverageAtRisk(rate, curve)).toBeCloseTo(Math.max(0, ...coverages), 12);
        expect(riskAtCoverage(rate, curve)).toBeCloseTo(all.find(({ coverage }) => coverage >= rate - 1e-9)!.risk, 12);
      }),
      { seed: 1 },
    );
  });

  it("a sample that counts n times is n samples", () => {
    const counted = answers.chain((a) => fc.record({ a: fc.constant(a), counts: countsFor(a.correct.length) }));
    fc.assert(
      fc.property(counted, ({ a, counts }) => {
        const correct = Uint8Array.from(repeated([...a.correct], counts));
        fc.pre(correct.length > 0);
        const long = of(correct, repeated(a.confidence, counts));
        const short = of(a.correct, a.confidence, counts);
        const accepted = Uint8Array.from(a.confidence, (value) => Number(value > 2));
        const metrics = [aurc, excessAurc, (s: typeof long) => coverageAtRisk(0.2, s), (s: typeof long) => riskAtCoverage(0.7, s)];
        for (const metric of metrics) expect(metric(short)).toBeCloseTo(metric(long), 12);
        const longAccepted = Uint8Array.from(repeated([...accepted], counts));
        expect(share(a.correct, counts)).toBe(share(correct));
        expect(rejectionRate(accepted, counts)).toBe(rejectionRate(longAccepted));
        expect(selectiveAccuracy(a.correct, accepted, counts)).toBe(selectiveAccuracy(correct, longAccepted));
      }),
      { seed: 1 },
    );
  });
});

/** Confidences without ties that put right answers first (1) or last (-1). */
function distinct(correct: Uint8Array, sign: 1 | -1): number[] {
  return Array.from(correct, (right, i) => sign * right + i / 1000);
}
