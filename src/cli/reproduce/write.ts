import { join } from "node:path";
import { writeFileAtomic } from "../../core/files.ts";
import { countNotes } from "../../evaluate/protocols/attack-tables.ts";
import { paperModels } from "../../evaluate/protocols/paper.ts";
import { sources, tableMarkdown } from "../../evaluate/protocols/render.ts";
import { withKeptRows } from "../../evaluate/protocols/table-file.ts";
import type { ReproducedTable } from "../../evaluate/protocols/tables.ts";
import type { EvaluationRecord } from "../../evaluate/record.ts";
import { note, printLine } from "../output.ts";
import type { Kept } from "./kept.ts";

/** On what a table was made, and of which model. */
export type Provenance = Pick<EvaluationRecord, "circumstances" | "modelFile">;

export const madeFrom = (records: readonly Provenance[]): Provenance[] =>
  records.map(({ circumstances, modelFile }) => ({ circumstances, modelFile }));

/** As Markdown and JSON in the results' folder, and on the terminal, with the rows of the table there that stay. Gives the whole table. */
export function writeTable(
  made: ReproducedTable,
  records: readonly Provenance[],
  kept: Kept,
  { out }: { readonly out: string },
): ReproducedTable {
  const sameColumns = JSON.stringify(kept.columns) === JSON.stringify(made.columns);
  if (kept.rows.length > 0 && !sameColumns) note(`${made.id}: leaves out the rows that were there, whose columns were others`);
  const { rows, sources: keptSources } = sameColumns ? kept : { rows: [], sources: [] };
  const whole = withKeptRows(
    made,
    rows,
    paperModels.map(({ id }) => id),
  );
  const table = { ...whole, notes: [...countNotes(whole.rows), ...whole.notes] };
  const from = [...keptSources, ...madeFrom(records)];
  writeResult(table.id, tableMarkdown(table, sources(from)), { ...table, madeFrom: from }, out);
  return table;
}

export function writeResult(id: string, markdown: string, document: object, out: string): void {
  writeFileAtomic(join(out, `${id}.md`), markdown);
  writeFileAtomic(join(out, `${id}.json`), `${JSON.stringify(document, null, 2)}\n`);
  printLine(markdown);
}
