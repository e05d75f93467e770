import { UserError } from "../core/errors.ts";
import { type ImageSet, imageSet } from "./image-set.ts";
import { luminance } from "./luminance.ts";

/**
 * The set with another number of channels, and a name that says so; itself where it has them already. Grey becomes RGB by repetition, RGB becomes
 * grey by luminance, as where pictures are read in grey. Errors: UserError for other numbers than 1 and 3.
 */
export function convertChannels(set: ImageSet, channels: 1 | 3): ImageSet {
  if (set.channels === channels) return set;
  if (set.channels !== 4 - channels) throw new UserError(`${set.name} (${set.split}): expected 1 or 3 channels, got ${set.channels}`);
  const pixels = channels === 3 ? repeated(set.pixels) : luminances(set.pixels);
  return imageSet({ ...set, name: `${set.name} as ${channels === 3 ? "RGB" : "grey"}`, channels, pixels });
}

function repeated(grey: Uint8Array): Uint8Array {
  const rgb = new Uint8Array(3 * grey.length);
  for (let i = 0; i < rgb.length; i++) rgb[i] = grey[Math.floor(i / 3)]!;
  return rgb;
}

function luminances(rgb: Uint8Array): Uint8Array {
  const grey = new Uint8Array(rgb.length / 3);
  for (let i = 0; i < grey.length; i++) grey[i] = luminance(rgb[3 * i]!, rgb[3 * i + 1]!, rgb[3 * i + 2]!);
  return grey;
}
