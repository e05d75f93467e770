import { z } from "zod";
import { readJsonFile } from "../json-file.ts";
import { circumstancesSchema } from "../record-schema.ts";
import type { ReproducedTable, TableRow } from "./tables.ts";

// Tables as `sdim reproduce` keeps them, to make a part of one anew and keep the rest.

const cellSchema = z.object({
  paper: z.number().nullable(),
  ours: z.number().nullable(),
  interval: z.tuple([z.number(), z.number()]).nullable(),
});

/** Of where numbers come from what a table says; the rest is handed on as it is. */
const sourceSchema = z.object({
  circumstances: circumstancesSchema.loose(),
  modelFile: z.looseObject({ path: z.string(), sha256: z.string() }),
});

const tableSchema = z.object({
  columns: z.array(z.object({ name: z.string(), unit: z.string() })),
  rows: z.array(
    z.object({
      model: z.string(),
      label: z.string(),
      cells: z.array(cellSchema),
      attacked: z.object({ attack: z.string(), images: z.int() }).optional(),
    }) satisfies z.ZodType<TableRow>,
  ),
  madeFrom: z.array(sourceSchema),
});

export type TableFile = z.infer<typeof tableSchema>;
/** On what numbers of a table were made, and of which model file. */
export type Source = TableFile["madeFrom"][number];

/** Errors: UserError with the file and what is wrong in it. */
export const readTableFile = (path: string): TableFile => readJsonFile(path, tableSchema, "sdim reproduce");

/** A table with rows that were there before among its own, by models in the order of `ids`. */
export function withKeptRows(table: ReproducedTable, kept: readonly TableRow[], ids: readonly string[]): ReproducedTable {
  const place = ({ model }: TableRow) => ids.indexOf(model);
  return { ...table, rows: [...kept, ...table.rows].sort((a, b) => place(a) - place(b)) };
}
