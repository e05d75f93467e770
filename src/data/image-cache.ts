import { createHash } from "node:crypto";
import { readdirSync, readFileSync, rmSync, utimesSync } from "node:fs";
import { homedir } from "node:os";
import { basename, join, resolve } from "node:path";
import { z } from "zod";
import { messageOf, UserError } from "../core/errors.ts";
import { statIfPossible, writeFileAtomic } from "../core/files.ts";
import { decodeSafetensors, encodeSafetensors } from "../core/safetensors.ts";
import { type ImageOrigin, type ImageSet, type ImageSetParts, imageSet } from "./image-set.ts";
import type { ListedFile } from "./listing.ts";

/** Raise it when the same files come out as other pixels: entries of before are not found any more. */
const cacheVersion = 2;

/** Bytes above which the entries that were used longest ago are removed. */
const defaultCapacity = 4e9;

export const defaultCacheDir = (): string => join(homedir(), ".cache", "sdim", "images");

/**
 * The state of files on disk, as SHA-256 of where they are, their names, classes, sizes and times of change: of content, and of anything (moving a file
 * in the place of another changes that alone, and so does making it readable).
 */
export function stampOf(source: string, files: readonly ListedFile[]): string {
  const hash = createHash("sha256").update(`${resolve(source)}\n`);
  for (const { path, name, label } of files) {
    const stat = statIfPossible(path);
    hash.update(JSON.stringify([name, label, stat ? [stat.size, stat.mtimeMs, stat.ctimeMs] : null]));
  }
  return hash.digest("hex");
}

/** Everything that the kept thing depends on. */
export type CacheKey = Readonly<Record<string, string | number>>;

type OwnImageSet = ImageSet & { readonly origin: ImageOrigin };
/** What is known of a set before its files are read. */
export type KnownParts = Omit<ImageSetParts, "pixels" | "labels" | "origin"> & { readonly origin: ImageOrigin };

const skippedSchema = z.array(z.strictObject({ file: z.string(), reason: z.string() }));

/**
 * Keeps images that were read, one safetensors file each set (Python reads them as well). Entries are replaced atomically and checked when
 * they are read: a damaged one counts as none. The folder may be removed at any time; of its entries those used longest ago are removed
 * when they are more than `capacity` bytes. `folder` null: nothing is kept.
 */
export class ImageCache {
  private readonly folder: string | null;
  private readonly capacity: number;

  constructor(folder: string | null, capacity = defaultCapacity) {
    this.folder = folder;
    this.capacity = capacity;
  }

  read(key: CacheKey, known: KnownParts): ImageSet | undefined {
    const path = this.pathOf(key);
    const bytes = path === undefined ? undefined : contentOf(path);
    if (path === undefined || bytes === undefined) return undefined;
    try {
      const { tensors, metadata } = decodeSafetensors(bytes, path);
      const [pixels, labels] = [tensors.get("pixels"), tensors.get("labels")];
      if (pixels?.dtype !== "U8" || labels?.dtype !== "I32") return undefined;
      const skipped = skippedSchema.parse(JSON.parse(metadata["skipped"]!));
      const set = imageSet({ ...known, pixels: pixels.data, labels: labels.data, origin: { ...known.origin, skipped } });
      if (set.fingerprint !== metadata["fingerprint"]) return undefined;
      markUsed(path);
      return set;
    } catch (error) {
      // A damaged entry: the images are read again, and put in its place.
      if (error instanceof UserError || error instanceof SyntaxError || error instanceof z.ZodError) return undefined;
      throw error;
    }
  }

  /** Returns the set, with the reason if it could not be kept. */
  write(key: CacheKey, set: OwnImageSet): ImageSet {
    const { count, height, width, channels, pixels, labels, fingerprint, origin } = set;
    const tensors = new Map([
      ["pixels", { dtype: "U8" as const, shape: [count, height, width, channels], data: pixels }],
      ["labels", { dtype: "I32" as const, shape: [count], data: labels }],
    ] as const);
    const problem = this.put(key, encodeSafetensors(tensors, { fingerprint, skipped: JSON.stringify(origin.skipped) }));
    return problem === undefined ? set : { ...set, origin: { ...origin, cacheProblem: problem } };
  }

  /** Keeps a short text. That it could not be kept shows when the images are, in the same folder. */
  writeNote(key: CacheKey, text: string): void {
    this.put(key, text);
  }

  readNote(key: CacheKey): string | undefined {
    const path = this.pathOf(key);
    return path === undefined ? undefined : contentOf(path)?.toString();
  }

  private put(key: CacheKey, content: string | Uint8Array): string | undefined {
    const path = this.pathOf(key);
    try {
      if (path === undefined || this.folder === null) return undefined;
      writeFileAtomic(path, content);
      prune(this.folder, this.capacity, path);
      return undefined;
    } catch (error) {
      return messageOf(error);
    }
  }

  private pathOf(key: CacheKey): string | undefined {
    const name = createHash("sha256")
      .update(JSON.stringify({ ...key, cacheVersion }))
      .digest("hex");
    return this.folder === null ? undefined : join(this.folder, `${name}.safetensors`);
  }
}

/** Another process may have removed the entry meanwhile, or the folder be read-only: then its age is not what matters. */
function markUsed(path: string): void {
  try {
    const now = new Date();
    utimesSync(path, now, now);
  } catch {}
}

/** A folder that a caller names may hold files of others. */
const entryName = /^[0-9a-f]{64}\.safetensors$/;
const unfinishedName = /^\.[0-9a-f]{64}\.safetensors\..*\.part$/;

/** Writing an entry takes seconds: what is unfinished for longer is of a process that was killed. */
const longestWriteMs = 3_600_000;

/** Removes the entries used longest ago until the rest fits, and what was left unfinished; `newest` always stays. */
function prune(folder: string, capacity: number, newest: string): void {
  const there = readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    const stat = statIfPossible(path);
    return stat ? [{ path, bytes: stat.size, usedAt: path === newest ? Number.POSITIVE_INFINITY : stat.mtimeMs }] : [];
  });
  for (const { path, usedAt } of there)
    if (unfinishedName.test(basename(path)) && Date.now() - usedAt > longestWriteMs) rmSync(path, { force: true });
  const entries = there.filter(({ path }) => entryName.test(basename(path))).sort((a, b) => b.usedAt - a.usedAt);
  let kept = 0;
  for (const { path, bytes } of entries) {
    kept += bytes;
    if (kept > capacity && path !== newest) rmSync(path, { force: true });
  }
}

function contentOf(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch {
    // Not there, or not for us to read: either way there is nothing to use.
    return undefined;
  }
}
