import type { ModelCard } from "../../classify/card.ts";
import type { RejectionRow } from "../evaluation.ts";
import type { Interval } from "../metrics/bootstrap.ts";
import type { EvaluationRecord } from "../record.ts";
import { type PaperModel, paperTable2, paperTable3 } from "./paper.ts";

/** A model of the paper's, and what ours says: none where it has not been trained. */
export interface MeasuredModel {
  readonly model: PaperModel;
  readonly measured?: { readonly card: ModelCard; readonly record: EvaluationRecord };
}

/** A figure of the paper's beside ours; null where there is none. */
export interface Cell {
  readonly paper: number | null;
  readonly ours: number | null;
  /** 95% confidence interval of ours; null where there is none. */
  readonly interval: readonly [number, number] | null;
}

/** What one model gave, or one attack on it. */
export interface TableRow {
  /** `PaperModel.id` */
  readonly model: string;
  readonly label: string;
  readonly cells: readonly Cell[];
  /** Of an attack that has been made: its title, and how many images there were. */
  readonly attacked?: { readonly attack: string; readonly images: number } | undefined;
}

export interface ReproducedTable {
  readonly id: string;
  readonly title: string;
  readonly columns: readonly { readonly name: string; readonly unit: "%" | "M" | "" }[];
  readonly rows: readonly TableRow[];
  readonly notes: readonly string[];
}

/** The percentiles of the paper's tables. */
export const tablePercentiles = [1, 2] as const;

/** A cell from what was measured, times `scale`: 100 for percent. */
export function cell(paper: number | null, ours: number | null | undefined, interval: Interval | null | undefined, scale = 100): Cell {
  return {
    paper,
    ours: ours === null || ours === undefined ? null : scale * ours,
    interval: interval ? [scale * interval.low, scale * interval.high] : null,
  };
}

export const titleOf = ({ data, head, depth }: PaperModel): string => `${head === "sdim" ? "SDIM" : "Disc"} ResNet${depth}, ${data}`;

/** Whether a model is in a table of the paper. */
export const isInTable = {
  table1: () => true,
  table2: ({ head }: PaperModel) => head === "sdim",
  table3: ({ head, data }: PaperModel) => head === "sdim" && data in paperTable3,
} as const;

/** Clean test accuracy and weights trained. */
export function table1(models: readonly MeasuredModel[]): ReproducedTable {
  return {
    id: "table1",
    title: "Table 1: classification accuracy on the clean test sets, and parameters",
    columns: [
      { name: "accuracy", unit: "%" },
      { name: "parameters", unit: "M" },
    ],
    rows: models.map(({ model, measured }) => ({
      model: model.id,
      label: titleOf(model),
      cells: [
        cell(model.paperAccuracy, measured?.record.evaluation.accuracy, measured?.record.evaluation.intervals.accuracy),
        cell(model.paperParameters, measured?.card.parameters, null, 1e-6),
      ],
    })),
    notes: [
      "Parameters of SDIM count the critic. The paper's numbers are those of the critic `dot` on `stage2`; ours is the one of its Table 8, `concat` on `stage4` (1.41 M), unless trained otherwise.",
      "The paper trained for 500 epochs; ours are one-cycle trainings of 6 to 30, of some models several one after the other, or the mean of such, with crops also where the paper had none (MNIST, FashionMNIST), and flips (FashionMNIST). Each model's card has its config.",
    ],
  };
}

/** By the paper's thresholds, where a model file has others as well; none where it has not these. */
const ofTrainingImages = <R extends Pick<RejectionRow, "percentile" | "source">>(rows: readonly R[], percentile: number): R | undefined =>
  rows.find((row) => row.percentile === percentile && (row.source === null || row.source === "training"));

/** Classification with rejection. */
export function table2(models: readonly MeasuredModel[]): ReproducedTable {
  return {
    id: "table2",
    title: "Table 2: accuracy with rejection, thresholds from the training set",
    columns: [
      { name: "accuracy, nothing rejected", unit: "%" },
      ...tablePercentiles.flatMap((percentile) => [
        { name: `accuracy on the accepted part, percentile ${percentile}`, unit: "%" as const },
        { name: `rejected, percentile ${percentile}`, unit: "%" as const },
      ]),
    ],
    rows: models
      .filter(({ model }) => isInTable.table2(model))
      .map(({ model, measured }) => {
        const paper = paperTable2[model.data]!;
        const evaluation = measured?.record.evaluation;
        const rowAt = (percentile: number) => evaluation && ofTrainingImages(evaluation.rejection, percentile);
        return {
          model: model.id,
          label: titleOf(model),
          cells: [
            cell(paper.original, evaluation?.accuracy, evaluation?.intervals.accuracy),
            ...tablePercentiles.flatMap((percentile, i) => {
              const row = rowAt(percentile);
              return [
                cell(paper.rows[i]![0], row?.selectiveAccuracy, row?.intervals.selectiveAccuracy),
                cell(paper.rows[i]![1], row?.rejectionRate, row?.intervals.rejectionRate),
              ];
            }),
          ],
        };
      }),
    notes: [],
  };
}

/** Out-of-distribution images refused: the paper's class-wise protocol, and beside it what a user meets. */
export function table3(models: readonly MeasuredModel[]): ReproducedTable {
  const rows = models.filter(({ model }) => isInTable.table3(model));
  return {
    id: "table3",
    title: "Table 3: out-of-distribution images refused",
    columns: [
      ...tablePercentiles.map((percentile) => ({ name: `class-wise protocol, percentile ${percentile}`, unit: "%" as const })),
      ...tablePercentiles.map((percentile) => ({ name: `decision rule, percentile ${percentile}`, unit: "%" as const })),
      { name: "in-distribution test images rejected, percentile 1", unit: "%" },
      { name: "AUROC of the decision rule", unit: "" },
      { name: "AUROC", unit: "" },
    ],
    rows: rows.map(({ model, measured }) => {
      const paper = paperTable3[model.data]!;
      const evaluation = measured?.record.evaluation;
      const set = evaluation?.ood[0];
      const rejection = evaluation && ofTrainingImages(evaluation.rejection, tablePercentiles[0]);
      const rowAt = (percentile: number) => set && ofTrainingImages(set.rejection, percentile);
      return {
        model: model.id,
        label: `${titleOf(model)} -> ${set?.data ?? model.ood}`,
        cells: [
          ...tablePercentiles.map((percentile, i) => {
            const row = rowAt(percentile);
            return cell(paper.sdim[i]!, row?.perClassRejectionRate, row?.intervals.perClassRejectionRate);
          }),
          ...tablePercentiles.map((percentile) => {
            const row = rowAt(percentile);
            return cell(null, row?.decisionRejectionRate, row?.intervals.decisionRejectionRate);
          }),
          cell(paperTable2[model.data]!.rows[0]![1], rejection?.rejectionRate, rejection?.intervals.rejectionRate),
          cell(null, set?.decisionAuroc, set?.intervals.decisionAuroc, 1),
          cell(null, set?.auroc, set?.intervals.auroc, 1),
        ],
      };
    }),
    notes: [
      "Class-wise protocol (the paper's): for each class c the share of the set with log p(z|c) below c's threshold, averaged over classes. Decision rule: the share whose winning class is below its threshold, which is what a user meets, and nearly always lower.",
      "AUROC of the decision rule: over all percentiles, a threshold per class. The last column's is of one threshold for all classes.",
      `Class-conditional Glow with 10th-percentile thresholds, as the paper quotes it: ${Object.entries(paperTable3)
        .map(([data, { glow }]) => `${data} ${glow}%`)
        .join(", ")}.`,
    ],
  };
}
