import type { ModelCard } from "../../classify/card.ts";
import type { Evaluation } from "../evaluation.ts";
import { type PaperModel, paperTable2, paperTable3 } from "./paper.ts";

/** A model of the paper's, and what ours says: none where it has not been trained. */
export interface MeasuredModel {
  readonly model: PaperModel;
  readonly measured?: { readonly card: ModelCard; readonly evaluation: Evaluation };
}

/** A figure of the paper's beside ours; null where there is none. */
export interface Cell {
  readonly paper: number | null;
  readonly ours: number | null;
  /** 95% confidence interval of ours. */
  readonly interval?: readonly [number, number];
}

export interface ReproducedTable {
  readonly id: string;
  readonly title: string;
  readonly columns: readonly { readonly name: string; readonly unit: "%" | "M" | "" }[];
  readonly rows: readonly { readonly label: string; readonly cells: readonly Cell[] }[];
  readonly notes: readonly string[];
}

/** The percentiles of the paper's tables. */
export const tablePercentiles = [1, 2] as const;

const percent = (fraction: number | null | undefined): number | null =>
  fraction === null || fraction === undefined ? null : 100 * fraction;
const titleOf = ({ data, head, depth }: PaperModel): string => `${head === "sdim" ? "SDIM" : "Disc"} ResNet${depth}, ${data}`;

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
      label: titleOf(model),
      cells: [
        { paper: model.paperAccuracy, ours: percent(measured?.evaluation.accuracy) },
        { paper: model.paperParameters, ours: measured ? measured.card.parameters / 1e6 : null },
      ],
    })),
    notes: [
      "Parameters of SDIM count the critic. The paper's numbers are those of the critic `dot` on `stage2`; ours is the one of its Table 8, `concat` on `stage4` (1.41 M), unless trained otherwise.",
      "The paper trained for 500 epochs; ours are one-cycle trainings of 10 to 40, with crops and flips also where the paper had none (MNIST, FashionMNIST). Each model's card has its config.",
    ],
  };
}

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
      .filter(({ model }) => model.head === "sdim")
      .map(({ model, measured }) => {
        const paper = paperTable2[model.data]!;
        const rowAt = (percentile: number) => measured?.evaluation.rejection.find((row) => row.percentile === percentile);
        return {
          label: titleOf(model),
          cells: [
            { paper: paper.original, ours: percent(measured?.evaluation.accuracy) },
            ...tablePercentiles.flatMap((percentile, i) => [
              { paper: paper.rows[i]![0], ours: percent(rowAt(percentile)?.selectiveAccuracy) },
              { paper: paper.rows[i]![1], ours: percent(rowAt(percentile)?.rejectionRate) },
            ]),
          ],
        };
      }),
    notes: [],
  };
}

/** Out-of-distribution images refused: the paper's class-wise protocol, and beside it what a user meets. */
export function table3(models: readonly MeasuredModel[]): ReproducedTable {
  const rows = models.filter(({ model }) => model.head === "sdim" && model.data in paperTable3);
  return {
    id: "table3",
    title: "Table 3: out-of-distribution images refused",
    columns: [
      ...tablePercentiles.map((percentile) => ({ name: `class-wise protocol, percentile ${percentile}`, unit: "%" as const })),
      ...tablePercentiles.map((percentile) => ({ name: `decision rule, percentile ${percentile}`, unit: "%" as const })),
      { name: "in-distribution test images rejected, percentile 1", unit: "%" },
      { name: "AUROC", unit: "" },
    ],
    rows: rows.map(({ model, measured }) => {
      const paper = paperTable3[model.data]!;
      const set = measured?.evaluation.ood[0];
      const rowAt = (percentile: number) => set?.rejection.find((row) => row.percentile === percentile);
      return {
        label: `${titleOf(model)} -> ${set?.data ?? model.ood}`,
        cells: [
          ...tablePercentiles.map((percentile, i) => ({ paper: paper.sdim[i]!, ours: percent(rowAt(percentile)?.perClassRejectionRate) })),
          ...tablePercentiles.map((percentile) => ({ paper: null, ours: percent(rowAt(percentile)?.decisionRejectionRate) })),
          { paper: paperTable2[model.data]!.rows[0]![1], ours: percent(measured?.evaluation.rejection[0]?.rejectionRate) },
          { paper: null, ours: set?.auroc ?? null },
        ],
      };
    }),
    notes: [
      "Class-wise protocol (the paper's): for each class c the share of the set with log p(z|c) below c's threshold, averaged over classes. Decision rule: the share whose winning class is below its threshold, which is what a user meets and always lower.",
      `Class-conditional Glow with 10th-percentile thresholds, as the paper quotes it: ${Object.entries(paperTable3)
        .map(([data, { glow }]) => `${data} ${glow}%`)
        .join(", ")}.`,
    ],
  };
}
