import type { AttackOutcome, AttackResult } from "../../attacks/attack.ts";
import { criteria, judge } from "../../attacks/criteria.ts";
import type { AttackedModel } from "../../attacks/model.ts";
import { attackRates } from "../../attacks/rates.ts";
import type { ThresholdSet } from "../../classify/card.ts";
import { UserError } from "../../core/errors.ts";
import type { Interval } from "../metrics/bootstrap.ts";
import { wilsonInterval } from "../metrics/wilson.ts";

/** A share of counted samples; null of none. The interval is Wilson's, 95%. */
export interface Rate {
  readonly value: number | null;
  readonly of: number;
  readonly interval: Interval | null;
}

/** What an attack did, of one group of attacked samples. */
export interface GroupRates {
  readonly attacked: number;
  /** Criterion met within epsilon / attacked. */
  readonly success: Rate;
  /** Of the successful: rejected. Higher: a better detector. */
  readonly detection: Rate;
  /** Wrong and accepted / attacked. Lower: a better classifier. */
  readonly evasion: Rate;
}

export interface PercentileSummary {
  /** Of the thresholds that decide on rejection here. */
  readonly percentile: number;
  /** Classified correctly before. */
  readonly attacked: GroupRates;
  /** Classified correctly and accepted before. */
  readonly attackedAndAccepted: GroupRates;
  /** Right after the attack / all samples. */
  readonly robustAccuracy: Rate;
  /** Right and accepted before, and not wrong and accepted after / all samples. */
  readonly robustAccuracyWithRejection: Rate;
}

export interface OutcomeSummary {
  /** null: any distance. */
  readonly epsilon: number | null;
  readonly percentiles: readonly PercentileSummary[];
  /** Of the successful perturbations, in the attack's distance; null without any. */
  readonly medianPerturbation: number | null;
  /** Of the successful: still meet the criterion when their pixels are rounded to 8 bits. */
  readonly survivesRounding: Rate;
  /** Mean per attacked sample, at this epsilon alone; null without any. */
  readonly queries: { readonly scores: number | null; readonly gradients: number | null };
  /** Gradients that were zero in every pixel / gradients; null without any. */
  readonly zeroGradients: number | null;
}

/** What is told of an attack: the result's numbers without its images. */
export interface AttackSummary {
  readonly attack: string;
  readonly settings: Readonly<Record<string, unknown>>;
  readonly distance: AttackResult["distance"];
  readonly criterion: string;
  readonly isTargeted: boolean;
  /** Whether a sample that gave way at a smaller epsilon was left alone at the larger ones. */
  readonly carryOver: boolean;
  readonly seed: number;
  readonly samples: number;
  /** In force when the attack was made: the criterion is judged by them. */
  readonly percentileInForce: number;
  readonly outcomes: readonly OutcomeSummary[];
}

export const rate = (successes: number, trials: number): Rate => ({
  value: trials === 0 ? null : successes / trials,
  of: trials,
  interval: wilsonInterval(successes, trials),
});

/**
 * `thresholds`: those to judge rejection by, the first of which are in force in `model`. Errors: UserError when the criterion is none of ours.
 */
export async function summariseAttack(
  model: AttackedModel,
  result: AttackResult,
  thresholds: readonly ThresholdSet[],
): Promise<AttackSummary> {
  const { attack, settings, distance, criterion, isTargeted, carryOver, seed, labels } = result;
  const outcomes: OutcomeSummary[] = [];
  const rounded = new Map<Float32Array, Uint8Array>();
  for (const outcome of result.outcomes) {
    const { epsilon, images, success, queries } = outcome;
    const survives = rounded.get(images) ?? (await judgeRounded(model, result, outcome));
    rounded.set(images, survives);
    const { successful, medianPerturbation, attacked } = attackRates(result, outcome);
    const gradients = total(queries.gradients);
    const mean = (sum: number) => (attacked === 0 ? null : sum / attacked);
    outcomes.push({
      epsilon,
      percentiles: thresholds.map(({ percentile, values }) => summariseAt(result, outcome, percentile, values)),
      medianPerturbation: successful === 0 ? null : medianPerturbation,
      survivesRounding: rate(total(success.map((value, i) => value & survives[i]!)), successful),
      queries: { scores: mean(total(queries.scores)), gradients: mean(gradients) },
      zeroGradients: gradients === 0 ? null : total(queries.zeroGradients) / gradients,
    });
  }
  const percentileInForce = thresholds[0]!.percentile;
  return { attack, settings, distance, criterion, isTargeted, carryOver, seed, samples: labels.length, percentileInForce, outcomes };
}

function summariseAt(result: AttackResult, outcome: AttackOutcome, percentile: number, thresholds: readonly number[]): PercentileSummary {
  const rates = attackRates(result, outcome, thresholds);
  const accepted = acceptedBefore(result, thresholds);
  const kept = (values: Uint8Array) => values.map((value, i) => value & accepted[i]!);
  const ofAccepted = attackRates(
    { ...result, attacked: kept(result.attacked) },
    { ...outcome, success: kept(outcome.success) },
    thresholds,
  );
  const { samples, robustAccuracy, robustAccuracyWithRejection } = rates;
  return {
    percentile,
    attacked: groupRates(rates),
    attackedAndAccepted: groupRates(ofAccepted),
    robustAccuracy: rate(Math.round(robustAccuracy * samples), samples),
    robustAccuracyWithRejection: rate(Math.round(robustAccuracyWithRejection * samples), samples),
  };
}

const groupRates = ({ attacked, successful, rejectedSuccessful, evading }: ReturnType<typeof attackRates>): GroupRates => ({
  attacked,
  success: rate(successful, attacked),
  detection: rate(rejectedSuccessful, successful),
  evasion: rate(evading, attacked),
});

/** Whether the original images are accepted by these thresholds, [N]. */
export function acceptedBefore({ clean, labels }: AttackResult, thresholds: ArrayLike<number>): Uint8Array {
  const classes = clean.classLogLikelihoods.length / labels.length;
  return Uint8Array.from(clean.labels, (label, i) => Number(clean.classLogLikelihoods[i * classes + label]! >= thresholds[label]!));
}

const total = (values: Uint8Array | Uint32Array): number => {
  let sum = 0;
  for (const value of values) sum += value;
  return sum;
};

/** 1 where the criterion is met by the image as a file of 8 bits would hold it, [N]. */
async function judgeRounded(
  model: AttackedModel,
  { criterion, labels, targets }: AttackResult,
  { images }: AttackOutcome,
): Promise<Uint8Array> {
  const judgedBy = criteria.get(criterion);
  if (!judgedBy) throw new UserError(`criterion "${criterion}": expected one of ${[...criteria.keys()].join(", ")}`);
  const scores = await model.score(images.map((value) => Math.round(255 * value) / 255));
  return judge(judgedBy, scores, { labels, targets });
}
