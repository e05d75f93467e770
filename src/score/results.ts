import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { extname } from "node:path";
import { finished } from "node:stream/promises";
import { fileWriter, ParquetWriter } from "hyparquet-writer";
import { UserError } from "../core/errors.ts";
import { replaceAtomic } from "../core/files.ts";
import { isVerdict, type Row } from "./rows.ts";

const resultFormats = ["csv", "jsonl", "parquet"] as const;
export type ResultFormat = (typeof resultFormats)[number];

/** By the file's ending. Errors: UserError for another one. */
export function resultFormatOf(path: string): ResultFormat {
  const ending = extname(path).toLowerCase();
  const found = resultFormats.find((format) => ending === `.${format}`);
  if (found) return found;
  throw new UserError(`--out ${path}: expected a file that ends in .csv, .jsonl or .parquet`);
}

/** Writes all rows; `path` appears when they are complete. Memory: one row, or one row group of a Parquet file. */
export const writeResults = (path: string, rows: AsyncIterable<Row>, classNames: readonly string[], withClasses: boolean): Promise<void> =>
  replaceAtomic(path, (temporary) => writers[resultFormatOf(path)](temporary, rows, withClasses ? classNames : []));

type Write = (path: string, rows: AsyncIterable<Row>, classNames: readonly string[]) => Promise<void>;

const writers: Readonly<Record<ResultFormat, Write>> = {
  csv: (path, rows, classNames) =>
    writeText(path, rows, (row) => csvLine(cellsOf(row, classNames.length)), csvLine([...columnsOf(classNames).map(({ name }) => name)])),
  jsonl: (path, rows) => writeText(path, rows, (row) => `${JSON.stringify(row)}\n`),
  parquet: writeParquet,
};

type Cell = string | number | boolean | null;

interface Column {
  readonly name: string;
  readonly type: "STRING" | "BOOLEAN" | "DOUBLE";
}

const columnsOf = (classNames: readonly string[]): Column[] => [
  { name: "file", type: "STRING" },
  { name: "label", type: "STRING" },
  { name: "accepted", type: "BOOLEAN" },
  { name: "logLikelihood", type: "DOUBLE" },
  { name: "threshold", type: "DOUBLE" },
  ...classNames.map((name): Column => ({ name: `logLikelihood:${name}`, type: "DOUBLE" })),
  { name: "error", type: "STRING" },
];

function cellsOf(row: Row, classes: number): Cell[] {
  if (!isVerdict(row)) return [row.file, ...new Array<null>(4 + classes).fill(null), row.error];
  const { file, label, accepted, logLikelihood, threshold, classLogLikelihoods = [] } = row;
  return [file, label, accepted, logLikelihood, threshold, ...classLogLikelihoods, null];
}

/** RFC 4180; what is not there is empty. */
export const csvLine = (cells: readonly Cell[]): string =>
  `${cells
    .map((cell) => {
      const text = cell === null ? "" : String(cell);
      return /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    })
    .join(",")}\n`;

async function writeText(path: string, rows: AsyncIterable<Row>, lineOf: (row: Row) => string, header = ""): Promise<void> {
  const stream = createWriteStream(path);
  const done = finished(stream);
  // Its error is seen below, wherever it comes.
  done.catch(() => undefined);
  stream.write(header);
  for await (const row of rows) {
    if (!stream.write(lineOf(row))) await Promise.race([once(stream, "drain"), done]);
  }
  stream.end();
  await done;
}

/** Rows per row group: some megabytes. */
const rowGroup = 50_000;

async function writeParquet(path: string, rows: AsyncIterable<Row>, classNames: readonly string[]): Promise<void> {
  const columns = columnsOf(classNames);
  const physical = { STRING: "BYTE_ARRAY", BOOLEAN: "BOOLEAN", DOUBLE: "DOUBLE" } as const;
  const writer = new ParquetWriter({
    writer: fileWriter(path),
    createdBy: "sdim",
    schema: [
      { name: "root", num_children: columns.length },
      ...columns.map(({ name, type }) => ({
        name,
        type: physical[type],
        repetition_type: name === "file" ? ("REQUIRED" as const) : ("OPTIONAL" as const),
        ...(type === "STRING" ? { converted_type: "UTF8" as const } : {}),
      })),
    ],
  });
  let cells: Cell[][] = columns.map(() => []);
  const flush = () => {
    if (cells[0]!.length > 0)
      writer.write({ columnData: columns.map(({ name }, c) => ({ name, data: cells[c]! })), rowGroupSize: rowGroup });
    cells = columns.map(() => []);
  };
  for await (const row of rows) {
    for (const [c, cell] of cellsOf(row, classNames.length).entries()) cells[c]!.push(cell);
    if (cells[0]!.length >= rowGroup) flush();
  }
  flush();
  writer.finish();
}
