import { markdownTable } from "../../core/tables.ts";
import type { EvaluationRecord } from "../record.ts";
import type { Cell, ReproducedTable } from "./tables.ts";

const shown = (value: number | null, unit: string): string => (value === null ? "-" : unit === "" ? value.toFixed(4) : value.toFixed(2));

function cellText({ paper, ours, interval }: Cell, unit: string, hasPaper: boolean): string {
  const range = interval ? ` (${interval.map((end) => shown(end, unit)).join(" to ")})` : "";
  return `${hasPaper ? `${shown(paper, unit)} / ` : ""}**${shown(ours, unit)}**${range}`;
}

/** The table as Markdown: in each cell the paper's number, where the table has any, then ours with its 95% confidence interval. */
export function tableMarkdown({ title, columns, rows, notes }: ReproducedTable, circumstances: readonly string[]): string {
  const hasPaper = rows.some(({ cells }) => cells.some(({ paper }) => paper !== null));
  return [
    `# ${title}`,
    "",
    `${hasPaper ? "Paper / **ours**" : "**Ours**"} (95% confidence interval); a dash where there is no number.`,
    "",
    ...markdownTable(
      ["", ...columns.map(({ name, unit }) => (unit === "" ? name : `${name}, ${unit}`))],
      rows.map(({ label, cells }) => [label, ...cells.map((cell, i) => cellText(cell, columns[i]!.unit, hasPaper))]),
    ),
    "",
    ...notes.map((note) => `- ${note}`),
    ...circumstances.map((text) => `- ${text}`),
    "",
  ].join("\n");
}

/** What a table says of where its numbers come from. */
interface SourceInWords {
  readonly circumstances: Pick<EvaluationRecord["circumstances"], "command" | "at" | "sdim" | "node" | "onnxruntime" | "machine" | "cores">;
  readonly modelFile: Pick<EvaluationRecord["modelFile"], "path" | "sha256">;
}

/** Where a table's numbers come from, a line per model. */
export const sources = (records: readonly SourceInWords[]): string[] =>
  records.map(({ circumstances: at, modelFile }) => {
    const versions = `sdim ${at.sdim}, node ${at.node}, ONNX Runtime ${at.onnxruntime}`;
    return `${modelFile.path} (SHA-256 ${modelFile.sha256.slice(0, 16)}), measured ${at.at.slice(0, 16).replace("T", " ")} UTC by \`${at.command}\` with ${versions}, on ${at.machine}, ${at.cores} cores`;
  });
