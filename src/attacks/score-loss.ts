import type { Goal } from "./criteria.ts";
import type { AttackedModel } from "./model.ts";

// What attacks without gradients make larger: the objectives of objectives.ts, of scores already had, in float64.

/** odds: minus the log odds of the true class; orders images as its posterior does, and never saturates. */
export const scoreLosses = ["margin", "cross-entropy", "odds", "accepted"] as const;
export type ScoreLoss = (typeof scoreLosses)[number];

/** Of class log-likelihoods [N, C], nats, with the goal of each of the N images: the loss, [N]; a targeted goal's is of its target. */
export function scoreLoss(
  kind: ScoreLoss,
  model: Pick<AttackedModel, "classes" | "thresholds" | "logPriors">,
  classLogLikelihoods: Float32Array,
  goals: readonly Goal[],
): Float64Array {
  const { classes, thresholds, logPriors } = model;
  return Float64Array.from(goals, ({ label, target }, i) => {
    const scores = Float64Array.from(classLogLikelihoods.subarray(i * classes, (i + 1) * classes));
    const decision = logPriors ? scores.map((value, c) => value + logPriors[c]!) : scores;
    const wanted = target ?? label;
    const sign = target === undefined ? 1 : -1;
    switch (kind) {
      case "margin":
        return sign * (largestBut(wanted, decision) - decision[wanted]!);
      case "cross-entropy":
        return sign * softplus(-logOdds(wanted, decision));
      case "odds":
        return sign * -logOdds(wanted, decision);
      case "accepted": {
        const margin = (c: number) => Math.min(decision[c]! - largestBut(c, decision), scores[c]! - thresholds[c]!);
        if (target !== undefined) return margin(target);
        return scores.reduce((best, _, c) => (c === label ? best : Math.max(best, margin(c))), Number.NEGATIVE_INFINITY);
      }
    }
  });
}

function largestBut(c: number, values: Float64Array): number {
  return values.reduce((best, value, k) => (k === c ? best : Math.max(best, value)), Number.NEGATIVE_INFINITY);
}

/** log p_c / (1 - p_c) = s_c - log sum_{k != c} exp s_k */
function logOdds(c: number, decision: Float64Array): number {
  const largest = largestBut(c, decision);
  return decision[c]! - largest - Math.log(decision.reduce((sum, value, k) => (k === c ? sum : sum + Math.exp(value - largest)), 0));
}

/** log(1 + exp x): -log p_c = softplus(-log odds of c) */
const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
