import { marksByChance } from "./chance.ts";
import { type Mark, type Merits, markOf, marks, mean, spreadOf } from "./marks.ts";
import type { Measurement, Outcome } from "./outcome.ts";
import type { Study, Variant } from "./study.ts";

// What is chosen by: accuracy on the validation images and AUROC on the outlier sets, both of images held out of the trainings. Nothing of the
// test split comes in here.

/** One of the study's trainings, and what came of it. */
export interface StudyTraining {
  readonly id: string;
  readonly seed: number;
  readonly folder: string;
  readonly outcome: Outcome | { readonly kind: "missing" };
}

export interface ComparedVariant {
  readonly id: string;
  readonly description: string;
  readonly changes: Readonly<Record<string, unknown>>;
  /** Seeds of the trainings that were measured, failed, and have yet to be done. */
  readonly measured: readonly number[];
  readonly failed: readonly number[];
  readonly missing: readonly number[];
  /** Means over the measured; null where there are none. */
  readonly merits: Merits | null;
  /** (accuracy + auroc) / 2: a point of one counts as much as a point of the other. Higher is better. */
  readonly score: number | null;
  /** Merits minus the base's; null until both are measured. */
  readonly difference: Merits | null;
  /** Null until both are measured, the base with two seeds at least. */
  readonly mark: Mark | null;
}

export interface Comparison {
  readonly base: ComparedVariant;
  /** Largest minus smallest over the base's seeds: the yardstick. Null while fewer than two are measured. */
  readonly spread: Merits | null;
  /** By score, the best first; those without come last, in the study's order. */
  readonly variants: readonly ComparedVariant[];
  /** How many of the marked variants would get each mark if none changed anything; null while nothing is marked. */
  readonly byChance: Readonly<Record<Mark, number>> | null;
}

/** `trainings`: those of the study, done or not. */
export function compare(study: Pick<Study, "base" | "variants">, trainings: readonly StudyTraining[]): Comparison {
  const ofBase = meritsOf(study.base, trainings);
  const spread = ofBase.length < 2 ? null : mapMerits((metric) => spreadOf(ofBase.map((merits) => merits[metric])));
  const baseMerits = meanMerits(ofBase);
  const compared = (variant: Variant): ComparedVariant => {
    const merits = meanMerits(meritsOf(variant, trainings));
    const difference = merits && baseMerits && mapMerits((metric) => merits[metric] - baseMerits[metric]);
    return {
      id: variant.id,
      description: variant.description,
      changes: variant.changes,
      ...seedsByState(variant, trainings),
      merits,
      score: merits && (merits.accuracy + merits.auroc) / 2,
      difference,
      mark: difference && spread && markOf(difference, spread),
    };
  };
  const variants = study.variants.map(compared);
  // Scores are not below 0.
  variants.sort((a, b) => (b.score ?? -1) - (a.score ?? -1));
  return {
    base: { ...compared(study.base), difference: null, mark: null },
    spread,
    variants,
    byChance: spread && expectedMarks(ofBase.length, variants),
  };
}

function expectedMarks(baseSeeds: number, variants: readonly ComparedVariant[]): Record<Mark, number> | null {
  const counts = variants.flatMap(({ mark, measured }) => (mark ? [measured.length] : []));
  if (counts.length === 0) return null;
  const shares = new Map([...new Set(counts)].map((count) => [count, marksByChance(baseSeeds, count)]));
  const sum = (mark: Mark) => counts.reduce((total, count) => total + shares.get(count)![mark], 0);
  return Object.fromEntries(marks.map((mark) => [mark, sum(mark)])) as Record<Mark, number>;
}

const meanAuroc = ({ outliers }: Measurement): number => mean(outliers.map(({ auroc }) => auroc));

/** Of the variant's trainings that were measured. */
const meritsOf = ({ id }: Variant, trainings: readonly StudyTraining[]): Merits[] =>
  trainings.flatMap((training) =>
    training.id === id && training.outcome.kind === "measured"
      ? [{ accuracy: training.outcome.choosing.accuracy, auroc: meanAuroc(training.outcome.choosing) }]
      : [],
  );

function seedsByState({ id }: Variant, trainings: readonly StudyTraining[]): Pick<ComparedVariant, "measured" | "failed" | "missing"> {
  const seeds = (kind: StudyTraining["outcome"]["kind"]) =>
    trainings.filter((training) => training.id === id && training.outcome.kind === kind).map(({ seed }) => seed);
  return { measured: seeds("measured"), failed: seeds("failed"), missing: seeds("missing") };
}

const mapMerits = (of: (metric: keyof Merits) => number): Merits => ({ accuracy: of("accuracy"), auroc: of("auroc") });
const meanMerits = (all: readonly Merits[]): Merits | null =>
  all.length === 0 ? null : mapMerits((metric) => mean(all.map((merits) => merits[metric])));
