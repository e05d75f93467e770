import { once } from "node:events";
import { createReadStream, type Dirent, statSync } from "node:fs";
import { readdir, realpath, stat } from "node:fs/promises";
import { dirname, extname, join } from "node:path";
import { addAbortSignal, type Readable } from "node:stream";
import { parse } from "csv-parse";
import { messageOf, UserError } from "../core/errors.ts";
import { delimiterOf, isCsv, resolveInside } from "../data/csv.ts";
import { isImageName } from "../data/folder.ts";

/** One file to be scored. */
export interface InputFile {
  /** Where it is; what the results call it. */
  readonly path: string;
  /** Its name within the folder, list or CSV: what decides its shard. */
  readonly name: string;
}

/** Longest line of a list or record of a CSV, in characters: longer ones are no paths. */
const longestLine = 65_536;

/**
 * The files of a folder (all images in it and in its folders, in the order of their names), of a text list (a path per line, relative to
 * where we run; `-`: standard input) or of a CSV with a `file` column (relative to its folder). Found while they are asked for: of a
 * folder, the names of one directory at a time are in memory; of a list, one line. `onIgnored`: files of a folder that are not images.
 * `signal`: when it is aborted, a list ends there, though its next line may not have come yet.
 * Errors: UserError, some of them only when that place is reached.
 */
export function inputFiles(
  source: string,
  onIgnored: (kind: string) => void,
  signal: AbortSignal,
  stdin: Readable = process.stdin,
): AsyncGenerator<InputFile> {
  if (source === "-") return listed(stdin, "standard input", signal);
  const found = statSync(source, { throwIfNoEntry: false });
  if (!found) throw new UserError(`${source}: expected a folder of images, a list of files, a CSV or -; there is no such thing`);
  if (found.isDirectory()) return imagesUnder(source, "", [], new Map(), onIgnored);
  if (isImageName(source)) throw new UserError(`${source}: expected a folder, a list or a CSV, got a picture: sdim predict takes these`);
  return isCsv(source) ? filesOfCsv(source) : listed(createReadStream(source), source, signal);
}

const byName = (a: Dirent, b: Dirent): number => (a.name < b.name ? -1 : 1);

/**
 * `above`: the real paths of the folders that led here; `visited`: of all so far, with the names they were found by. Links to a folder that was visited could go on
 * without end, two in each folder as 2^depth.
 */
async function* imagesUnder(
  folder: string,
  prefix: string,
  above: readonly string[],
  visited: Map<string, string>,
  onIgnored: (kind: string) => void,
): AsyncGenerator<InputFile> {
  const { real, entries } = await contentsOf(folder);
  if (above.includes(real)) throw new UserError(`${folder}: a link to a folder that holds it`);
  const before = visited.get(real);
  if (before !== undefined)
    throw new UserError(`${folder}: the same folder as ${before}: its images would be scored twice; remove the link`);
  visited.set(real, folder);
  for (const entry of entries.sort(byName)) {
    const { name } = entry;
    const path = join(folder, name);
    // A link that leads nowhere and is named like an image is one that cannot be read.
    const target = entry.isSymbolicLink() ? await stat(path).catch(() => undefined) : entry;
    if (name.startsWith(".")) onIgnored("hidden");
    else if (target?.isDirectory()) yield* imagesUnder(path, `${prefix}${name}/`, [...above, real], visited, onIgnored);
    else if ((target?.isFile() ?? true) && isImageName(name)) yield { path, name: prefix + name };
    else onIgnored(extname(name).toLowerCase() || "no ending");
  }
}

async function contentsOf(folder: string): Promise<{ readonly real: string; readonly entries: Dirent[] }> {
  try {
    return { real: await realpath(folder), entries: await readdir(folder, { withFileTypes: true }) };
  } catch (error) {
    throw new UserError(`cannot read the folder ${folder}: ${messageOf(error)}`, { cause: error });
  }
}

async function* listed(stream: Readable, source: string, signal: AbortSignal): AsyncGenerator<InputFile> {
  addAbortSignal(signal, stream);
  try {
    for await (const line of linesOf(stream, source)) {
      if (line.trim() !== "") yield { path: line, name: line };
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

/** Lines of UTF-8 text, their ends (\n or \r\n; `raw`: \n, and the last piece is given even if it is empty) taken off. Errors: UserError for a line that is too long to be one, or a stream that fails. */
export async function* linesOf(
  stream: Readable,
  source: string,
  { raw = false, longest = longestLine }: { readonly raw?: boolean; readonly longest?: number } = {},
): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let [rest, number] = ["", 0];
  const cut = (line: string) => (!raw && line.endsWith("\r") ? line.slice(0, -1) : line);
  try {
    for await (const chunk of stream) {
      const lines = (rest + decoder.decode(chunk as Uint8Array, { stream: true })).split("\n");
      rest = lines.pop()!;
      for (const line of lines) {
        number++;
        yield cut(line);
      }
      if (rest.length > longest) throw new UserError(`${source}, line ${number + 1}: longer than ${longest} characters`);
    }
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`cannot read ${source}: ${messageOf(error)}`, { cause: error });
  }
  rest += decoder.decode();
  if (raw || rest !== "") yield cut(rest);
}

/** The first bytes of a stream, which stay in it. */
async function startOf(input: Readable): Promise<Buffer> {
  await once(input, "readable");
  const start = input.read() as Buffer | null;
  if (start !== null) input.unshift(start);
  return start ?? Buffer.alloc(0);
}

async function* filesOfCsv(source: string): AsyncGenerator<InputFile> {
  const header = (names: string[]) => {
    const known = names.map((name) => name.trim().toLowerCase());
    if (known.filter((name) => name === "file").length === 1) return known;
    throw new UserError(`${source}: found the columns ${known.join(", ") || "none"}. Expected a header with one column "file"`);
  };
  const input = createReadStream(source);
  try {
    const delimiter = delimiterOf(await startOf(input));
    const parser = parse({ bom: true, delimiter, columns: header, info: true, skip_empty_lines: true, max_record_size: longestLine });
    input.on("error", (error) => parser.destroy(error));
    input.pipe(parser);
    // The library's types do not know what `columns` and `info` make of a row.
    for await (const row of parser as AsyncIterable<{ record: { file: string }; info: { lines: number } }>) {
      const file = row.record.file.trim();
      if (file === "") throw new UserError(`${source}, line ${row.info.lines}: "file" is empty`);
      yield { path: resolveInside(dirname(source), file, `${source}, line ${row.info.lines}`), name: file };
    }
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`${source}: cannot be read as CSV: ${messageOf(error)}`, { cause: error });
  } finally {
    input.destroy();
  }
}
