import type { AttackResult } from "../../attacks/attack.ts";
import { type Distance, isWithin } from "../../attacks/distance.ts";
import { type Rate, rate } from "./rate.ts";
import type { Role } from "./suite.ts";

/** One image per sample that some attack made: where it is wrong, and how far it is from the original. */
export interface Trial {
  readonly role: Role;
  /** Attacked, and of another class now, [N]. */
  readonly wrong: Uint8Array;
  /** Of those: accepted by the thresholds in force, [N]. */
  readonly evading: Uint8Array;
  readonly sizes: Readonly<Record<Distance, Float32Array>>;
}

/** What samples were before any attack; the same for all trials. */
export interface Before {
  /** Classified correctly, [N]. */
  readonly right: Uint8Array;
  /** And accepted, [N]. */
  readonly rightAndAccepted: Uint8Array;
}

export interface WorstCase {
  readonly epsilon: number;
  /** Wrong by some attack / classified correctly before. */
  readonly success: Rate;
  /** Wrong and accepted by some attack / classified correctly before. */
  readonly evasion: Rate;
  /** Right after every attack / samples. */
  readonly robustAccuracy: Rate;
  /** Right and accepted before, and not wrong and accepted after any attack / samples. */
  readonly robustAccuracyWithRejection: Rate;
}

export const before = ({ attacked, clean }: AttackResult): Before => ({
  right: attacked,
  rightAndAccepted: attacked.map((value, i) => value & clean.accepted[i]!),
});

/** Without the images, so that a suite needs little memory. */
export const trialsOf = (role: Role, { attacked, labels, outcomes }: AttackResult): Trial[] =>
  outcomes.map(({ scores, sizes }) => {
    const wrong = attacked.map((value, i) => value & Number(scores.labels[i] !== labels[i]));
    return { role, wrong, evading: wrong.map((value, i) => value & scores.accepted[i]!), sizes };
  });

/**
 * Per sample the worst that any trial does within epsilon, whichever epsilon the attack was made for: an image nearer than that counts, too.
 */
export function worstCase(trials: readonly Trial[], { right, rightAndAccepted }: Before, distance: Distance, epsilon: number): WorstCase {
  const some = (of: (trial: Trial) => Uint8Array) =>
    right.map((_, i) => Number(trials.some((trial) => of(trial)[i] === 1 && isWithin(trial.sizes[distance][i]!, epsilon))));
  const [wrong, evading] = [some(({ wrong }) => wrong), some(({ evading }) => evading)];
  const attacked = ones(right);
  return {
    epsilon,
    success: rate(ones(wrong), attacked),
    evasion: rate(ones(evading), attacked),
    robustAccuracy: rate(attacked - ones(wrong), right.length),
    robustAccuracyWithRejection: rate(ones(rightAndAccepted.map((value, i) => value & (1 - evading[i]!))), right.length),
  };
}

const ones = (flags: Uint8Array): number => flags.reduce((sum, value) => sum + value, 0);

/** Success against epsilon, exact: a point at every distance at which a further sample gives way, from nothing on. */
export function successCurve(
  trials: readonly Trial[],
  { right }: Before,
  distance: Distance,
  kind: "wrong" | "evading",
): { readonly epsilon: number; readonly share: number }[] {
  const attacked = ones(right);
  const nearest: number[] = [];
  for (let i = 0; i < right.length; i++) {
    const sizes = trials.flatMap((trial) => (trial[kind][i] === 1 ? [trial.sizes[distance][i]!] : []));
    if (sizes.length > 0) nearest.push(Math.min(...sizes));
  }
  nearest.sort((a, b) => a - b);
  return [{ epsilon: 0, share: 0 }, ...nearest.map((epsilon, i) => ({ epsilon, share: attacked === 0 ? 0 : (i + 1) / attacked }))];
}
