import { Random } from "../core/random.ts";
import type { ImageSet } from "./image-set.ts";

/** What training does to images before it sees them (paper, B.1: padding 4 and flips for CIFAR10 and SVHN, nothing for the others). */
export interface Augmentation {
  /** Zeros put around the image on all sides, of which a random window of the image's own size is cut; 0: no crop. */
  readonly cropPadding: number;
  /** Whether every second image, at random, is mirrored left to right. */
  readonly flip: boolean;
  /** Probability that a rectangle of the image is filled with noise; 0: none. */
  readonly randomErasing: number;
}

/**
 * Copies the images at `indices` one after another into `into` [indices.length, H, W, C], each cropped, flipped and erased at random. What happens
 * to a batch depends on `seed` and `step` alone.
 */
export function gatherAugmented(
  set: ImageSet,
  indices: ArrayLike<number>,
  { cropPadding, flip, randomErasing }: Augmentation,
  { seed, step }: { readonly seed: number; readonly step: number },
  into: Uint8Array,
): void {
  const { height, width, channels, pixels } = set;
  const perImage = height * width * channels;
  const random = Random.stream(seed, `augmentation of step ${step}`);
  const erasing = Random.stream(seed, `erasing of step ${step}`);
  const shift = () => (cropPadding > 0 ? random.below(2 * cropPadding + 1) - cropPadding : 0);
  for (let i = 0; i < indices.length; i++) {
    const [down, right] = [shift(), shift()];
    const mirrored = flip && random.below(2) === 1;
    const from = indices[i]! * perImage;
    for (let y = 0; y < height; y++) {
      const to = i * perImage + y * width * channels;
      const sourceY = y + down;
      if (sourceY < 0 || sourceY >= height) {
        into.fill(0, to, to + width * channels);
        continue;
      }
      const row = from + sourceY * width * channels;
      for (let x = 0; x < width; x++) {
        const sourceX = (mirrored ? width - 1 - x : x) + right;
        const isInside = sourceX >= 0 && sourceX < width;
        for (let c = 0; c < channels; c++) into[to + x * channels + c] = isInside ? pixels[row + sourceX * channels + c]! : 0;
      }
    }
    if (erasing.uniform() < randomErasing) eraseRectangle(into.subarray(i * perImage, (i + 1) * perImage), set, erasing);
  }
}

/**
 * Fills a random rectangle of `image` [H, W, C] with uniform noise: a share s of its area, s ~ U(0.02, 0.4), height / width r ~ U(0.3, 1 / 0.3), drawn
 * again until it fits (Zhong et al., Random Erasing Data Augmentation, 2020, algorithm 1). An image too small for any is left as it is after 100 draws.
 */
function eraseRectangle(image: Uint8Array, { height, width, channels }: ImageSet, random: Random): void {
  const between = (low: number, high: number) => low + (high - low) * random.uniform();
  for (let draw = 0; draw < 100; draw++) {
    const area = between(0.02, 0.4) * height * width;
    const ratio = between(0.3, 1 / 0.3);
    const [tall, wide] = [Math.round(Math.sqrt(area * ratio)), Math.round(Math.sqrt(area / ratio))];
    if (tall < 1 || wide < 1 || tall > height || wide > width) continue;
    const [top, left] = [random.below(height - tall + 1), random.below(width - wide + 1)];
    for (let y = top; y < top + tall; y++) {
      for (let at = (y * width + left) * channels; at < (y * width + left + wide) * channels; at++) image[at] = random.below(256);
    }
    return;
  }
}
