import type { Classification } from "../classify/classifier.ts";

/** Of the mean class log-likelihood b of the calibration images that were classified right: above it there is a penalty. */
const backgroundPercentile = 99;

/** b of each image: the mean of its class log-likelihoods, nats, [N]. */
function backgrounds({ classLogLikelihoods, count }: Classification): Float64Array {
  const classes = classLogLikelihoods.length / count;
  return Float64Array.from({ length: count }, (_, i) => {
    const row = classLogLikelihoods.subarray(i * classes, (i + 1) * classes);
    return row.reduce((total, value) => total + value, 0) / classes;
  });
}

/** b0 of `src/nn/scorer.ts`, from what a model that rejects by likelihood says of calibration images: in ascending order, element floor(0.99 n). */
export function backgroundLimit(verdicts: Classification, truth: Int32Array): number {
  const right = backgrounds(verdicts)
    .filter((_, i) => verdicts.labels[i] === truth[i])
    .sort();
  return right[Math.floor((backgroundPercentile / 100) * right.length)] ?? 0;
}

/**
 * What the same model would say had it rejected by penalised likelihood (`src/nn/scorer.ts` has the formula); `accepted` and `thresholds` are not made anew.
 * `verdicts`: of a model that rejects by likelihood.
 */
export function withPenalty(verdicts: Classification, limit: number): Classification {
  const classes = verdicts.classLogLikelihoods.length / verdicts.count;
  const penalties = backgrounds(verdicts).map((background) => Math.max(0, background - Math.fround(limit)));
  return {
    ...verdicts,
    classLogLikelihoods: verdicts.classLogLikelihoods.map((value, i) => value - penalties[Math.floor(i / classes)]!),
    logLikelihoods: verdicts.logLikelihoods.map((value, i) => value - penalties[i]!),
  };
}
