import type { Evaluation } from "./evaluation.ts";

/** One line of the summary: what was measured, and a value per percentile or one for all. */
export interface SummaryRow {
  readonly what: string;
  readonly values: readonly string[];
}

export const percent = (fraction: number | null): string => (fraction === null ? "-" : `${(100 * fraction).toFixed(2)}%`);

/** The rows of the one summary table, for the terminal and the report; `values` has an entry per percentile, or a single one. */
export function summaryRows({ data, count, accuracy, rejection, ood }: Evaluation): SummaryRow[] {
  return [
    { what: `accuracy on ${count.toLocaleString("en")} ${data} images`, values: [percent(accuracy)] },
    { what: `${data} images rejected`, values: rejection.map(({ rejectionRate }) => percent(rejectionRate)) },
    { what: "accuracy on the accepted part", values: rejection.map((row) => percent(row.selectiveAccuracy)) },
    ...ood.flatMap((set) => [
      {
        what: `${set.data} rejected (decision rule)`,
        values: set.rejection.map(({ decisionRejectionRate }) => `${Math.round(decisionRejectionRate * set.count)} of ${set.count}`),
      },
      {
        what: `${set.data} rejected (class-wise protocol)`,
        values: set.rejection.map(({ perClassRejectionRate }) => percent(perClassRejectionRate)),
      },
      { what: `AUROC, ${data} against ${set.data}`, values: [set.auroc.toFixed(4)] },
    ]),
  ];
}

/** The summary as aligned plain text. */
export function renderTable(evaluation: Evaluation): string {
  const header: SummaryRow = { what: "thresholds at percentile", values: evaluation.rejection.map(({ percentile }) => String(percentile)) };
  const rows = [header, ...summaryRows(evaluation)];
  const label = Math.max(...rows.map(({ what }) => what.length));
  const cell = Math.max(...rows.flatMap(({ values }) => values.map((value) => value.length)));
  const lines = rows.map(({ what, values }) => `${what.padEnd(label)}  ${values.map((value) => value.padStart(cell)).join("  ")}`);
  const rule = "-".repeat(Math.max(...lines.map((line) => line.length)));
  return [lines[0]!, rule, ...lines.slice(1)].join("\n");
}
