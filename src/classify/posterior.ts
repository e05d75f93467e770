/**
 * Posterior of every class, p(c|z) = softmax_c (log p(z|c) + log p(c)), 0 to 1, [C], of an image's class log-likelihoods [C]; `logPriors` [C], left out: uniform. For a softmax
 * head, whose scores are log p(c|x), these are the probabilities. It says how the known classes share an image between them, and nothing of whether it is of any.
 */
export function posteriors(classLogLikelihoods: ArrayLike<number>, logPriors?: ArrayLike<number>): Float64Array {
  const scores = Float64Array.from(classLogLikelihoods, (value, c) => value + (logPriors ? logPriors[c]! : 0));
  const largest = scores.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  // As unlikely as float32 can say in every class: nothing speaks for any of them.
  if (largest === Number.NEGATIVE_INFINITY) return scores.fill(1 / scores.length);
  const parts = scores.map((score) => Math.exp(score - largest));
  const sum = parts.reduce((a, b) => a + b, 0);
  return parts.map((part) => part / sum);
}
