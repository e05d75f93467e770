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

/**
 * Area under the risk-coverage curve: the mean error of the k most confident samples, over k = 1 to N. `confidence`: higher is surer.
 * 0 to 1, lower is better. Samples of equal confidence enter together, at their mean error.
 */
export function aurc(correct: Uint8Array, confidence: ArrayLike<number>): number {
  const order = Array.from(correct, (_, i) => i).sort((a, b) => confidence[b]! - confidence[a]!);
  let errors = 0;
  let area = 0;
  for (let start = 0; start < order.length; ) {
    let stop = start;
    let tied = 0;
    while (stop < order.length && confidence[order[stop]!] === confidence[order[start]!]) tied += 1 - correct[order[stop++]!]!;
    for (let k = start + 1; k <= stop; k++) area += (errors + (tied * (k - start)) / (stop - start)) / k;
    errors += tied;
    start = stop;
  }
  return area / order.length;
}
