import { createHash } from "node:crypto";
import { existsSync, statSync } from "node:fs";
import { UserError } from "../core/errors.ts";
import { statIfPossible } from "../core/files.ts";
import { parseCifar } from "./cifar.ts";
import { isCsv } from "./csv.ts";
import { isImageFolder } from "./folder.ts";
import { type Format, formatNames, joinParts, layouts, parseFile, type RawFile, requireFitting } from "./formats.ts";
import { type ImageSet, imageSet, type Split } from "./image-set.ts";
import { describeFiles, isComplete, type Located, locate, placesOf, readFile, readLocated } from "./locate.ts";
import { loadImageCsv, loadImageFolder, type OwnImageOptions } from "./own-images.ts";
import { datasetNames, isPublished, type Published, type PublishedSplit, published, publishedSet, splitNames } from "./published.ts";

export type { Split } from "./image-set.ts";
export { augmentationOf, type DatasetName, datasetNames } from "./published.ts";

/** The options of own images apply to folders and CSV files of them; the others are as they are. */
export interface LoadOptions extends OwnImageOptions {
  /** Looked at first: `<dataDir>/<name>`, then the folder itself. */
  readonly dataDir?: string;
}

/**
 * Loads a data set by name; or from a folder with the files of MNIST's (gzipped or not), CIFAR10's or SVHN's naming, or an archive of CIFAR10's;
 * or from a `.bin` file of CIFAR10's records, which serves as any split; or from a folder of images (`loadImageFolder`) or a CSV that lists them
 * (`loadImageCsv`). A name is looked for in `dataDir`, $SDIM_DATA_DIR/<name>, ~/.cache/sdim/<name>, then where its package puts it, and checked by
 * SHA-256. Errors: UserError for an unknown name (with the nearest match), files that are missing (with how to get them) or not the published ones.
 */
export async function loadDataset(spec: string, split: Split, options: LoadOptions = {}): Promise<ImageSet> {
  if (!isPublished(spec)) {
    if (isFolder(spec)) return loadFolder(spec, split, options);
    if (isCsv(spec)) return loadImageCsv(spec, split, options);
    if (isFile(spec)) return loadFile(spec, split);
  }
  const { place, files } = findSet(spec, split, options);
  const { format, classNames, sha256 } = publishedSet(spec);
  const raw = await readAll(place, files);
  return imageSet({ name: spec, split, classNames, ...decode(format, raw, sha256) });
}

const isFolder = (path: string): boolean => existsSync(path) && statSync(path).isDirectory();
const isFile = (path: string): boolean => existsSync(path) && statSync(path).isFile();

/** Where the files of a published set's split are. Errors: those of `loadDataset`. */
export function findSet(
  name: string,
  split: Split,
  { dataDir }: LoadOptions = {},
): { readonly folder: string; readonly place: Located; readonly files: readonly string[] } {
  const set = publishedSet(name);
  const files = split === "val" ? undefined : set.splits[split]?.files;
  if (!files) throw new UserError(`${name} has no ${split} split, only ${Object.keys(set.splits).join(", ")}`);
  const layout = layouts[set.format];
  const places = placesOf(name, set.places(), dataDir);
  for (const folder of places) {
    const place = locate(folder, files, layout);
    if (isComplete(place, files) && !isOfAnother(name, place, files)) return { folder, place, files };
  }
  const looked = places.join("\n  ");
  throw new UserError(`${name}: ${describeFiles(files, layout)} were not found in\n  ${looked}\nTo get it: ${set.howToGet}`);
}

/**
 * Whether a place has files of this one's names that are another published set's (mnist and fashion-mnist have the same): told by the smallest of them.
 */
export function isOfAnother(name: string, { paths }: Located, files: readonly string[]): boolean {
  const { format, sha256 } = publishedSet(name);
  const sizeOf = (file: string) => statIfPossible(paths.get(file)!)?.size ?? 0;
  const [smallest] = files.filter((file) => paths.has(file)).sort((a, b) => sizeOf(a) - sizeOf(b));
  if (smallest === undefined) return false;
  const others = datasetNames.flatMap((other) => publishedSet(other).sha256[smallest] ?? []).filter((sha) => sha !== sha256[smallest]);
  return others.some((sha) => isPublishedFile(format, smallest, paths.get(smallest)!, sha));
}

function isPublishedFile(format: Format, name: string, path: string, sha256: string): boolean {
  try {
    checkedFile(format, { name, path, bytes: readFile(path) }, sha256);
    return true;
  } catch (error) {
    if (error instanceof UserError) return false;
    throw error;
  }
}

/** What the user's own folder holds, by the names of the files in it; undefined when by none of the formats here. */
export function recogniseFolder(folder: string): Format | undefined {
  return formatNames.find((format) => {
    const layout = layouts[format];
    const { paths, archive } = locate(folder, [...layout.train, ...layout.test], layout);
    return paths.size > 0 || archive !== undefined;
  });
}

async function loadFolder(folder: string, split: Split, options: LoadOptions): Promise<ImageSet> {
  const format = recogniseFolder(folder);
  if (format !== undefined) return loadFiles(folder, format, split);
  if (isImageFolder(folder)) return loadImageFolder(folder, split, options);
  const named = split === "val" ? "train" : split;
  const [file] = layouts.idx[named];
  throw new UserError(
    `${folder}: expected ${file} or ${file}.gz in this folder (or the files of CIFAR10, ${layouts.cifar[named][0]}, or of SVHN, ${layouts.svhn[named][0]}), or a folder per class with images`,
  );
}

/** Errors: UserError for a split that none of these formats has. */
function splitOf(name: string, split: Split): PublishedSplit {
  if (split !== "val") return split;
  throw new UserError(`${name} has no ${split} split, only ${splitNames.join(", ")}`);
}

async function loadFile(path: string, split: Split): Promise<ImageSet> {
  if (path.endsWith(".bin"))
    return imageSet({ name: path, split, classNames: numbered(10), areClassesNumbered: true, ...parseCifar(readFile(path), path) });
  if (path.endsWith(".tar.gz")) return loadFiles(path, "cifar", split);
  throw new UserError(`${path}: expected a folder, a CSV of file,label, a .bin file of CIFAR10's records, or CIFAR10's archive (.tar.gz)`);
}

/** A split from the user's own folder or archive: nothing is known of its checksums. */
async function loadFiles(folder: string, format: Format, split: Split): Promise<ImageSet> {
  const layout = layouts[format];
  const files = layout[splitOf(folder, split)];
  const place = locate(folder, files, layout);
  for (const file of files) {
    if (place.archive !== undefined || place.paths.has(file)) continue;
    throw new UserError(`${folder}: expected ${layout.endings.map((ending) => `${file}${ending}`).join(" or ")} in this folder`);
  }
  const raw = await readAll(place, files);
  const known = format === "idx" ? publishedWith(raw) : undefined;
  const classNames = known?.classNames ?? (await classesOf(folder, format));
  const areClassesNumbered = format === "idx" && known === undefined;
  return imageSet({ name: folder, split, classNames, areClassesNumbered, ...decode(format, raw) });
}

/** The published set that IDX files are of, told by the one with the labels, whatever folder they are in. */
function publishedWith(files: readonly RawFile[]): Published | undefined {
  const labels = files.find(({ name }) => name.includes("-labels-"))!;
  const digest = createHash("sha256").update(parseFile("idx", labels).content).digest("hex");
  return datasetNames.map(publishedSet).find(({ sha256 }) => sha256[labels.name] === digest);
}

/** Every file asked for. Errors: UserError for one that an archive lacks. */
export async function readAll(place: Located, files: readonly string[]): Promise<RawFile[]> {
  const raw = await readLocated(place, files);
  const missing = files.filter((file) => !raw.some(({ name }) => name === file));
  if (missing.length > 0) throw new UserError(`${place.archive}: expected ${missing.join(", ")} in this archive`);
  return raw;
}

/** Files with the names of CIFAR10 and SVHN have their classes; IDX files that are not published can hold anything. */
async function classesOf(folder: string, format: Format): Promise<readonly string[]> {
  if (format === "cifar") return published.cifar10.classNames;
  return format === "svhn" ? published.svhn.classNames : classesOfIdx(folder);
}

/** Numbered classes, as many as the labels of both splits ask for: a class that happens to be missing in one of them is still a class. */
async function classesOfIdx(folder: string): Promise<string[]> {
  const names = splitNames.map((split) => layouts.idx[split][1]!);
  const raw = await readLocated(locate(folder, names, layouts.idx), names);
  const largest = raw.map((file) => {
    const labels = parseFile("idx", file);
    return labels.kind === "tensor" ? labels.data.reduce((a, b) => Math.max(a, b), 0) : 0;
  });
  return numbered(Math.max(1, ...largest) + 1);
}

const numbered = (count: number): string[] => Array.from({ length: count }, (_, i) => String(i));

function decode(format: Format, files: readonly RawFile[], sha256: Readonly<Record<string, string>> = {}) {
  requireFitting(format, files);
  return joinParts(files.map((file) => checkedFile(format, file, sha256[file.name])));
}

/** Parses a file and compares its SHA-256, where one is known: a file that is cut short or of another kind gets that said, not a checksum. */
export function checkedFile(format: Format, file: RawFile, expected: string | undefined): ReturnType<typeof parseFile> {
  const part = parseFile(format, file);
  if (expected === undefined) return part;
  const got = createHash("sha256").update(part.content).digest("hex");
  if (got === expected) return part;
  throw new UserError(
    `${file.path}: not the published file: expected SHA-256 ${expected}, got ${got}. Get it again, or name your own data by its folder.`,
  );
}
