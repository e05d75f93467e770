import { resizeRow } from "../core/resize.ts";
import type { Picture } from "./picture.ts";

/**
 * A picture brought to [size, size], its sides stretched or squeezed alike: the formula by which a model file preprocesses, rounded to
 * whole values, so that training on the result and asking a model about the original differ by rounding only. Works through the source
 * row by row: memory is of the order of one row and the result, whatever the source's shape.
 */
export function resizePicture({ height, width, channels, pixels }: Picture, size: number): Picture {
  if (height === size && width === size) return { height, width, channels, pixels };
  const rows = Array.from({ length: size }, (_, i) => resizeRow(height, size, i));
  const columns = Array.from({ length: size }, (_, i) => resizeRow(width, size, i));
  const perRow = size * channels;
  const narrowed = new Float64Array(perRow);
  const sums = new Float64Array(size * perRow);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < size; x++) {
      const { first, weights } = columns[x]!;
      const start = (y * width + first) * channels;
      for (let c = 0; c < channels; c++) {
        let sum = 0;
        for (let j = 0, at = start + c; j < weights.length; j++, at += channels) sum += weights[j]! * pixels[at]!;
        narrowed[x * channels + c] = sum;
      }
    }
    for (let i = 0; i < size; i++) {
      const weight = rows[i]!.weights[y - rows[i]!.first];
      if (weight === undefined) continue;
      for (let k = 0; k < perRow; k++) sums[i * perRow + k]! += weight * narrowed[k]!;
    }
  }
  return { height: size, width: size, channels, pixels: Uint8Array.from(sums, Math.round) };
}

/** Some hundred megabytes as the floats that a model makes of it. */
const mostPixels = 16e6;

/** What a model is given of a picture: one of more than 16 million pixels comes at the model's size already, the same but for rounding to whole values. */
export const forModel = (picture: Picture, imageSize: number): Picture =>
  picture.height * picture.width > mostPixels ? resizePicture(picture, imageSize) : picture;
