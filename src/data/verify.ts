import { existsSync, statSync } from "node:fs";
import { messageOf, UserError } from "../core/errors.ts";
import { isCsv } from "./csv.ts";
import { layouts, type RawFile } from "./formats.ts";
import { passedOver, type Split } from "./image-set.ts";
import { isComplete, type Located, locate, placesOf, readLocated } from "./locate.ts";
import { splitsOfImages } from "./own-images.ts";
import { isPublished, type Published, type PublishedSplit, publishedSet, splitNames } from "./published.ts";
import { checkedFile, isOfAnother, type LoadOptions, loadDataset, recogniseFolder } from "./registry.ts";

export interface FileCheck {
  readonly split: Split;
  /** The file, or the whole of what was checked. */
  readonly file: string;
  readonly state: "ok" | "missing" | "wrong";
  /** Where it is, or what is wrong. */
  readonly detail: string;
}

/**
 * Checks a data set: by name, every file of it, that it is there and the published one; a folder or file of the user's own, every split that
 * is there, that it can be read and fits together. Errors: UserError for an unknown name; what is wrong with files is in the result.
 */
export async function verifyDataset(spec: string, { dataDir }: LoadOptions = {}): Promise<FileCheck[]> {
  if (!isPublished(spec) && existsSync(spec)) return verifyOwn(spec);
  const set = publishedSet(spec);
  const places = placesOf(spec, set.places(), dataDir);
  const checks: FileCheck[] = [];
  for (const split of splitNames) {
    const files = set.splits[split]?.files;
    if (files !== undefined) checks.push(...(await verifySplit(spec, set, split, files, places)));
  }
  return checks;
}

async function verifySplit(
  name: string,
  set: Published,
  split: PublishedSplit,
  files: readonly string[],
  places: readonly string[],
): Promise<FileCheck[]> {
  const located = places.map((place) => locate(place, files, layouts[set.format])).filter((place) => !isOfAnother(name, place, files));
  // The place that loading would take; else one that has a part of it.
  const place = located.find((candidate) => isComplete(candidate, files)) ?? located.find(({ paths }) => paths.size > 0);
  const absent = (file: string): FileCheck => ({ split, file, state: "missing", detail: `not found. To get it: ${set.howToGet}` });
  if (place === undefined) return files.map(absent);
  const { archive } = place;
  if (archive === undefined) {
    const checks: FileCheck[] = [];
    // One after the other: a file is up to 200 MB in memory.
    for (const file of files) checks.push((await verifyFile(set, split, file, place)) ?? absent(file));
    return checks;
  }
  try {
    const members = await readLocated(place, files);
    return files.map((name) => {
      const member = members.find((candidate) => candidate.name === name);
      return member === undefined
        ? { split, file: name, state: "missing", detail: `not in ${archive}` }
        : verifyContent(set, split, member);
    });
  } catch (error) {
    return [{ split, file: archive, ...wrong(error) }];
  }
}

/** Undefined: it is not there. */
async function verifyFile(set: Published, split: PublishedSplit, name: string, place: Located): Promise<FileCheck | undefined> {
  try {
    const [file] = await readLocated(place, [name]);
    return file && verifyContent(set, split, file);
  } catch (error) {
    return { split, file: name, ...wrong(error) };
  }
}

function verifyContent(set: Published, split: PublishedSplit, file: RawFile): FileCheck {
  try {
    checkedFile(set.format, file, set.sha256[file.name]);
    return { split, file: file.name, state: "ok", detail: file.path };
  } catch (error) {
    return { split, file: file.name, ...wrong(error) };
  }
}

/** The files themselves are read: what is kept of them would not know that they have been damaged since. */
async function verifyOwn(spec: string): Promise<FileCheck[]> {
  const checks: FileCheck[] = [];
  for (const split of ownSplits(spec)) {
    try {
      const { count, classNames, origin } = await loadDataset(spec, split, { cacheDir: null });
      const others = origin && passedOver(origin);
      const counts = `${count} images of ${classNames.length} classes`;
      checks.push({ split, file: spec, state: "ok", detail: others === undefined ? counts : `${counts}; ${others}` });
    } catch (error) {
      checks.push({ split, file: spec, ...wrong(error) });
    }
  }
  return checks;
}

/** The splits that are there, or should be where that cannot be told. */
function ownSplits(spec: string): readonly Split[] {
  const format = recogniseFolder(spec);
  if (format !== undefined) {
    return splitNames.filter((split) => {
      const { paths, archive } = locate(spec, layouts[format][split], layouts[format]);
      return paths.size > 0 || archive !== undefined;
    });
  }
  const isListed = statSync(spec).isDirectory() || isCsv(spec);
  if (!isListed) return splitNames;
  try {
    return splitsOfImages(spec);
  } catch (error) {
    // Loading says what is wrong with it.
    if (error instanceof UserError) return splitNames;
    throw error;
  }
}

function wrong(error: unknown): { readonly state: "wrong"; readonly detail: string } {
  if (!(error instanceof UserError)) throw error;
  return { state: "wrong", detail: messageOf(error) };
}
