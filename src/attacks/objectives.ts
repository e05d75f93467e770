import { add, argMax, div, logSoftmax, max, maximum, minimum, mul, neg, oneHot, reshape, square, sub, sum } from "../graph/build.ts";
import type { Value } from "../graph/graph.ts";

// What an attack makes large, per sample, as graphs: their gradients are the graph's own.

/** Losses over class log-likelihoods that push a sample out of its class or, targeted, into another. */
export const losses = ["cross-entropy", "margin", "dlr", "accepted"] as const;
export type AttackLoss = (typeof losses)[number];

export type Objective =
  | { readonly kind: AttackLoss; readonly targeted: boolean }
  /** sum_c w_c log p(z|c), weights given per sample. */
  | { readonly kind: "weighted" }
  /** -|z - anchor|^2, anchors given per sample. */
  | { readonly kind: "matching" };

/** What objectives are made of. */
export interface ObjectiveParts {
  /** log p(z|c) + log p(c), [N, C]: what decides between classes. */
  readonly decision: Value;
  /** log p(z|c), [N, C]: what is compared with thresholds. */
  readonly scores: Value;
  /** [N, d] */
  readonly representation: Value;
  /** [C] */
  readonly thresholds: Value;
  readonly classes: number;
  /** The true class, int64 [N]. */
  readonly label: () => Value;
  /** The class wanted, int64 [N]. */
  readonly target: () => Value;
  /** [N, C] */
  readonly classWeights: () => Value;
  /** [N, d] */
  readonly anchors: () => Value;
}

/** Far below any log-likelihood, and still finite in float32. */
const farBelow = -1e30;

/** Of the classes in a one-hot mask [N, C], the rest pushed far below. */
const without = (scores: Value, mask: Value): Value => add(scores, mul(mask, farBelow));
const pick = (scores: Value, mask: Value): Value => sum(mul(scores, mask), [1]);
const best = (scores: Value, classes: number): Value => oneHot(argMax(scores), classes);

/** Classes of dlr: it divides by differences of ranks. */
export const classesNeeded = (objective: Objective): number => (objective.kind === "dlr" ? (objective.targeted ? 4 : 3) : 2);

/** The objective's value per sample, [N]; an attack makes it larger. Those of margins are positive just where the goal is reached. */
export function buildObjective(objective: Objective, parts: ObjectiveParts): Value {
  switch (objective.kind) {
    case "weighted":
      return sum(mul(parts.scores, parts.classWeights()), [1]);
    case "matching":
      return neg(sum(square(sub(parts.representation, parts.anchors())), [1]));
    case "cross-entropy":
      return crossEntropy(parts, objective.targeted);
    case "margin":
      return margin(parts, objective.targeted);
    case "dlr":
      return differenceOfLogitsRatio(parts, objective.targeted);
    case "accepted":
      return acceptedMargin(parts, objective.targeted);
  }
}

/** -log softmax(s)_y;  targeted: log softmax(s)_t. The paper's; it saturates where margins are hundreds of nats. */
function crossEntropy({ decision, classes, label, target }: ObjectiveParts, targeted: boolean): Value {
  const logPosterior = logSoftmax(decision);
  return targeted ? pick(logPosterior, oneHot(target(), classes)) : neg(pick(logPosterior, oneHot(label(), classes)));
}

/** max_{j != y} s_j - s_y;  targeted: s_t - max_{j != t} s_j   (Carlini & Wagner 2017, f6) */
function margin({ decision, classes, label, target }: ObjectiveParts, targeted: boolean): Value {
  const one = oneHot(targeted ? target() : label(), classes);
  const ofOthers = max(without(decision, one), [1]);
  return targeted ? sub(pick(decision, one), ofOthers) : sub(ofOthers, pick(decision, one));
}

/**
 * (max_{j != y} s_j - s_y) / (s_(1) - s_(3));  targeted: (s_t - s_y) / (s_(1) - (s_(3) + s_(4)) / 2), with s_(k) the k-th largest:
 * the difference of logits ratio, which no scale of the scores changes (Croce & Hein 2020, Eq. 6 and 7)
 */
function differenceOfLogitsRatio({ decision, classes, label, target }: ObjectiveParts, targeted: boolean): Value {
  let mask = best(decision, classes);
  const ranked = [pick(decision, mask)];
  for (let rank = 2; rank <= (targeted ? 4 : 3); rank++) {
    const next = best(without(decision, mask), classes);
    ranked.push(pick(decision, next));
    mask = add(mask, next);
  }
  const [first, , third, fourth] = ranked;
  const ofLabel = pick(decision, oneHot(label(), classes));
  const tiny = 1e-12;
  if (!targeted) {
    const ofOthers = max(without(decision, oneHot(label(), classes)), [1]);
    return div(sub(ofOthers, ofLabel), maximum(sub(first!, third!), tiny));
  }
  const ofTarget = pick(decision, oneHot(target(), classes));
  return div(sub(ofTarget, ofLabel), maximum(sub(first!, mul(add(third!, fourth!), 0.5)), tiny));
}

/**
 * How far a wrong class is from winning AND being accepted:
 *   m_j = min(s_j - max_{k != j} s_k, log p(z|j) - threshold_j);   untargeted max_{j != y} m_j, targeted m_t
 */
function acceptedMargin({ decision, scores, thresholds, classes, label, target }: ObjectiveParts, targeted: boolean): Value {
  const first = best(decision, classes);
  const runnerUp = max(without(decision, first), [1], true);
  const winner = max(decision, [1], true);
  // The strongest rival of the winner is the runner-up; of all others, the winner.
  const rival = add(mul(first, runnerUp), mul(sub(1, first), winner));
  const margins = minimum(sub(decision, rival), sub(scores, reshape(thresholds, [1, classes])));
  return targeted ? pick(margins, oneHot(target(), classes)) : max(without(margins, oneHot(label(), classes)), [1]);
}
