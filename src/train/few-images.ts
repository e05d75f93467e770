import { requireObject, unexpected } from "../core/kinds.ts";
import type { TrainConfig } from "./config.ts";

/** Fewer leave classes that are never right: 500 garments in five epochs of batches of 128 are 15. */
const fewestSteps = 600;
/** In batches of 128 an epoch of few images is one step, and a hundred epochs not many. */
const fewestStepsPerEpoch = 12;
/** With still fewer images in it, batch normalisation knows little of the others. */
const smallestBatch = 16;

/**
 * The config for `images` training images (without those held out), which may be too few for its batches and epochs, made for tens of thousands: batches are halved until an epoch has 12 of
 * them, to 16 images at least where there are as many; epochs are as many as 600 steps take. A key of `given` stays as it is, and so does a config of which that is true already.
 */
export function fitToCount(config: TrainConfig, images: number, given: ReadonlySet<string> = new Set()): TrainConfig {
  requireObject("fitToCount", "the config of a training", config);
  if (!(Number.isInteger(images) && images >= 0)) throw unexpected("fitToCount", "a whole number of images", images);
  let { batchSize, epochs } = config;
  if (!given.has("batchSize")) {
    const least = Math.min(smallestBatch, Math.max(2, images));
    while (batchSize > least && batchSize * fewestStepsPerEpoch > images) batchSize = Math.max(least, Math.floor(batchSize / 2));
  }
  const stepsPerEpoch = Math.floor(images / batchSize);
  if (!given.has("epochs") && stepsPerEpoch > 0) epochs = Math.max(epochs, Math.ceil(fewestSteps / stepsPerEpoch));
  return { ...config, batchSize, epochs };
}
