import { atLeast, byFalling, firstAtLeast, thinned, tieStops } from "./ranking.ts";

/** Scores of two groups; which group is positive is said by the names, and a higher score speaks for positive. */
export interface TwoGroups {
  readonly positive: ArrayLike<number>;
  readonly negative: ArrayLike<number>;
}

/** How often each sample of the two groups counts: 1 each, or the counts of a bootstrap resample. */
export type GroupCounts = TwoGroups;

/** Both groups in one order, so that resamples need no sorting. */
export interface Ranking {
  readonly positives: number;
  readonly negatives: number;
  /** By falling score: i for positive i, positives + j for negative j. */
  readonly order: Int32Array;
  /** Where a stretch of equal scores ends (exclusive), ascending. */
  readonly stops: Int32Array;
}

/** The decision rules "score >= t is positive", from the strictest t to the laxest; equal scores are one step. */
export interface Steps {
  /** Positives and negatives with a score at or above the step's. */
  readonly truePositives: Float64Array;
  readonly falsePositives: Float64Array;
  readonly positives: number;
  readonly negatives: number;
}

export function rank({ positive, negative }: TwoGroups): Ranking {
  const scores = new Float64Array(positive.length + negative.length);
  scores.set(positive, 0);
  scores.set(negative, positive.length);
  const order = byFalling(scores);
  return { positives: positive.length, negatives: negative.length, order, stops: tieStops(order, scores) };
}

/** The steps of a ranking; with `counts`, of the resample in which each sample occurs so often. */
export function steps({ positives, negatives, order, stops }: Ranking, counts?: GroupCounts): Steps {
  const truePositives = new Float64Array(stops.length);
  const falsePositives = new Float64Array(stops.length);
  let [found, wrong, i] = [0, 0, 0];
  for (let step = 0; step < stops.length; step++) {
    for (; i < stops[step]!; i++) {
      const sample = order[i]!;
      if (sample < positives) found += counts ? counts.positive[sample]! : 1;
      else wrong += counts ? counts.negative[sample - positives]! : 1;
    }
    truePositives[step] = found;
    falsePositives[step] = wrong;
  }
  return { truePositives, falsePositives, positives, negatives };
}

export const stepsOf = (groups: TwoGroups): Steps => steps(rank(groups));

/** The same scores with the other group for positive, and the lower score speaking for it. */
export function swapped({ truePositives, falsePositives, positives, negatives }: Steps): Steps {
  const count = truePositives.length;
  const result = {
    truePositives: new Float64Array(count),
    falsePositives: new Float64Array(count),
    positives: negatives,
    negatives: positives,
  };
  for (let s = 0; s < count; s++) {
    // The rule at step s lets in what the old rule at the step before its mirror image leaves out.
    const mirror = count - 2 - s;
    result.truePositives[s] = negatives - (mirror < 0 ? 0 : falsePositives[mirror]!);
    result.falsePositives[s] = positives - (mirror < 0 ? 0 : truePositives[mirror]!);
  }
  return result;
}

/** Area under the ROC curve: the chance that a positive scores above a negative, ties counted half. 0 to 1, higher is better. */
export const auroc = (ofSteps: Steps): number => pairsInOrder(ofSteps) / (ofSteps.positives * ofSteps.negatives);

/** Pairs of a positive and a negative of which the positive scores higher, ties counted half. */
function pairsInOrder({ truePositives, falsePositives }: Steps): number {
  let [area, found, wrong] = [0, 0, 0];
  for (let s = 0; s < truePositives.length; s++) {
    area += ((falsePositives[s]! - wrong) * (truePositives[s]! + found)) / 2;
    found = truePositives[s]!;
    wrong = falsePositives[s]!;
  }
  return area;
}

/** Two groups' scores and the class of each sample, whose scores are compared within classes alone. */
export interface ClassedGroups {
  readonly scores: TwoGroups;
  readonly classes: TwoGroups;
}

/** Per class that both groups have, who is in it and in which order. */
export type ClassRankings = readonly { readonly members: { readonly [K in keyof TwoGroups]: Int32Array }; readonly ranking: Ranking }[];

export function rankWithinClasses({ scores, classes }: ClassedGroups): ClassRankings {
  const membersOf = (group: keyof TwoGroups, label: number) =>
    Int32Array.from([...Array(classes[group].length).keys()].filter((i) => classes[group][i] === label));
  return [...new Set(Array.from(classes.positive))].flatMap((label) => {
    const members = { positive: membersOf("positive", label), negative: membersOf("negative", label) };
    if (members.negative.length === 0) return [];
    const of = (group: keyof TwoGroups) => Float64Array.from(members[group], (i) => scores[group][i]!);
    return [{ members, ranking: rank({ positive: of("positive"), negative: of("negative") }) }];
  });
}

/**
 * AUROC of each positive against the negatives of its class, averaged over the positives: of a rule with a threshold per class, each at the same
 * share of its class's negatives, as that share goes from 0 to 1. Positives whose class has no negatives are left out; null: there are no others.
 */
export function aurocWithinClasses(rankings: ClassRankings, counts?: GroupCounts): number | null {
  let [sum, positives] = [0, 0];
  for (const { members, ranking } of rankings) {
    const of = (group: keyof TwoGroups) => members[group].map((i) => counts![group][i]!);
    const ofClass = steps(ranking, counts && { positive: of("positive"), negative: of("negative") });
    const [found, wrong] = [ofClass.truePositives.at(-1)!, ofClass.falsePositives.at(-1)!];
    if (wrong === 0) continue;
    sum += pairsInOrder(ofClass) / wrong;
    positives += found;
  }
  return positives === 0 ? null : sum / positives;
}

/** Area under the precision-recall curve as average precision, sum of (recall gained) * precision. 0 to 1, higher is better. */
export function averagePrecision({ truePositives, falsePositives, positives }: Steps): number {
  let [area, before] = [0, 0];
  for (let s = 0; s < truePositives.length; s++) {
    const found = truePositives[s]!;
    if (found > before) area += ((found - before) * found) / (found + falsePositives[s]!);
    before = found;
  }
  return area / positives;
}

/** Share of the negatives taken for positive by the strictest rule that finds at least `rate` of the positives. 0 to 1, lower is better. */
export function falsePositiveRateAt(rate: number, { truePositives, falsePositives, positives, negatives }: Steps): number {
  return falsePositives[firstAtLeast(atLeast(rate, positives), truePositives)]! / negatives;
}

/** One rule "score >= t is positive". */
export interface RocPoint {
  readonly falsePositiveRate: number;
  readonly truePositiveRate: number;
}

/** From (0, 0) to (1, 1), at most `most` points: where there are more steps, evenly chosen among them. */
export function rocCurve({ truePositives, falsePositives, positives, negatives }: Steps, most = 200): RocPoint[] {
  const points = thinned(truePositives.length, most - 1).map((s) => ({
    falsePositiveRate: falsePositives[s]! / negatives,
    truePositiveRate: truePositives[s]! / positives,
  }));
  return [{ falsePositiveRate: 0, truePositiveRate: 0 }, ...points];
}
