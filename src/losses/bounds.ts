import { add, exp, log, max, mean, mul, neg, reshape, softplus, square, stopGradient, sub, sum } from "../graph/build.ts";
import type { Value } from "../graph/graph.ts";
import type { Scores } from "../nn/critic.ts";

/**
 * Lower bounds of the mutual information (or of another divergence between joint and product of marginals) by a critic T: the paper's Eq. 1 and 2,
 * and InfoNCE. `jensen-shannon` is the default of Deep InfoMax; the `gan` dual of Nowozin et al. 2016 differs from it by a constant only.
 */
export const miBounds = ["jensen-shannon", "donsker-varadhan", "info-nce", "kl", "reverse-kl", "pearson", "squared-hellinger"] as const;
export type MiBound = (typeof miBounds)[number];

/**
 * The f-divergence duals, E_J[g(T)] - E_M[f*(g(T))] (paper, Eq. 2), with the output activations g and conjugates f* of Nowozin et al. 2016, Table 6,
 * worked out: what a true pair and what another pair contribute to the negative bound. Constants are left out.
 */
const duals: Readonly<
  Record<Exclude<MiBound, "donsker-varadhan" | "info-nce">, { readonly own: (t: Value) => Value; readonly other: (t: Value) => Value }>
> = {
  // g = log 2 - softplus(-T), f*(g) = softplus(T) - log 2
  "jensen-shannon": { own: (t) => softplus(neg(t)), other: softplus },
  // g = T, f*(g) = exp(T - 1)
  kl: { own: neg, other: (t) => exp(sub(t, 1)) },
  // g = -exp(-T), f*(g) = T - 1
  "reverse-kl": { own: (t) => exp(neg(t)), other: (t) => t },
  // g = T, f*(g) = T^2 / 4 + T
  pearson: { own: neg, other: (t) => add(mul(square(t), 0.25), t) },
  // g = 1 - exp(-T), f*(g) = exp(T) - 1
  "squared-hellinger": { own: (t) => exp(neg(t)), other: exp },
};

/** Constants that `duals` leave out: the divergence is `constant - J_MI`, in nats where it is in logarithms. */
export const boundConstants: Readonly<Record<MiBound, number>> = {
  "jensen-shannon": 2 * Math.log(2),
  "donsker-varadhan": 0,
  "info-nce": 0,
  kl: 0,
  "reverse-kl": 1,
  pearson: 0,
  "squared-hellinger": 2,
};

/** J_MI: the negative bound, averaged over the positions of the local features (paper, Eq. 3). */
export function mutualInformationLoss(scores: Scores, bound: MiBound = "jensen-shannon"): Value {
  if (bound === "info-nce") return infoNce(scores);
  if (bound === "donsker-varadhan") return sub(mean(logMeanExpOfOthers(scores)), mean(scores.positive));
  const { own, other } = duals[bound];
  return add(mean(own(scores.positive)), meanOfOthers(other(scores.negative), scores));
}

/** Mean over pairs of different images and over positions. */
function meanOfOthers(values: Value, { negativeMask }: Scores): Value {
  if (!negativeMask) return mean(values);
  const [count, , positions] = values.type.shape as [number, number, number];
  return mul(sum(mul(values, negativeMask)), 1 / (count * (count - 1) * positions));
}

/** So low that exp of it is 0: what stands for pairs that do not count. */
const never = -1e30;

/** log mean exp(T) over pairs of different images, per position: [P]. The largest is taken out first, so that nothing overflows. */
function logMeanExpOfOthers({ negative, negativeMask }: Scores): Value {
  const shape = negative.type.shape as readonly number[];
  const [count, positions] = [shape[0]!, shape.at(-1)!];
  const counting = negativeMask ? add(mul(negative, negativeMask), mul(sub(1, negativeMask), never)) : negative;
  const pairs = reshape(counting, [count * (negativeMask ? count : 1), positions]);
  const largest = stopGradient(max(pairs, [0], true));
  const pairCount = negativeMask ? count * (count - 1) : count;
  return add(log(mul(sum(exp(sub(pairs, largest)), [0]), 1 / pairCount)), reshape(largest, [positions]));
}

/**
 * InfoNCE (van den Oord et al. 2018): -mean log [exp(T_ii) / mean_j exp(T_ij)], the mean over the true pair and the others of image i's local
 * features: N with all pairs, two when shuffled. The bound is at most the logarithm of their number.
 */
function infoNce({ positive, negative, negativeMask }: Scores): Value {
  if (!negativeMask) return sub(mean(softplus(sub(negative, positive))), Math.log(2));
  const count = negative.type.shape[0] as number;
  const largest = stopGradient(max(negative, [1], true));
  const total = mean(exp(sub(negative, largest)), [1]);
  return sub(mean(add(log(total), reshape(largest, [count, negative.type.shape[2] as number]))), mean(positive));
}
