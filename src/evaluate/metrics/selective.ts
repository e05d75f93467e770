/** Share of `flags` that are 1; 0 to 1. */
export function share(flags: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < flags.length; i++) total += flags[i]!;
  return total / flags.length;
}

/** Accuracy on the accepted part, higher is better; null when nothing is accepted. */
export function selectiveAccuracy(correct: Uint8Array, accepted: Uint8Array): number | null {
  let [kept, right] = [0, 0];
  for (let i = 0; i < correct.length; i++) {
    kept += accepted[i]!;
    right += accepted[i]! & correct[i]!;
  }
  return kept === 0 ? null : right / kept;
}

/** Share that is not accepted, 0 to 1; counted, not taken as 1 - coverage, so that 330 of 1000 is 0.33 and no neighbour of it. */
export const rejectionRate = (accepted: Uint8Array): number =>
  accepted.reduce((rejected, flag) => rejected + 1 - flag, 0) / accepted.length;

/**
 * Risk-coverage curve: at k - 1 the error among the k most confident samples (coverage k / N), for k = 1 to N. 0 to 1, lower is better.
 * `confidence`: higher is surer. Samples of equal confidence enter together, at their mean error.
 */
export function riskCoverageCurve(correct: Uint8Array, confidence: ArrayLike<number>): Float64Array {
  const order = Array.from(correct, (_, i) => i).sort((a, b) => confidence[b]! - confidence[a]!);
  const risks = new Float64Array(order.length);
  let errors = 0;
  for (let start = 0; start < order.length; ) {
    let stop = start;
    let tied = 0;
    while (stop < order.length && confidence[order[stop]!] === confidence[order[start]!]) tied += 1 - correct[order[stop++]!]!;
    for (let k = start + 1; k <= stop; k++) risks[k - 1] = (errors + (tied * (k - start)) / (stop - start)) / k;
    errors += tied;
    start = stop;
  }
  return risks;
}

/** Area under the risk-coverage curve: the mean of its risks. 0 to 1, lower is better. */
export function aurc(correct: Uint8Array, confidence: ArrayLike<number>): number {
  return riskCoverageCurve(correct, confidence).reduce((sum, risk) => sum + risk, 0) / correct.length;
}
