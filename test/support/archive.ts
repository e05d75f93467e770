import { createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { type Header, pack } from "tar-stream";

export interface ArchiveEntry extends Pick<Header, "name"> {
  readonly type?: Header["type"];
  readonly linkname?: string;
  readonly content?: Uint8Array;
}

/** Writes a gzipped tar archive. */
export async function writeArchive(path: string, entries: readonly ArchiveEntry[]): Promise<void> {
  const archive = pack();
  const written = pipeline(archive, createGzip({ level: 1 }), createWriteStream(path));
  for (const { content, ...header } of entries) archive.entry(header, content ?? "");
  archive.finalize();
  await written;
}
