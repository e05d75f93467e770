import { existsSync } from "node:fs";
import { dirname, isAbsolute, join, relative, sep } from "node:path";
import { type Info, parse } from "csv-parse/sync";
import { messageOf, UserError } from "../core/errors.ts";
import { readFileAtMost } from "../core/files.ts";
import { oneOf } from "../core/names.ts";
import type { Split } from "./image-set.ts";
import { classesOf, type ListedFile, type Listing, splitOf, splits, unlabelled, withoutEmptyClasses } from "./listing.ts";

const columns = 'Expected a header with the columns "file" and "label", and "split" if you like';

/** About a million lines. */
const largestFile = 64 * 2 ** 20;

/** Whether a path is taken for a CSV: by its ending. */
export const isCsv = (path: string): boolean => path.toLowerCase().endsWith(".csv");

/** One line of a labels CSV. */
export interface CsvRow {
  /** Of the file, from 1. */
  readonly line: number;
  readonly file: string;
  readonly label: string;
  readonly split?: Split;
}

/**
 * Parses a labels CSV (RFC 4180, or with semicolons or tabs for commas; UTF-8 with or without a byte order mark): a header, then a line per image; columns other than `file`,
 * `label` and `split` are passed over. Without `isLabelled`, `label` is too.
 * Errors: UserError that names `source` and the line.
 */
export function parseLabels(text: string | Uint8Array, source: string, isLabelled = true): CsvRow[] {
  const [header, ...lines] = parsed(text, source);
  const names = (header?.record ?? []).map((name) => name.trim().toLowerCase());
  const column = (name: string): number => {
    const at = names.indexOf(name);
    if (names.indexOf(name, at + 1) > at && at >= 0) throw new UserError(`${source}: two columns are called "${name}". ${columns}`);
    return at;
  };
  const [file, label, split] = [column("file"), column("label"), column("split")];
  if (file < 0 || (isLabelled && label < 0)) throw new UserError(`${source}: found the columns ${names.join(", ") || "none"}. ${columns}`);
  return lines.map(({ record, line }) => {
    const cell = (at: number, name: string): string => {
      const text = record[at]!.trim();
      if (text === "") throw new UserError(`${source}, line ${line}: "${name}" is empty`);
      return text;
    };
    const row = { line, file: cell(file, "file"), label: isLabelled ? cell(label, "label").normalize("NFC") : unlabelled };
    if (split < 0) return row;
    const said = cell(split, "split");
    return { ...row, split: splitOf(said) ?? oneOf(`split in ${source}, line ${line}:`, said, splits) };
  });
}

const utf16Mark = 0xfeff;

/** UTF-8 or, with its byte order mark, UTF-16, which the parser knows itself. Other encodings would run different labels together. */
function asText(bytes: Uint8Array): string | Buffer {
  const isUtf16 = bytes.length > 1 && [bytes[0]! | (bytes[1]! << 8), (bytes[0]! << 8) | bytes[1]!].includes(utf16Mark);
  if (isUtf16) return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw new UserError("it is not UTF-8; save it as that", { cause: error });
  }
}

const delimiters = [",", ";", "\t"] as const;

/** What stands between the columns: a comma, or a semicolon or tab where the header has no comma. `start`: of a CSV, with its first line. */
export function delimiterOf(start: string | Buffer): string {
  const text = typeof start === "string" ? start : start.toString("latin1");
  const [header = ""] = text.trimStart().split(/[\r\n]/, 1);
  return delimiters.find((one) => header.includes(one)) ?? ",";
}

function parsed(text: string | Uint8Array, source: string): { readonly record: readonly string[]; readonly line: number }[] {
  try {
    const input = typeof text === "string" ? text : asText(text);
    // The library's types do not know what `info` makes of a row.
    const rows = parse(input, { bom: true, delimiter: delimiterOf(input), info: true, skip_empty_lines: true }) as unknown as {
      record: string[];
      info: Info;
    }[];
    return rows.map(({ record, info }) => ({ record, line: info.lines }));
  } catch (error) {
    throw new UserError(`${source}: cannot be read as CSV: ${messageOf(error)}`, { cause: error });
  }
}

/**
 * Lists the images of a labels CSV; relative paths are relative to its folder. Without `isLabelled` all images of its test split, or of
 * the whole file, count as one class.
 * Errors: UserError for a file that is no such CSV, a relative path that leaves its folder, a file named twice, or fewer than two classes.
 */
export function listCsv(path: string, isLabelled = true): Listing {
  const rows = parseLabels(readFileAtMost(path, largestFile), path, isLabelled);
  if (rows.length === 0) throw new UserError(`${path}: no images: a header and nothing after it`);
  const classNames = isLabelled
    ? classesOf(
        rows.map(({ label }) => label),
        path,
        "An SDIM classifier tells classes apart",
      )
    : [unlabelled];
  const labels = new Map(classNames.map((name, label) => [name, label]));
  const lineOf = new Map<string, number>();
  const files = rows.map(({ line, file, label, split }): ListedFile => {
    const full = resolveInside(dirname(path), file, `${path}, line ${line}`);
    const before = lineOf.get(full);
    if (before !== undefined) throw new UserError(`${path}, line ${line}: ${file} was named in line ${before} already`);
    lineOf.set(full, line);
    const name = isAbsolute(file) ? file : relative(dirname(path), full).split(sep).join("/");
    const listed = { path: full, name, label: labels.get(label)! };
    return split === undefined ? listed : { ...listed, split };
  });
  const drawsSplits = files[0]!.split !== undefined;
  const tests = files.filter(({ split }) => split === "test");
  if (!isLabelled) return { source: path, classNames, files: tests.length > 0 ? tests : files, drawsSplits: false, ignored: {} };
  return withoutEmptyClasses({ source: path, classNames, files, drawsSplits, ignored: {} });
}

/**
 * The file that a CSV in `folder` names, with the separators of Windows or this system's. Someone else's CSV must not make us read what lies outside its
 * folder, unless a path says openly where it leads. Errors: UserError, which begins with `where`.
 */
export function resolveInside(folder: string, named: string, where: string): string {
  if (named.includes("\0")) throw new UserError(`${where}: a path with a zero byte`);
  // On other systems a name may hold a backslash.
  const file = named.includes("\\") && !existsSync(join(folder, named)) ? named.replaceAll("\\", "/") : named;
  if (isAbsolute(file)) return join(file);
  const full = join(folder, file);
  const within = relative(folder, full);
  if (within === ".." || within.startsWith(`..${sep}`) || within === "") {
    throw new UserError(`${where}: ${file} leads out of ${folder}: move the images there, or write an absolute path`);
  }
  return full;
}
