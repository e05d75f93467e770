import { atLeast, byFalling, firstAtLeast, thinned, tieStops } from "./ranking.ts";

/** How often each sample counts: 1 each where left out, or the counts of a bootstrap resample. */
type Counts = ArrayLike<number>;

/** Share of `flags` that are 1; 0 to 1, null of no samples. */
export function share(flags: ArrayLike<number>, counts?: Counts): number | null {
  let [total, set] = [0, 0];
  for (let i = 0; i < flags.length; i++) {
    const count = counts ? counts[i]! : 1;
    total += count;
    set += count * flags[i]!;
  }
  return total === 0 ? null : set / total;
}

/** Accuracy on the accepted part, higher is better; null when nothing is accepted. */
export function selectiveAccuracy(correct: Uint8Array, accepted: Uint8Array, counts?: Counts): number | null {
  let [kept, right] = [0, 0];
  for (let i = 0; i < correct.length; i++) {
    const count = counts ? counts[i]! : 1;
    kept += count * accepted[i]!;
    right += count * (accepted[i]! & correct[i]!);
  }
  return kept === 0 ? null : right / kept;
}

/** Share that is not accepted, 0 to 1; counted, not taken as 1 - coverage, so that 330 of 1000 is 0.33 and no neighbour of it. */
export function rejectionRate(accepted: Uint8Array, counts?: Counts): number {
  let [total, rejected] = [0, 0];
  for (let i = 0; i < accepted.length; i++) {
    const count = counts ? counts[i]! : 1;
    total += count;
    rejected += count * (1 - accepted[i]!);
  }
  return rejected / total;
}

/** Correctness in the order of confidence, so that resamples need no sorting. */
export interface SelectiveRanking {
  readonly correct: Uint8Array;
  /** Surest first. */
  readonly order: Int32Array;
  /** Where a stretch of equal confidence ends (exclusive), ascending. */
  readonly stops: Int32Array;
}

/** `confidence`: higher is surer. */
export function rankByConfidence(correct: Uint8Array, confidence: ArrayLike<number>): SelectiveRanking {
  const order = byFalling(confidence);
  return { correct, order, stops: tieStops(order, confidence) };
}

/** What the rules "accept at confidence t or more" do, from the strictest t to the laxest. */
export interface SelectiveSteps {
  /** Samples accepted, and errors among them. */
  readonly kept: Float64Array;
  readonly errors: Float64Array;
}

export function selectiveSteps({ correct, order, stops }: SelectiveRanking, counts?: Counts): SelectiveSteps {
  const kept = new Float64Array(stops.length);
  const errors = new Float64Array(stops.length);
  let [all, wrong, i] = [0, 0, 0];
  for (let step = 0; step < stops.length; step++) {
    for (; i < stops[step]!; i++) {
      const sample = order[i]!;
      const count = counts ? counts[sample]! : 1;
      all += count;
      wrong += count * (1 - correct[sample]!);
    }
    kept[step] = all;
    errors[step] = wrong;
  }
  return { kept, errors };
}

/**
 * Risk-coverage curve: at k - 1 the error among the k most confident samples (coverage k / N), for k = 1 to N. 0 to 1, lower is better.
 * Samples of equal confidence enter together, at their mean error.
 */
export function riskCoverageCurve({ kept, errors }: SelectiveSteps): Float64Array {
  const risks = new Float64Array(kept.at(-1)!);
  let [before, wrong] = [0, 0];
  for (let step = 0; step < kept.length; step++) {
    const size = kept[step]! - before;
    const gained = errors[step]! - wrong;
    for (let k = 1; k <= size; k++) risks[before + k - 1] = (wrong + (gained * k) / size) / (before + k);
    before = kept[step]!;
    wrong = errors[step]!;
  }
  return risks;
}

/** Area under the risk-coverage curve: the mean of its risks. 0 to 1, lower is better. */
export function aurc(steps: SelectiveSteps): number {
  const risks = riskCoverageCurve(steps);
  let sum = 0;
  for (let k = 0; k < risks.length; k++) sum += risks[k]!;
  return sum / risks.length;
}

/** The least AURC that any confidence could have with so many errors among so many samples: all errors come last. */
export function oracleAurc(errors: number, count: number): number {
  let sum = 0;
  for (let wrong = 1; wrong <= errors; wrong++) sum += wrong / (count - errors + wrong);
  return sum / count;
}

/** AURC above the oracle's (E-AURC; Geifman, Uziel and El-Yaniv, 2019, with the oracle's sum taken exactly). Lower is better, 0 is best. */
export const excessAurc = (steps: SelectiveSteps): number => aurc(steps) - oracleAurc(steps.errors.at(-1)!, steps.kept.at(-1)!);

/** The largest coverage of a threshold on the confidence whose accepted part has at most that risk; 0 when none has. Higher is better. */
export function coverageAtRisk(risk: number, { kept, errors }: SelectiveSteps): number {
  // A small allowance, so that 5 errors of 1,000 are 0.5%.
  for (let s = kept.length - 1; s >= 0; s--) {
    if (kept[s]! > 0 && errors[s]! <= risk * kept[s]! + 1e-9) return kept[s]! / kept.at(-1)!;
  }
  return 0;
}

/** The risk of the strictest threshold on the confidence that accepts at least that coverage. Lower is better. */
export function riskAtCoverage(coverage: number, { kept, errors }: SelectiveSteps): number {
  const enough = Math.max(1, atLeast(coverage, kept.at(-1)!));
  const step = firstAtLeast(enough, kept);
  return errors[step]! / kept[step]!;
}

/** One point of the risk-coverage curve. */
export interface RiskCoveragePoint {
  readonly coverage: number;
  readonly risk: number;
}

/** The curve at no more than `most` evenly spaced coverages, the first and the last among them. */
export function thinnedCurve(risks: Float64Array, most = 200): RiskCoveragePoint[] {
  return thinned(risks.length, most).map((i) => ({ coverage: (i + 1) / risks.length, risk: risks[i]! }));
}
