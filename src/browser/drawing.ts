import type { Picture } from "../data/picture.ts";
import { resizePicture } from "../data/resize.ts";

/** MNIST: digits fill a box of 20 x 20, their centre of mass in the middle of 28 x 28 pixels (LeCun, Cortes, Burges). */
const box = 20;
const side = 28;
/** Ink fainter than this does not count towards the box, so that a soft pen's edge does not widen it. */
const faintest = 16;

/**
 * A grey drawing, white on black, brought to the form of MNIST's digits: cut to its ink, its longer side scaled to 20 pixels, its centre of
 * mass put in the middle of 28 x 28. Undefined where nothing is drawn.
 */
export function centreDigit(drawing: Picture): Picture | undefined {
  const cut = inkOf(drawing);
  if (!cut) return undefined;
  const { pixels: small } = resizePicture(squared(cut), box);
  const [x, y] = centreOfMass(small);
  // To whole pixels, as MNIST's were, and never out of the picture.
  const shift = (centre: number) => Math.min(side - box, Math.max(0, Math.round(side / 2 - 0.5 - centre)));
  const [left, top] = [shift(x), shift(y)];
  const pixels = new Uint8Array(side * side);
  for (let row = 0; row < box; row++) pixels.set(small.subarray(row * box, (row + 1) * box), (top + row) * side + left);
  return { width: side, height: side, channels: 1, pixels };
}

/** The part with ink on it. */
function inkOf({ width, height, pixels }: Picture): Picture | undefined {
  let [left, right, top, bottom] = [width, -1, height, -1];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (pixels[y * width + x]! < faintest) continue;
      left = Math.min(left, x);
      right = Math.max(right, x);
      top = Math.min(top, y);
      bottom = y;
    }
  }
  if (right < 0) return undefined;
  const [cutWidth, cutHeight] = [right - left + 1, bottom - top + 1];
  const cut = new Uint8Array(cutWidth * cutHeight);
  for (let y = 0; y < cutHeight; y++) {
    const from = (top + y) * width + left;
    cut.set(pixels.subarray(from, from + cutWidth), y * cutWidth);
  }
  return { width: cutWidth, height: cutHeight, channels: 1, pixels: cut };
}

/** With black beside the shorter side, so that scaling keeps the proportions. */
function squared({ width, height, pixels }: Picture): Picture {
  const size = Math.max(width, height);
  const [left, top] = [Math.floor((size - width) / 2), Math.floor((size - height) / 2)];
  const square = new Uint8Array(size * size);
  for (let y = 0; y < height; y++) square.set(pixels.subarray(y * width, (y + 1) * width), (top + y) * size + left);
  return { width: size, height: size, channels: 1, pixels: square };
}

function centreOfMass(pixels: Uint8Array): readonly [number, number] {
  let [mass, sumX, sumY] = [0, 0, 0];
  for (const [i, value] of pixels.entries()) {
    mass += value;
    sumX += value * (i % box);
    sumY += value * Math.floor(i / box);
  }
  return [sumX / mass, sumY / mass];
}
