import { UserError } from "../core/errors.ts";
import { oneOf } from "../core/names.ts";
import { Random, requireSeed } from "../core/random.ts";
import { type ImageSet, imageSet } from "./image-set.ts";

// Images that are like nothing anyone trains on, made from a seed: what a classifier should refuse without being shown another data set.

export interface SyntheticOptions {
  /** Images; default 2,000. */
  readonly count?: number;
  readonly seed?: number;
}

/** Fills `image`, uint8 [height, width, channels] as those of `like`; `source` is the number of an image of `like`. */
type Painter = (image: Uint8Array, random: Random, like: ImageSet, source: number) => void;

/** Patches per side in which `shuffled-patches` cuts an image. */
const grid = 4;

const painters = {
  /** Every value of every pixel uniform over 0 to 255 (as in Liang, Li and Srikant, 2018, "ODIN"). */
  "uniform-noise": (image, random) => {
    for (let i = 0; i < image.length; i++) image[i] = random.below(256);
  },
  /** Every value of every pixel normal with mean 0.5 and unit variance, clamped to [0, 1] (as in Liang, Li and Srikant, 2018, "ODIN"). */
  "gaussian-noise": (image, random) => {
    for (let i = 0; i < image.length; i++) image[i] = Math.round(255 * Math.min(1, Math.max(0, 0.5 + random.normal())));
  },
  /** One level, or one colour, per image; uniform. */
  constant: (image, random, { channels }) => {
    const colour = Array.from({ length: channels }, () => random.below(256));
    for (let i = 0; i < image.length; i++) image[i] = colour[i % channels]!;
  },
  /** An image of the set in 4 x 4 patches that change places at random; rows and columns beyond a multiple of four stay. */
  "shuffled-patches": (image, random, { pixels, height, width, channels }, source) => {
    const original = pixels.subarray(source * image.length, (source + 1) * image.length);
    image.set(original);
    const [patchHeight, patchWidth] = [Math.floor(height / grid), Math.floor(width / grid)];
    const from = random.permutation(grid * grid);
    const offset = (patch: number, row: number) =>
      ((Math.floor(patch / grid) * patchHeight + row) * width + (patch % grid) * patchWidth) * channels;
    from.forEach((origin, patch) => {
      for (let row = 0; row < patchHeight; row++) {
        const start = offset(origin, row);
        image.set(original.subarray(start, start + patchWidth * channels), offset(patch, row));
      }
    });
  },
} satisfies Record<string, Painter>;

export type SyntheticName = keyof typeof painters;
export const syntheticNames = Object.keys(painters) as SyntheticName[];

/** A gigabyte of pixels. */
const mostBytes = 2 ** 30;

/**
 * A synthetic set of images with the shape of those of `like`; one class, whose name says that it is none. `shuffled-patches` takes images of
 * `like` in random order, and again from the first, shuffled anew, when `count` is more than it has. Same seed, same images.
 * Errors: UserError for an unknown name (with the nearest match), a count or seed out of range, or images under 4 x 4 pixels to shuffle.
 */
export function synthesise(name: string, like: ImageSet, { count = 2000, seed = 0 }: SyntheticOptions = {}): ImageSet {
  const kind = oneOf("synthetic set", name, syntheticNames);
  const { height, width, channels } = like;
  const perImage = height * width * channels;
  const most = Math.floor(mostBytes / perImage);
  if (!Number.isInteger(count) || count < 1 || count > most) {
    throw new UserError(`${kind}: expected 1 to ${most} images of ${height} x ${width} x ${channels}, asked for ${count}`);
  }
  if (kind === "shuffled-patches" && Math.min(height, width) < grid) {
    throw new UserError(`${kind}: expected images of at least ${grid} x ${grid} pixels, ${like.name} has ${height} x ${width}`);
  }
  const random = Random.stream(requireSeed(seed), `synthetic ${kind}`);
  const sources = random.permutation(like.count);
  const paint: Painter = painters[kind];
  const pixels = new Uint8Array(count * perImage);
  for (let i = 0; i < count; i++) paint(pixels.subarray(i * perImage, (i + 1) * perImage), random, like, sources[i % like.count]!);
  return imageSet({
    name: kind,
    split: `seed ${seed}`,
    height,
    width,
    channels,
    pixels,
    labels: new Int32Array(count),
    classNames: ["none"],
  });
}
