import { createHash } from "node:crypto";
import { UserError } from "../core/errors.ts";
import { isOfKind, kindOf } from "../core/kinds.ts";

export type Split = "train" | "val" | "test";

/** What loading the same images from the same files again takes, beside their size. */
export interface LoadChoices {
  readonly channels: 1 | 3;
  readonly testShare: number;
  readonly splitSeed: number;
  readonly onBroken: "refuse" | "skip";
}

/** A file that should be an image and cannot be read as one. */
export interface BrokenFile {
  readonly file: string;
  readonly reason: string;
}

/** How images came out of a user's own files. */
export interface ImageOrigin {
  readonly choices: LoadChoices;
  /** Files left out because they are broken. */
  readonly skipped: readonly BrokenFile[];
  /** Files passed over because they are not images or are hidden, counted by ending. */
  readonly ignored: Readonly<Record<string, number>>;
  /** Why the images were not put into the cache: the next time they are read anew. */
  readonly cacheProblem?: string;
}

/** `passed over files that are not images: 3 .txt`; undefined where there were none. */
export function passedOver({ ignored }: ImageOrigin): string | undefined {
  const kinds = Object.entries(ignored).map(([kind, files]) => `${files} ${kind}`);
  return kinds.length === 0 ? undefined : `passed over files that are not images: ${kinds.join(", ")}`;
}

/** What a file format holds of a split: pixels [labels.length, height, width, channels] and the class index of each image. */
export interface LabelledPixels {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  readonly pixels: Uint8Array;
  readonly labels: Int32Array;
}

/** Labelled images of one size, in memory. */
export interface ImageSet {
  readonly name: string;
  readonly split: string;
  readonly count: number;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  /** [count, height, width, channels] */
  readonly pixels: Uint8Array;
  /** Class index of each image. */
  readonly labels: Int32Array;
  readonly classNames: readonly string[];
  /** Whether its files do not say what the classes are called, so that they have numbers for names. */
  readonly areClassesNumbered?: boolean;
  /** SHA-256 over shape, pixels and labels, hexadecimal. */
  readonly fingerprint: string;
  /** For images from a user's own files. */
  readonly origin?: ImageOrigin;
}

export type ImageSetParts = Omit<ImageSet, "fingerprint" | "count">;

/** Errors: UserError when pixels are not a Uint8Array or labels not an Int32Array, they and the shape do not fit, or a label is no class. */
export function imageSet(parts: ImageSetParts): ImageSet {
  const { name, split, height, width, channels, pixels, labels, classNames } = parts;
  const where = `${name} (${split})`;
  // Plain JavaScript may bring others: floats from 0 to 1 would be copied as black.
  if (!isOfKind(pixels, "Uint8Array")) throw new UserError(`${where}: expected pixels as a Uint8Array, 0 to 255, got ${kindOf(pixels)}`);
  if (!isOfKind(labels, "Int32Array")) throw new UserError(`${where}: expected labels as an Int32Array, got ${kindOf(labels)}`);
  const count = labels.length;
  if (count === 0) throw new UserError(`${where}: no images`);
  if (height * width * channels === 0) throw new UserError(`${where}: images [${count}, ${height}, ${width}, ${channels}] have no pixels`);
  const expected = count * height * width * channels;
  if (pixels.length !== expected) {
    throw new UserError(
      `${where}: expected ${expected} pixel values for images [${count}, ${height}, ${width}, ${channels}], got ${pixels.length}`,
    );
  }
  const wrong = labels.findIndex((label) => label < 0 || label >= classNames.length);
  if (wrong >= 0) throw new UserError(`${where}: label ${labels[wrong]} of image ${wrong}: expected 0 to ${classNames.length - 1}`);
  const hash = createHash("sha256").update(`${count} ${height} ${width} ${channels} ${classNames.length}\n`);
  hash.update(pixels).update(new Uint8Array(labels.buffer, labels.byteOffset, labels.byteLength));
  return { ...parts, count, fingerprint: hash.digest("hex") };
}

/**
 * The set with the classes that a model knows: the names are its own, or the model's where its files have none. Errors: UserError that says
 * which classes are whose. `what`: who asks.
 */
export function withClasses(set: ImageSet, classNames: readonly string[], what: string): ImageSet {
  if (set.classNames.join("\n") === classNames.join("\n")) return set;
  if (set.areClassesNumbered && set.classNames.length === classNames.length) return { ...set, classNames, areClassesNumbered: false };
  throw new UserError(`${what}: the model knows the classes ${classNames.join(", ")}; ${set.name} has ${set.classNames.join(", ")}`);
}

/** The images at `indices`, in that order. Errors: UserError for an index that is none of the set's. */
export function subset(set: ImageSet, indices: ArrayLike<number>): ImageSet {
  const wrong = Array.from(indices).find((index) => !Number.isInteger(index) || index < 0 || index >= set.count);
  if (wrong !== undefined) throw new UserError(`${set.name} (${set.split}): image ${wrong}: expected 0 to ${set.count - 1}`);
  const perImage = set.height * set.width * set.channels;
  const pixels = new Uint8Array(indices.length * perImage);
  gatherImages(set, indices, pixels);
  return imageSet({ ...set, pixels, labels: Int32Array.from(indices, (index) => set.labels[index]!) });
}

/**
 * The first `count` images; of a user's own, whose order means nothing, and of a set that comes class after class, the first of every class in proportion. Fewer are always
 * the beginning of more. Errors: UserError for a count that is no whole number above 0.
 */
export function takeFirst(set: ImageSet, count: number): ImageSet {
  if (count >= set.count) return set;
  if (!Number.isInteger(count) || count < 1)
    throw new UserError(`${set.name} (${set.split}): expected a number of images above 0, got ${count}`);
  const all = Array.from({ length: set.count }, (_, i) => i);
  const isByClass = set.labels.every((label, i) => i === 0 || label >= set.labels[i - 1]!);
  return subset(set, (set.origin !== undefined || isByClass ? inProportion(set, all) : all).slice(0, count));
}

/** Image k of a class with n comes at (k + 1/2) / n of the way. */
function inProportion({ labels, classNames }: ImageSet, all: readonly number[]): readonly number[] {
  const sizes = classNames.map(() => 0);
  for (const label of labels) sizes[label]!++;
  const seen = classNames.map(() => 0);
  const at = Float64Array.from(labels, (label) => (seen[label]!++ + 0.5) / sizes[label]!);
  return [...all].sort((a, b) => at[a]! - at[b]! || a - b);
}

/** Copies the images at `indices` one after another into `into` [indices.length, H, W, C]. */
export function gatherImages(set: ImageSet, indices: ArrayLike<number>, into: Uint8Array): void {
  const perImage = set.height * set.width * set.channels;
  for (let i = 0; i < indices.length; i++) {
    const from = indices[i]! * perImage;
    into.set(set.pixels.subarray(from, from + perImage), i * perImage);
  }
}

export function gatherLabels(set: ImageSet, indices: ArrayLike<number>, into: BigInt64Array): void {
  for (let i = 0; i < indices.length; i++) into[i] = BigInt(set.labels[indices[i]!]!);
}
