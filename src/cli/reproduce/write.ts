import { join } from "node:path";
import { writeFileAtomic } from "../../core/files.ts";
import { sources, tableMarkdown } from "../../evaluate/protocols/render.ts";
import type { ReproducedTable } from "../../evaluate/protocols/tables.ts";
import type { EvaluationRecord } from "../../evaluate/record.ts";
import { printLine } from "../output.ts";

/** On what a table was made, and of which model. */
export type Provenance = Pick<EvaluationRecord, "circumstances" | "modelFile">;

export const madeFrom = (records: readonly Provenance[]): Provenance[] =>
  records.map(({ circumstances, modelFile }) => ({ circumstances, modelFile }));

/** As Markdown and JSON in the results' folder, and on the terminal. */
export function writeTable(table: ReproducedTable, records: readonly Provenance[], { out }: { readonly out: string }): void {
  writeResult(table.id, tableMarkdown(table, sources(records)), { ...table, madeFrom: madeFrom(records) }, out);
}

export function writeResult(id: string, markdown: string, document: object, out: string): void {
  writeFileAtomic(join(out, `${id}.md`), markdown);
  writeFileAtomic(join(out, `${id}.json`), `${JSON.stringify(document, null, 2)}\n`);
  printLine(markdown);
}
