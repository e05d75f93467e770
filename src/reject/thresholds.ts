import type { ThresholdScope, ThresholdSet } from "../classify/card.ts";
import { TrainingFailed, UserError } from "../core/errors.ts";

export interface CalibrationInput {
  /** As the model's `rejectBy` has them, nats, [N, C]. */
  readonly classLogLikelihoods: Float32Array;
  /** True and predicted class of each sample, [N]. */
  readonly labels: Int32Array;
  readonly predictions: Int32Array;
  readonly classNames: readonly string[];
  /** Each in [0, 100). */
  readonly percentiles: readonly number[];
  /** Default: each class for itself. */
  readonly thresholdsFor?: ThresholdScope;
}

export interface Calibrated {
  readonly thresholds: ThresholdSet[];
  /** Correctly classified samples per class, of which the percentiles were taken. */
  readonly counts: number[];
}

/** Element floor(percentile / 100 * n) of ascending values. In this order 29% of 100 is 29: a product of whole numbers is exact. */
export const elementAt = (sorted: ArrayLike<number>, percentile: number): number | undefined =>
  sorted[Math.floor((percentile * sorted.length) / 100)];

/** Errors: UserError. */
export function requirePercentile(percentile: number): void {
  if (!(percentile >= 0 && percentile < 100)) throw new UserError(`percentile: expected a number from 0 to below 100, got ${percentile}`);
}

/**
 * Class thresholds (paper, 3.2 and 5): of the samples of class c that are classified correctly, their ll_c in ascending order, the element
 * floor(percentile / 100 * n). A class's threshold is compared with the log-likelihood of the winning class: strictly below = rejected.
 * For all classes: the same of the samples of all of them together, ll of each one's own class, for every class.
 * Errors: UserError for a percentile out of range; TrainingFailed for a class, or for all classes together, without correctly classified samples.
 */
export function classThresholds(input: CalibrationInput): Calibrated {
  const { classLogLikelihoods, labels, predictions, classNames, percentiles, thresholdsFor = "each-class" } = input;
  percentiles.forEach(requirePercentile);
  const classes = classNames.length;
  const perClass: number[][] = classNames.map(() => []);
  labels.forEach((label, i) => {
    if (predictions[i] === label) perClass[label]!.push(classLogLikelihoods[i * classes + label]!);
  });
  const pooled = perClass.flat();
  const empty = classNames.filter((_, c) => (thresholdsFor === "each-class" ? perClass[c]! : pooled).length === 0);
  if (empty.length > 0) {
    throw new TrainingFailed(
      `calibration: no correctly classified sample of class ${empty.map((name) => `"${name}"`).join(", ")}, so no threshold can be taken. Train longer (--from begins with what a run has learnt), with class means that start nearer to each other (--mean-spread 0.1, of the sdim head), or take one threshold for all classes (--thresholds-for all-classes, also with --resume).`,
    );
  }
  const samples = thresholdsFor === "each-class" ? perClass : perClass.map(() => pooled);
  for (const values of new Set(samples)) values.sort((a, b) => a - b);
  return {
    thresholds: percentiles.map((percentile) => ({
      percentile,
      values: samples.map((values) => elementAt(values, percentile)!),
    })),
    counts: perClass.map((values) => values.length),
  };
}
