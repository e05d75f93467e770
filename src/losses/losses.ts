import { add, div, logSoftmax, mean, mul, neg, oneHot, relu, square, sub, sum } from "../graph/build.ts";
import type { Value } from "../graph/graph.ts";
import { staticDim } from "../graph/types.ts";
import type { Scores } from "../nn/critic.ts";
import { type MiBound, mutualInformationLoss } from "./bounds.ts";

export interface LossConfig {
  /** Weights of mutual information, negative log-likelihood and margin (paper, Eq. 7). */
  readonly alpha: number;
  readonly beta: number;
  readonly gamma: number;
  readonly miBound: MiBound;
  /** K: the margin wanted between the true class and each other, in the units of `perDimension`. */
  readonly margin: number;
  /** Whether the likelihood losses use ll / d, as the paper's reported logits require, or the raw ll. */
  readonly perDimension: boolean;
}

/** Named parts of a loss, each a scalar. */
export interface Loss {
  readonly total: Value;
  readonly parts: Readonly<Record<string, Value>>;
}

/** The score of the true class, [N, 1], of scores [N, C] and labels int64 [N]. */
export const trueClassScore = (scores: Value, labels: Value): Value =>
  sum(mul(scores, oneHot(labels, staticDim(scores.type.shape[1], "classes"))), [1], true);

/** J_NLL = -mean_i s_{y_i}(z_i)   (paper, Eq. 5) */
export const negativeLogLikelihood = (scores: Value, labels: Value): Value => neg(mean(trueClassScore(scores, labels)));

/** J_LM = mean_i 1/(C-1) sum_{c != y_i} max(s_c(z_i) + K - s_{y_i}(z_i), 0)^2   (paper, Eq. 6) */
export function marginLoss(scores: Value, labels: Value, margin: number): Value {
  const classes = staticDim(scores.type.shape[1], "classes");
  const hinge = square(relu(sub(add(scores, margin), trueClassScore(scores, labels))));
  const others = mul(hinge, sub(1, oneHot(labels, classes)));
  return mean(mul(sum(others, [1]), 1 / (classes - 1)));
}

/** J = alpha J_MI + beta J_NLL + gamma J_LM   (paper, Eq. 7), of raw class log-likelihoods [N, C] of representations of `dimension` numbers. */
export function sdimLoss(classLogLikelihoods: Value, critic: Scores, labels: Value, dimension: number, config: LossConfig): Loss {
  const scores = config.perDimension ? div(classLogLikelihoods, dimension) : classLogLikelihoods;
  const parts = {
    mutualInformation: mutualInformationLoss(critic, config.miBound),
    negativeLogLikelihood: negativeLogLikelihood(scores, labels),
    margin: marginLoss(scores, labels, config.margin),
  };
  const total = add(
    add(mul(parts.mutualInformation, config.alpha), mul(parts.negativeLogLikelihood, config.beta)),
    mul(parts.margin, config.gamma),
  );
  return { total, parts };
}

/** -mean_i log softmax(logits_i)_{y_i} */
export function crossEntropyLoss(logits: Value, labels: Value): Loss {
  const total = neg(mean(trueClassScore(logSoftmax(logits), labels)));
  return { total, parts: { crossEntropy: total } };
}
