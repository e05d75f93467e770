import { Random } from "../core/random.ts";
import type { ImageSet } from "./image-set.ts";

/** What training does to images before it sees them (paper, B.1: padding 4 and flips for CIFAR10 and SVHN, nothing for the others). */
export interface Augmentation {
  /** Zeros put around the image on all sides, of which a random window of the image's own size is cut; 0: no crop. */
  readonly cropPadding: number;
  /** Whether every second image, at random, is mirrored left to right. */
  readonly flip: boolean;
}

/**
 * Copies the images at `indices` one after another into `into` [indices.length, H, W, C], each cropped and flipped at random. What happens to a
 * batch depends on `seed` and `step` alone.
 */
export function gatherAugmented(
  set: ImageSet,
  indices: ArrayLike<number>,
  { cropPadding, flip }: Augmentation,
  { seed, step }: { readonly seed: number; readonly step: number },
  into: Uint8Array,
): void {
  const { height, width, channels, pixels } = set;
  const perImage = height * width * channels;
  const random = Random.stream(seed, `augmentation of step ${step}`);
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
  }
}
