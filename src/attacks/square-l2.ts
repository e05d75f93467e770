import type { Random } from "../core/random.ts";
import { type ImageShape, projectOntoBall } from "./distance.ts";

// The squares of the Square attack in L2: bumps, a positive and a negative half each, that take norm from elsewhere (paper, 3.4).

/** Smallest side of a bump: both halves have a row of pixels. */
const smallest = 2;

export const hasRoomForBumps = ({ height, width }: ImageShape): boolean => Math.min(height, width) >= smallest;

/** Sets `x` to the original and a grid of bumps, of norm epsilon before clipping. */
export function addBumps(x: Float32Array, original: Float32Array, shape: ImageShape, epsilon: number, random: Random): void {
  const { channels, height, width } = shape;
  const side = Math.max(smallest, Math.floor(Math.min(height, width) / 5));
  const change = new Float64Array(x.length);
  for (let top = Math.floor((height % side) / 2); top + side <= height; top += side) {
    for (let left = Math.floor((width % side) / 2); left + side <= width; left += side) {
      const values = bump(side, random);
      for (let channel = 0; channel < channels; channel++) {
        const sign = random.uniform() < 0.5 ? -1 : 1;
        eachOf({ top, left, side }, channel, shape, (k, i) => {
          change[k] = sign * values[i]!;
        });
      }
    }
  }
  setChange(x, original, change, epsilon);
}

/**
 * With d = x - original: one window gets d's direction there plus a bump, at the norm that d had in this window and a second one plus what of
 * epsilon is unused; d becomes 0 in the rest of the second window (Algorithm 3).
 */
export function moveBump(
  x: Float32Array,
  original: Float32Array,
  shape: ImageShape,
  { epsilon, side: wanted, random }: { readonly epsilon: number; readonly side: number; readonly random: Random },
): void {
  const { channels, height, width } = shape;
  const odd = Math.max(3, wanted + 1 - (wanted % 2));
  const side = Math.min(odd, height, width);
  const place = (): Window => ({ top: random.below(height - side + 1), left: random.below(width - side + 1), side });
  const [to, from] = [place(), place()];
  const values = bump(side, random);
  const change = Float64Array.from(x, (value, k) => value - original[k]!);
  const unused = Math.max(0, epsilon ** 2 - squaresOf(change)) / channels;
  for (let channel = 0; channel < channels; channel++) {
    const update = new Float64Array(side * side);
    let own = 0;
    let taken = 0;
    eachOf(from, channel, shape, (k) => {
      taken += change[k]! ** 2;
      change[k]! *= isIn(to, k, shape) ? 1 : 0;
    });
    eachOf(to, channel, shape, (k) => {
      own += change[k]! ** 2;
      taken += isIn(from, k, shape) ? 0 : change[k]! ** 2;
    });
    const sign = random.uniform() < 0.5 ? -1 : 1;
    eachOf(to, channel, shape, (k, i) => {
      update[i] = sign * values[i]! + change[k]! / (1e-10 + Math.sqrt(own));
    });
    const norm = Math.sqrt(squaresOf(update));
    const scale = norm > 0 ? Math.sqrt(unused + taken) / norm : 0;
    eachOf(to, channel, shape, (k, i) => {
      change[k] = scale * update[i]!;
    });
  }
  setChange(x, original, change, epsilon);
}

interface Window {
  readonly top: number;
  readonly left: number;
  readonly side: number;
}

function eachOf({ top, left, side }: Window, channel: number, { height, width }: ImageShape, visit: (k: number, i: number) => void): void {
  for (let y = 0; y < side; y++) {
    for (let column = 0; column < side; column++) visit((channel * height + top + y) * width + left + column, y * side + column);
  }
}

function isIn({ top, left, side }: Window, k: number, { height, width }: ImageShape): boolean {
  const [y, column] = [Math.floor(k / width) % height, k % width];
  return y >= top && y < top + side && column >= left && column < left + side;
}

const squaresOf = (values: Float64Array): number => values.reduce((sum, value) => sum + value * value, 0);

function setChange(x: Float32Array, original: Float32Array, change: Float64Array, epsilon: number): void {
  const norm = Math.sqrt(squaresOf(change));
  const scale = norm > 0 ? epsilon / norm : 0;
  for (let k = 0; k < x.length; k++) x[k] = original[k]! + scale * change[k]!;
  projectOntoBall(x, original, "l2", epsilon);
}

/** Two halves of opposite sign, one above the other or side by side, of unit norm: [side, side]. */
function bump(side: number, random: Random): Float64Array {
  const isAcross = random.uniform() < 0.5;
  const upper = Math.floor(side / 2);
  const halves = [peak(upper, side), peak(side - upper, side)] as const;
  const values = new Float64Array(side * side);
  for (let y = 0; y < side; y++) {
    for (let column = 0; column < side; column++) {
      const value = y < upper ? halves[0][y * side + column]! : -halves[1][(y - upper) * side + column]!;
      values[isAcross ? column * side + y : y * side + column] = value / Math.SQRT2;
    }
  }
  return values;
}

/** Falls with the ring r around the middle as sum_{k > r} 1 / k^2, of unit norm: [height, width] (Eq. 2). */
function peak(height: number, width: number): Float64Array {
  const [middleY, middleX] = [Math.floor(height / 2), Math.floor(width / 2)];
  const rings = Math.max(middleY, middleX) + 1;
  const values = Float64Array.from({ length: height * width }, (_, i) => {
    const ring = Math.max(Math.abs(Math.floor(i / width) - middleY), Math.abs((i % width) - middleX));
    let value = 0;
    for (let k = ring + 1; k <= rings; k++) value += 1 / k ** 2;
    return value;
  });
  const norm = Math.sqrt(squaresOf(values));
  return values.map((value) => value / norm);
}
