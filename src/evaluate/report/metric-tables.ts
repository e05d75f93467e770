import { type Evaluation, nameOfThresholds } from "../evaluation.ts";
import { intervalNote, numberOf, percentWithInterval } from "../summary.ts";

// Tables as words, for the report and for the web page.

export interface Table {
  readonly caption: string;
  readonly columns: readonly string[];
  /** Each starts with its name. */
  readonly rows: readonly (readonly string[])[];
}

/** With what the brackets mean, where there are any. */
export const captionOf = (text: string, evaluation: Evaluation): string =>
  [text, intervalNote(evaluation)].filter((part) => part !== undefined).join(" ");

/** How well each out-of-distribution set is told apart. */
export const detectionTable = (evaluation: Evaluation): Table => ({
  caption: captionOf(
    "Told apart by the outlier score, minus the winning class’s score, with one threshold for all classes. ↑ higher is better, ↓ lower is better.",
    evaluation,
  ),
  columns: [
    "data set",
    "images",
    "AUROC ↑",
    "AUPR, in positive ↑",
    "AUPR, out positive ↑",
    "FPR at 95% TPR, in positive ↓",
    "FPR at 95% TPR, out positive ↓",
  ],
  rows: evaluation.ood.map((set) => [
    set.data,
    String(set.count),
    numberOf(set.auroc, set.intervals.auroc, 4),
    numberOf(set.auprInPositive, set.intervals.auprInPositive, 4),
    numberOf(set.auprOutPositive, set.intervals.auprOutPositive, 4),
    percentWithInterval(set.fprAt95InPositive, set.intervals.fprAt95InPositive),
    percentWithInterval(set.fprAt95OutPositive, set.intervals.fprAt95OutPositive),
  ]),
});

/** How much of each out-of-distribution set is rejected, by the decision rule and by the class-wise protocol. */
export function oodRejectionTable(evaluation: Evaluation): Table {
  const percentiles = evaluation.rejection.map(nameOfThresholds);
  return {
    caption: captionOf(
      "Rejected with thresholds at the percentile; AUROC of the decision rule over all percentiles. ↑ higher is better.",
      evaluation,
    ),
    columns: [
      "data set",
      ...percentiles.map((percentile) => `decision rule, percentile ${percentile} ↑`),
      ...percentiles.map((percentile) => `class-wise, percentile ${percentile} ↑`),
      "decision rule, AUROC ↑",
    ],
    rows: evaluation.ood.map((set) => [
      set.data,
      ...set.rejection.map((row) => percentWithInterval(row.decisionRejectionRate, row.intervals.decisionRejectionRate)),
      ...set.rejection.map((row) => percentWithInterval(row.perClassRejectionRate, row.intervals.perClassRejectionRate)),
      numberOf(set.decisionAuroc, set.intervals.decisionAuroc, 4),
    ]),
  };
}
