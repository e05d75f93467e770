import type { AttackOutcome, AttackResult } from "../../attacks/attack.ts";
import { type Criterion, criteria, judge } from "../../attacks/criteria.ts";
import type { AttackedModel } from "../../attacks/model.ts";
import { acceptedAt, attackRates } from "../../attacks/rates.ts";
import type { ThresholdSet } from "../../classify/card.ts";
import { UserError } from "../../core/errors.ts";
import { type Rate, rate, unmeasured, withoutInterval } from "./rate.ts";
import { type WorstTarget, worstTarget } from "./worst-target.ts";

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

/**
 * Images made to be wrong and accepted under some thresholds say nothing of others (detection, evasion and robust accuracy with rejection are null
 * there), nor of how many could be wrong alone (robust accuracy is null).
 */
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
  /** Where an image was attacked once per target: what its worst target does, by the thresholds in force. */
  readonly worstTarget?: WorstTarget;
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

/**
 * `thresholds`: those to judge rejection by, the first of which are in force in `model`. `sources` [N]: the image that each sample is, where
 * some are there once per target: such samples depend on each other, so their rates have no intervals. Errors: UserError when the criterion is none of ours.
 */
export async function summariseAttack(
  model: AttackedModel,
  result: AttackResult,
  thresholds: readonly ThresholdSet[],
  sources?: Int32Array,
): Promise<AttackSummary> {
  const { needsAcceptance } = knownCriterion(result.criterion);
  const percentileInForce = thresholds[0]!.percentile;
  const isRepeated = sources !== undefined && new Set(sources).size < sources.length;
  const shown = isRepeated ? withoutInterval : (one: Rate) => one;
  const plain = needsAcceptance ? () => unmeasured : shown;
  const { attack, settings, distance, criterion, isTargeted, carryOver, seed, labels } = result;
  const outcomes: OutcomeSummary[] = [];
  const rounded = new Map<Float32Array, Uint8Array>();
  for (const outcome of result.outcomes) {
    const { epsilon, images, success, queries } = outcome;
    const survives = rounded.get(images) ?? (await judgeRounded(model, result, outcome));
    rounded.set(images, survives);
    const { successful, medianPerturbation, attacked } = attackRates(result, outcome);
    const gradients = total(queries.gradients);
    const mean = (counts: Uint32Array) => (attacked === 0 ? null : total(counts.map((value, i) => value * result.attacked[i]!)) / attacked);
    outcomes.push({
      epsilon,
      percentiles: thresholds.map(({ percentile, values }) => {
        const isMet = !needsAcceptance || percentile === percentileInForce;
        const measured = isMet ? shown : () => unmeasured;
        return summariseAt(result, outcome, { percentile, thresholds: values, shown, measured, plain });
      }),
      medianPerturbation: successful === 0 ? null : medianPerturbation,
      survivesRounding: shown(rate(total(success.map((value, i) => value & survives[i]!)), successful)),
      queries: { scores: mean(queries.scores), gradients: mean(queries.gradients) },
      zeroGradients: gradients === 0 ? null : total(queries.zeroGradients) / gradients,
      ...(isRepeated ? { worstTarget: worstTarget(result, outcome, sources, needsAcceptance ? () => unmeasured : (one) => one) } : {}),
    });
  }
  return { attack, settings, distance, criterion, isTargeted, carryOver, seed, samples: labels.length, percentileInForce, outcomes };
}

interface View {
  readonly percentile: number;
  readonly thresholds: readonly number[];
  /** A rate as it is told; `measured`: one that depends on these thresholds; `plain`: one that depends on none. */
  readonly shown: (rate: Rate) => Rate;
  readonly measured: (rate: Rate) => Rate;
  readonly plain: (rate: Rate) => Rate;
}

function summariseAt(result: AttackResult, outcome: AttackOutcome, view: View): PercentileSummary {
  const { percentile, thresholds, measured, plain } = view;
  const rates = attackRates(result, outcome, thresholds);
  const accepted = acceptedAt(result.clean, thresholds);
  const kept = (values: Uint8Array) => values.map((value, i) => value & accepted[i]!);
  const ofAccepted = attackRates(
    { ...result, attacked: kept(result.attacked) },
    { ...outcome, success: kept(outcome.success) },
    thresholds,
  );
  const { samples, robustAccuracy, robustAccuracyWithRejection } = rates;
  return {
    percentile,
    attacked: groupRates(rates, view),
    attackedAndAccepted: groupRates(ofAccepted, view),
    robustAccuracy: plain(rate(Math.round(robustAccuracy * samples), samples)),
    robustAccuracyWithRejection: measured(rate(Math.round(robustAccuracyWithRejection * samples), samples)),
  };
}

const groupRates = (
  { attacked, successful, rejectedSuccessful, evading }: ReturnType<typeof attackRates>,
  { shown, measured }: View,
): GroupRates => ({
  attacked,
  success: shown(rate(successful, attacked)),
  detection: measured(rate(rejectedSuccessful, successful)),
  evasion: measured(rate(evading, attacked)),
});

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
  const scores = await model.score(images.map((value) => Math.round(255 * value) / 255));
  return judge(knownCriterion(criterion), scores, { labels, targets });
}

function knownCriterion(name: string): Criterion {
  const found = criteria.get(name);
  if (found) return found;
  throw new UserError(`criterion "${name}": expected one of ${[...criteria.keys()].join(", ")}`);
}
