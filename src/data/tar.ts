import { createReadStream } from "node:fs";
import { basename } from "node:path";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { extract, type Header } from "tar-stream";
import { messageOf, UserError } from "../core/errors.ts";
import { requireRegularFile } from "../core/files.ts";

/** Unpacked bytes of a whole archive; CIFAR-10's has 185 million. */
const largestArchive = 2 ** 28;
const mostEntries = 1000;

/**
 * Reads the files named `wanted` (in whatever folder of the archive) from a gzipped tar archive into memory; the rest streams past and nothing
 * is written. Errors: UserError for a damaged archive or no file at all, and for one that we would not want to unpack: links and devices, paths that lead out of
 * it, an entry twice, or more than 256 MiB.
 */
export async function readTarGz(path: string, wanted: readonly string[]): Promise<Map<string, Uint8Array>> {
  const found = new Map<string, Uint8Array>();
  const seen = new Set<string>();
  const entries = extract();
  entries.on("entry", (header, stream, next) => {
    // The archive's own error arrives here as well; the pipeline is who reports it.
    stream.on("error", () => {});
    const problem = problemOf(header, seen);
    if (problem !== undefined) return next(new UserError(`${path}: ${problem}: such an archive is not read`));
    seen.add(header.name);
    const name = basename(header.name);
    const isWanted = header.type === "file" && wanted.includes(name);
    if (isWanted && found.has(name)) return next(new UserError(`${path}: ${name} is there twice`));
    const chunks: Buffer[] = [];
    // The size in the header is a promise only: memory grows with what really came.
    stream.on("data", (chunk) => {
      if (isWanted) chunks.push(chunk as Buffer);
    });
    stream.on("end", () => {
      if (isWanted) found.set(name, Buffer.concat(chunks));
      next();
    });
  });
  try {
    requireRegularFile(path);
    await pipeline(createReadStream(path), createGunzip(), atMost(largestArchive, path), entries);
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`${path}: cannot be read as a gzipped tar archive: ${messageOf(error)}`, { cause: error });
  }
  return found;
}

function problemOf({ name, type, size = 0 }: Header, seen: ReadonlySet<string>): string | undefined {
  const shown = JSON.stringify(name.slice(0, 100));
  if (type !== "file" && type !== "directory") return `the entry ${shown} is a ${type}: expected files and folders only`;
  if (/^([/\\]|[A-Za-z]:)|\0/.test(name) || name.split(/[/\\]/).includes("..")) return `the entry ${shown} leads out of the archive`;
  if (seen.has(name)) return `the entry ${shown} is there twice`;
  if (size > largestArchive) return `the entry ${shown} announces ${size} bytes: expected at most ${largestArchive}`;
  return seen.size >= mostEntries ? `it has more than ${mostEntries} entries` : undefined;
}

/** Passes bytes on, and fails when they are too many: a small archive can unpack to terabytes. */
function atMost(limit: number, path: string): Transform {
  let total = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      total += chunk.length;
      if (total > limit) done(new UserError(`${path}: unpacks to more than ${limit} bytes: such an archive is not read`));
      else done(null, chunk);
    },
  });
}
