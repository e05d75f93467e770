import { UserError } from "../core/errors.ts";
import type { LabelledPixels } from "./image-set.ts";

const side = 32;
const plane = side * side;
/** A label byte, then the planes of red, green and blue, each row by row. */
const recordBytes = 1 + 3 * plane;
const classes = 10;

/**
 * Reads the records of CIFAR-10's binary version (Krizhevsky, 2009): 1 label byte and 3,072 bytes of colour planes each, to images
 * [N, 32, 32, 3] and labels [N]. Errors: UserError that names the file when it does not end with a whole record or a label is no class.
 */
export function parseCifar(bytes: Uint8Array, source: string): LabelledPixels {
  const count = Math.floor(bytes.length / recordBytes);
  const spare = bytes.length - count * recordBytes;
  if (count === 0 || spare > 0) {
    throw new UserError(
      `${source}: expected records of ${recordBytes} bytes (a label and 32x32 pixels of red, green and blue), got ${bytes.length} bytes: ${count} records and ${spare} bytes to spare`,
    );
  }
  const pixels = new Uint8Array(count * 3 * plane);
  const labels = new Int32Array(count);
  for (let n = 0; n < count; n++) {
    const record = n * recordBytes;
    const label = bytes[record]!;
    if (label >= classes) throw new UserError(`${source}: label ${label} of record ${n}: expected 0 to ${classes - 1}`);
    labels[n] = label;
    const image = n * 3 * plane;
    for (let channel = 0; channel < 3; channel++) {
      const from = record + 1 + channel * plane;
      for (let p = 0; p < plane; p++) pixels[image + 3 * p + channel] = bytes[from + p]!;
    }
  }
  return { height: side, width: side, channels: 3, pixels, labels };
}
