import { acceptedBy } from "../classify/classification.ts";
import type { AttackOutcome, AttackResult } from "./attack.ts";
import { isWithin } from "./distance.ts";
import type { Scores } from "./model.ts";

/** Counts behind the rates of an attack within one distance; samples are of those attacked. */
export interface AttackRates {
  readonly epsilon: number | null;
  readonly samples: number;
  /** Classified correctly before; `attackedAndAccepted`: and accepted. */
  readonly attacked: number;
  readonly attackedAndAccepted: number;
  /** The attack's own criterion met, within the distance. */
  readonly successful: number;
  /** Of the successful: rejected by the thresholds in force. */
  readonly rejectedSuccessful: number;
  /** Wrong class and accepted, within the distance, among attacked; and among those attacked and accepted before. */
  readonly evading: number;
  readonly evadingOfAccepted: number;
  /** successful / attacked. Higher: a stronger attack. */
  readonly attackSuccessRate: number;
  /** rejected successful / successful; NaN without any. Higher: a better detector. */
  readonly detectionRate: number;
  /** evading / attacked. Lower: a better classifier. */
  readonly evasionRate: number;
  /** Right before, and not wrong after / samples: an image that is right and was not attacked (see `transfer`) stays right. */
  readonly robustAccuracy: number;
  /** Right and accepted before and not evading after / samples: rejecting an adversarial is no fault. */
  readonly robustAccuracyWithRejection: number;
  /** Median size of the successful perturbations, in the attack's distance; NaN without any. */
  readonly medianPerturbation: number;
}

/** `thresholds` [C], nats: other thresholds than those the model had in force, for the same adversarials. */
export function attackRates(result: AttackResult, outcome: AttackOutcome, thresholds?: ArrayLike<number>): AttackRates {
  const { labels, attacked, clean } = result;
  const { epsilon, success, scores, sizes } = outcome;
  const [before, after] = [clean, scores].map((one) => (thresholds === undefined ? one.accepted : acceptedAt(one, thresholds))) as [
    Uint8Array,
    Uint8Array,
  ];
  const count = (test: (i: number) => boolean) => labels.reduce((sum, _, i) => sum + Number(test(i)), 0);
  // An image beyond the distance does not count, whatever the model says of it.
  const isRight = (i: number) => clean.labels[i] === labels[i];
  const isAttacked = (i: number) => attacked[i] === 1;
  const isWrong = (i: number) => isAttacked(i) && isWithin(sizes[result.distance][i]!, epsilon) && scores.labels[i] !== labels[i];
  const isEvading = (i: number) => isWrong(i) && after[i] === 1;
  const counts = {
    samples: labels.length,
    attacked: count(isAttacked),
    attackedAndAccepted: count((i) => isAttacked(i) && before[i] === 1),
    successful: count((i) => success[i] === 1),
    rejectedSuccessful: count((i) => success[i] === 1 && after[i] === 0),
    evading: count(isEvading),
    evadingOfAccepted: count((i) => isEvading(i) && before[i] === 1),
  };
  const sorted = sizes[result.distance].filter((_, i) => success[i] === 1).sort();
  return {
    epsilon,
    ...counts,
    attackSuccessRate: counts.successful / counts.attacked,
    detectionRate: counts.rejectedSuccessful / counts.successful,
    evasionRate: counts.evading / counts.attacked,
    robustAccuracy: count((i) => isRight(i) && !isWrong(i)) / counts.samples,
    robustAccuracyWithRejection: count((i) => isRight(i) && before[i] === 1 && !isEvading(i)) / counts.samples,
    medianPerturbation: medianOf(sorted),
  };
}

/** Whether images are accepted by the thresholds of the classes, nats, [C]: [N]. */
export function acceptedAt({ labels, classLogLikelihoods }: Scores, thresholds: ArrayLike<number>): Uint8Array {
  const classes = classLogLikelihoods.length / labels.length;
  const logLikelihoods = Float32Array.from(labels, (label, i) => classLogLikelihoods[i * classes + label]!);
  return acceptedBy({ labels, logLikelihoods }, thresholds);
}

/** Of sorted values; NaN of none. */
const medianOf = (sorted: Float32Array): number => {
  const upper = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[upper]! : (sorted[upper - 1]! + sorted[upper]!) / 2;
};
