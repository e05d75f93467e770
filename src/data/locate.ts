import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { readFileAtMost } from "../core/files.ts";
import type { Layout, RawFile } from "./formats.ts";
import { readTarGz } from "./tar.ts";

/** Where data sets are kept that were downloaded. */
export const cacheFolder = (name: string): string => join(homedir(), ".cache", "sdim", name);

/** The places a published set is looked for, in order: the caller's folder, the environment's, the cache, those of its package. */
export function placesOf(name: string, packagePlaces: readonly string[], dataDir?: string): string[] {
  const environment = process.env["SDIM_DATA_DIR"];
  return [
    ...(dataDir === undefined ? [] : [join(dataDir, name), dataDir]),
    ...(environment === undefined ? [] : [join(environment, name)]),
    cacheFolder(name),
    ...packagePlaces,
  ];
}

/** The path of each file that is in a folder; or the archive there that has to be asked for them. */
export interface Located {
  readonly paths: ReadonlyMap<string, string>;
  readonly archive?: string;
}

/** Looks for files in one place: a folder and its sub-folder of the layout; unless all are there, an archive in it, or that is itself the place. */
export function locate(place: string, files: readonly string[], { endings, subfolder, archive }: Layout): Located {
  const folders = [place, ...(subfolder === undefined ? [] : [join(place, subfolder)])];
  const paths = new Map<string, string>();
  for (const file of files) {
    const candidates = folders.flatMap((folder) => endings.map((ending) => join(folder, `${file}${ending}`)));
    const path = candidates.find((candidate) => existsSync(candidate));
    if (path !== undefined) paths.set(file, path);
  }
  if (archive === undefined || files.every((file) => paths.has(file))) return { paths };
  const candidates = place.endsWith(".tar.gz") ? [place] : folders.map((folder) => join(folder, archive));
  const found = candidates.find((candidate) => existsSync(candidate));
  return found === undefined ? { paths } : { paths, archive: found };
}

/** Whether all the files are there, or an archive that should hold them. */
export const isComplete = ({ paths, archive }: Located, files: readonly string[]): boolean =>
  archive !== undefined || files.every((file) => paths.has(file));

/** How messages name files that were looked for. */
export function describeFiles(files: readonly string[], { endings, archive }: Layout): string {
  const optional = endings.filter((ending) => ending !== "").map((ending) => `[${ending}]`);
  const named = new Intl.ListFormat("en-GB").format(files.map((file) => `${file}${optional.join("")}`));
  return archive === undefined ? named : `${named} (or ${archive})`;
}

/** Reads files that were located; those that an archive lacks are left out. Errors: UserError for files that cannot be read. */
export async function readLocated({ paths, archive }: Located, files: readonly string[]): Promise<RawFile[]> {
  if (archive === undefined) {
    return files
      .filter((file) => paths.has(file))
      .map((file) => ({ name: file, path: paths.get(file)!, bytes: readFile(paths.get(file)!) }));
  }
  const members = await readTarGz(archive, files);
  return files.flatMap((name) => {
    const bytes = members.get(name);
    return bytes === undefined ? [] : [{ name, path: `${archive}/${name}`, bytes }];
  });
}

/** No file of a data set is larger. */
const largestFile = 2 ** 30;

export const readFile = (path: string): Uint8Array => readFileAtMost(path, largestFile);
