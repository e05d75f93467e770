import { UserError } from "../core/errors.ts";
import { parseCifar } from "./cifar.ts";
import { idxShape, parseIdx } from "./idx.ts";
import type { LabelledPixels } from "./image-set.ts";
import { parseSvhn } from "./svhn.ts";

/** File formats of published sets: MNIST's IDX files, CIFAR-10's binary version, SVHN's cropped digits. */
export type Format = "idx" | "cifar" | "svhn";
export const formatNames: readonly Format[] = ["idx", "cifar", "svhn"];

/** How the files of a format are named and packed where they lie in a folder. */
export interface Layout {
  readonly train: readonly string[];
  readonly test: readonly string[];
  /** Endings a file may have, in the order they are looked for. */
  readonly endings: readonly string[];
  /** A folder inside the folder that may hold the files. */
  readonly subfolder?: string;
  /** A gzipped tar archive that may hold them. */
  readonly archive?: string;
}

export const layouts: Readonly<Record<Format, Layout>> = {
  idx: {
    train: ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"],
    test: ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"],
    endings: ["", ".gz"],
  },
  cifar: {
    train: ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"],
    test: ["test_batch.bin"],
    endings: [""],
    subfolder: "cifar-10-batches-bin",
    archive: "cifar-10-binary.tar.gz",
  },
  svhn: { train: ["train_32x32.mat"], test: ["test_32x32.mat"], endings: [""] },
};

/** A file of a set as it was read. */
export interface RawFile {
  /** As the layout names it: without folder and without .gz. */
  readonly name: string;
  /** Where it was found, for messages. */
  readonly path: string;
  readonly bytes: Uint8Array;
}

/** A parsed file. `content`: what published checksums are over. */
type Part = (Tensor | ({ readonly kind: "images" } & LabelledPixels)) & { readonly path: string; readonly content: Uint8Array };

/** What an IDX file holds: images [N, H, W] or labels [N]. */
interface Tensor {
  readonly kind: "tensor";
  readonly path: string;
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

const axesOf = (name: string): number => (name.includes("idx3") ? 3 : 1);

/**
 * Looks at what the files of a split announce, before any is unpacked. Errors: UserError for a header that cannot be right, and when they do
 * not fit each other.
 */
export function requireFitting(format: Format, files: readonly RawFile[]): void {
  if (format !== "idx") return;
  const [images, labels] = files.map(({ name, path, bytes }) => ({ path, shape: idxShape(bytes, axesOf(name), path) }));
  if (images === undefined || labels === undefined || labels.shape[0] === images.shape[0]) return;
  throw new UserError(
    `labels: expected ${images.shape[0]} values for images [${images.shape.join(", ")}], got ${labels.shape[0]} (${labels.path})`,
  );
}

/** Parses one file of a format by itself. Errors: UserError that names the file. */
export function parseFile(format: Format, { name, path, bytes }: RawFile): Part {
  switch (format) {
    case "idx":
      return { kind: "tensor", path, ...parseIdx(bytes, axesOf(name), path) };
    case "cifar":
      return { kind: "images", path, content: bytes, ...parseCifar(bytes, path) };
    case "svhn":
      return { kind: "images", path, content: bytes, ...parseSvhn(bytes, path) };
  }
}

/** Puts the parsed files of a split together, which fit each other. */
export function joinParts(parts: readonly Part[]): LabelledPixels {
  const [images, answers] = parts;
  if (images?.kind === "tensor" && answers?.kind === "tensor") return joinTensors(images, answers);
  const batches = parts.filter((part) => part.kind === "images");
  const { height, width, channels } = batches[0]!;
  if (batches.length === 1) return { height, width, channels, pixels: batches[0]!.pixels, labels: batches[0]!.labels };
  const pixels = new Uint8Array(batches.reduce((sum, batch) => sum + batch.pixels.length, 0));
  const labels = new Int32Array(batches.reduce((sum, batch) => sum + batch.labels.length, 0));
  let done = 0;
  for (const batch of batches) {
    pixels.set(batch.pixels, done * height * width * channels);
    labels.set(batch.labels, done);
    done += batch.labels.length;
  }
  return { height, width, channels, pixels, labels };
}

function joinTensors(images: Tensor, answers: Tensor): LabelledPixels {
  const [, height, width] = images.shape as [number, number, number];
  return { height, width, channels: 1, pixels: images.data, labels: Int32Array.from(answers.data) };
}
