import { isOfKind, unexpected } from "../core/kinds.ts";
import type { Classification } from "./classification.ts";

/** Posteriors of every image and class, [N, C], of what `classify` gives; `logPriors` [C]: the classifier's own. See `posteriorsOfOne`. */
export function posteriors(result: Pick<Classification, "count" | "classLogLikelihoods">, logPriors?: ArrayLike<number>): Float64Array {
  if (!isOfKind((result as typeof result | undefined)?.classLogLikelihoods, "Float32Array"))
    throw unexpected("result", "what classify gives", result);
  const { count, classLogLikelihoods } = result;
  const classes = classLogLikelihoods.length / count;
  const all = new Float64Array(classLogLikelihoods.length);
  for (let i = 0; i < count; i++)
    all.set(posteriorsOfOne(classLogLikelihoods.subarray(i * classes, (i + 1) * classes), logPriors), i * classes);
  return all;
}

/**
 * Posterior of every class, p(c|z) = softmax_c (log p(z|c) + log p(c)), 0 to 1, [C], of an image's class log-likelihoods [C]; `logPriors` [C], left out: uniform. For a softmax
 * head, whose scores are log p(c|x), these are the probabilities. It says how the known classes share an image between them, and nothing of whether it is of any.
 */
export function posteriorsOfOne(classLogLikelihoods: ArrayLike<number>, logPriors?: ArrayLike<number>): Float64Array {
  const scores = Float64Array.from(classLogLikelihoods, (value, c) => value + (logPriors ? logPriors[c]! : 0));
  const largest = scores.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  // As unlikely as float32 can say in every class: nothing speaks for any of them.
  if (largest === Number.NEGATIVE_INFINITY) return scores.fill(1 / scores.length);
  const parts = scores.map((score) => Math.exp(score - largest));
  const sum = parts.reduce((a, b) => a + b, 0);
  return parts.map((part) => part / sum);
}
