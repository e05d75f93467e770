/** Scores of two groups; which group is positive is said by the names, and a higher score speaks for positive. */
export interface TwoGroups {
  readonly positive: ArrayLike<number>;
  readonly negative: ArrayLike<number>;
}

interface Step {
  /** Positives and negatives with a score at or above the step's. */
  readonly truePositives: number;
  readonly falsePositives: number;
}

/** The decision rules "score >= t is positive", from the strictest t to the laxest; equal scores are one step. */
function steps({ positive, negative }: TwoGroups): Step[] {
  const scored = [
    ...Array.from(positive, (score) => ({ score, isPositive: true })),
    ...Array.from(negative, (score) => ({ score, isPositive: false })),
  ].sort((a, b) => b.score - a.score);
  const result: Step[] = [];
  let truePositives = 0;
  let falsePositives = 0;
  scored.forEach(({ score, isPositive }, i) => {
    if (isPositive) truePositives++;
    else falsePositives++;
    if (scored[i + 1]?.score !== score) result.push({ truePositives, falsePositives });
  });
  return result;
}

/** Area under the ROC curve: the chance that a positive scores above a negative, ties counted half. 0 to 1, higher is better. */
export function auroc(groups: TwoGroups): number {
  let area = 0;
  let before: Step = { truePositives: 0, falsePositives: 0 };
  for (const step of steps(groups)) {
    area += ((step.falsePositives - before.falsePositives) * (step.truePositives + before.truePositives)) / 2;
    before = step;
  }
  return area / (groups.positive.length * groups.negative.length);
}

/** Area under the precision-recall curve as average precision, sum of (recall gained) * precision. 0 to 1, higher is better. */
export function averagePrecision(groups: TwoGroups): number {
  let area = 0;
  let before = 0;
  for (const { truePositives, falsePositives } of steps(groups)) {
    area += ((truePositives - before) * truePositives) / (truePositives + falsePositives);
    before = truePositives;
  }
  return area / groups.positive.length;
}

/** Share of the negatives taken for positive by the strictest rule that finds at least `rate` of the positives. 0 to 1, lower is better. */
export function falsePositiveRateAt(rate: number, groups: TwoGroups): number {
  const found = steps(groups).find(({ truePositives }) => truePositives >= rate * groups.positive.length);
  return found!.falsePositives / groups.negative.length;
}
