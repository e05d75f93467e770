import { UserError } from "../core/errors.ts";
import type { LabelledPixels } from "./image-set.ts";
import { parseMat } from "./mat.ts";

const side = 32;
const plane = side * side;
const perImage = 3 * plane;

/**
 * Reads a file of SVHN's cropped digits (Netzer et al., 2011): X, uint8 [32, 32, 3, N], and y, [N, 1] with labels 1 to 10, where 10 is the
 * digit 0; to images [N, 32, 32, 3] and labels [N] of digits. Errors: UserError that names the file and what does not fit.
 */
export function parseSvhn(bytes: Uint8Array, source: string): LabelledPixels {
  const arrays = parseMat(bytes, ["X", "y"], source);
  const [images, answers] = [arrays.get("X")!, arrays.get("y")!];
  // MATLAB leaves out a last axis of 1.
  const [height, width, channels, count = 1, ...further] = images.shape;
  if (height !== side || width !== side || channels !== 3 || count < 1 || further.length > 0 || !(images.values instanceof Uint8Array)) {
    throw new UserError(`${source}: X: expected bytes [32, 32, 3, N], got ${images.values.constructor.name} [${images.shape.join(", ")}]`);
  }
  if (answers.values.length !== count) {
    throw new UserError(`${source}: y: expected ${count} labels for X [${images.shape.join(", ")}], got ${answers.values.length}`);
  }
  const labels = Int32Array.from(answers.values, (label, n) => {
    if (!Number.isInteger(label) || label < 1 || label > 10) {
      throw new UserError(`${source}: label ${label} of image ${n}: expected 1 to 10 (10 is the digit 0)`);
    }
    return label % 10;
  });
  return { height: side, width: side, channels: 3, pixels: toRows(images.values, count), labels };
}

/** Column-major [32, 32, 3, N] (rows run fastest) to [N, 32, 32, 3]. */
function toRows(columns: Uint8Array, count: number): Uint8Array {
  const pixels = new Uint8Array(count * perImage);
  for (let n = 0; n < count; n++) {
    for (let channel = 0; channel < 3; channel++) {
      for (let x = 0; x < side; x++) {
        const from = n * perImage + channel * plane + x * side;
        for (let y = 0; y < side; y++) pixels[n * perImage + (y * side + x) * 3 + channel] = columns[from + y]!;
      }
    }
  }
  return pixels;
}
