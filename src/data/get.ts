import { existsSync } from "node:fs";
import { copyFile, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { messageOf, UserError } from "../core/errors.ts";
import { makeFolder, requireOrdinary } from "../core/files.ts";
import { takeLock } from "../core/lock.ts";
import { oneOf } from "../core/names.ts";
import { type DownloadOptions, download } from "./download.ts";
import { layouts } from "./formats.ts";
import { cacheFolder, describeFiles, isComplete, type Located, locate, readFile } from "./locate.ts";
import { type DatasetName, datasetNames, filesOf, type Published, published, type Source } from "./published.ts";
import { checkedFile, readAll } from "./registry.ts";

export interface GetOptions {
  /** Where the files are put; ~/.cache/sdim/<name> unless given. */
  readonly to?: string;
  /** A folder or archive the files are copied from, in place of a download. */
  readonly from?: string;
  /** A mirror, in place of the official address. */
  readonly baseUrl?: string;
  readonly onProgress?: (file: string, received: number, total: number | undefined) => void;
  /** How the network is treated. */
  readonly network?: Omit<DownloadOptions, "onProgress">;
}

export interface GotFile {
  readonly path: string;
  readonly state: "downloaded" | "copied" | "present";
}

/** A file to get: one of the set's, or an archive of them. */
interface Item {
  readonly files: readonly string[];
  readonly isArchive: boolean;
  /** Its name in the target folder. */
  readonly target: string;
  /** Its address or path. */
  readonly origin: string;
}

/**
 * Gets a published data set into a folder, where `loadDataset` finds it: by download, or from files one has. Each file is checked by its
 * SHA-256 before it takes its name. Files that are there and right are left alone.
 * Errors: UserError for a set that is not downloaded, an unreachable or wrong file (which is removed), one in the folder that is not the
 * published one, a full disk. A download that broke is gone on with the next time.
 */
export async function getDataset(name: string, options: GetOptions = {}): Promise<GotFile[]> {
  const set: Published = published[oneOf("data set to get", name, gettable)];
  const folder = options.to ?? cacheFolder(name);
  const items = options.from === undefined ? itemsOfSource(set, set.source!, options.baseUrl) : itemsOfPlace(set, options.from);
  const got: GotFile[] = [];
  for (const item of items) {
    const present = await presentFiles(folder, set, item.files);
    if (present !== undefined) got.push(...present.map((path) => ({ path, state: "present" as const })));
    else got.push(await getAlone(item, folder, set, options));
  }
  return got;
}

/** Two processes that write one part would spoil it for each other. */
async function getAlone(item: Item, folder: string, set: Published, options: GetOptions): Promise<GotFile> {
  const path = join(folder, item.target);
  const unlock = takeLock(`${path}.lock`, path, "getting it");
  try {
    return await getItem(item, folder, set, options);
  } finally {
    unlock();
  }
}

/** Sets that are downloaded. */
export const gettable: readonly DatasetName[] = datasetNames.filter((name) => (published[name] as Published).source !== undefined);

function itemsOfSource(set: Published, { baseUrl, download: kind }: Source, mirror = baseUrl): Item[] {
  const address = (file: string) => addressOf(mirror, file);
  const files = filesOf(set);
  if (kind.kind === "archive") {
    const archive = layouts[set.format].archive!;
    return [{ files, isArchive: true, target: archive, origin: address(archive) }];
  }
  return files.map((file) => {
    const target = `${file}${kind.suffix}`;
    return { files: [file], isArchive: false, target, origin: address(target) };
  });
}

function addressOf(baseUrl: string, file: string): string {
  const folder = baseUrl.endsWith("/") ? baseUrl : `${baseUrl}/`;
  const url = URL.canParse(folder) ? new URL(file, folder) : undefined;
  if (url?.protocol === "http:" || url?.protocol === "https:") return url.href;
  throw new UserError(`--base-url: expected an address that begins with http:// or https://, got "${baseUrl}"`);
}

function itemsOfPlace(set: Published, from: string): Item[] {
  const [layout, files] = [layouts[set.format], filesOf(set)];
  if (!existsSync(from)) throw new UserError(`--from ${from}: no such folder or archive`);
  const place = locate(from, files, layout);
  if (!isComplete(place, files)) throw new UserError(`--from ${from}: expected ${describeFiles(files, layout)} there`);
  if (place.archive !== undefined) return [{ files, isArchive: true, target: layout.archive!, origin: place.archive }];
  return files.map((file) => {
    const origin = place.paths.get(file)!;
    return { files: [file], isArchive: false, target: basename(origin), origin };
  });
}

/** Where an item's files are in the folder already, all of them right; undefined when some are missing. Errors: UserError for a wrong one. */
async function presentFiles(folder: string, set: Published, files: readonly string[]): Promise<string[] | undefined> {
  const place = locate(folder, files, layouts[set.format]);
  if (place.archive === undefined && place.paths.size === 0) return undefined;
  try {
    await check(
      place,
      set,
      files.filter((file) => place.archive !== undefined || place.paths.has(file)),
    );
  } catch (error) {
    throw new UserError(`${messageOf(error)}\nRemove it and run this again, or choose another folder with --to.`, { cause: error });
  }
  if (!isComplete(place, files)) return undefined;
  return place.archive === undefined ? [...place.paths.values()] : [place.archive];
}

async function check(place: Located, set: Published, files: readonly string[]): Promise<void> {
  for (const file of await readAll(place, files)) checkedFile(set.format, file, set.sha256[file.name]);
}

async function getItem(item: Item, folder: string, set: Published, options: GetOptions): Promise<GotFile> {
  const path = join(folder, item.target);
  const part = `${path}.part`;
  const wasBegun = options.from === undefined && existsSync(part);
  await obtain(item, part, options);
  try {
    await checkItem(item, part, set);
  } catch (error) {
    await rm(part, { force: true });
    // The beginning may have been of another file: that much is tried before it is given up.
    if (wasBegun) return getItem(item, folder, set, options);
    throw new UserError(`${item.origin}: ${messageOf(error)}\nWhat came was removed.`, { cause: error });
  }
  await rename(part, path);
  return { path, state: options.from === undefined ? "downloaded" : "copied" };
}

async function obtain({ origin, target }: Item, part: string, { from, onProgress, network }: GetOptions): Promise<void> {
  if (from === undefined) {
    return download(origin, part, { ...network, onProgress: (received, total) => onProgress?.(target, received, total) });
  }
  requireOrdinary(part);
  try {
    makeFolder(dirname(part));
    await copyFile(origin, part);
  } catch (error) {
    await rm(part, { force: true }).catch(() => {});
    throw new UserError(`cannot copy ${origin} to ${part}: ${messageOf(error)}`, { cause: error });
  }
}

async function checkItem({ files, isArchive }: Item, part: string, set: Published): Promise<void> {
  if (isArchive) return check({ paths: new Map(), archive: part }, set, files);
  for (const name of files) checkedFile(set.format, { name, path: part, bytes: readFile(part) }, set.sha256[name]);
}
