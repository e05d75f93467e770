// How far an adversarial is from its original, over flattened images in [0, 1].

export const distances = ["l0", "l2", "linf"] as const;
/** l0: pixels changed (a pixel counts once, whatever its channels); l2: Euclidean; linf: largest change of a value. */
export type Distance = (typeof distances)[number];

/** Norms that a perturbation is bounded in. */
export const norms = ["linf", "l2"] as const;
export type Norm = (typeof norms)[number];

export interface ImageShape {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
}

export const sizeOfImage = ({ channels, height, width }: ImageShape): number => channels * height * width;

/** Of each of N images [N, channels, height, width] from its original: [N] per distance. */
export function perturbationSizes(
  originals: Float32Array,
  images: Float32Array,
  shape: ImageShape,
): Readonly<Record<Distance, Float32Array>> {
  const size = sizeOfImage(shape);
  const pixels = shape.height * shape.width;
  const count = images.length / size;
  const sizes = { l0: new Float32Array(count), l2: new Float32Array(count), linf: new Float32Array(count) };
  for (let i = 0; i < count; i++) {
    const base = i * size;
    let squares = 0;
    let largest = 0;
    let changed = 0;
    for (let pixel = 0; pixel < pixels; pixel++) {
      let isChanged = false;
      for (let k = base + pixel; k < base + size; k += pixels) {
        const change = Math.abs(images[k]! - originals[k]!);
        squares += change * change;
        if (change > largest) largest = change;
        if (change > 0) isChanged = true;
      }
      if (isChanged) changed++;
    }
    sizes.l0[i] = changed;
    sizes.l2[i] = Math.sqrt(squares);
    sizes.linf[i] = largest;
  }
  return sizes;
}

/**
 * Takes `x` (one image, changed in place) back into [0, 1] and the ball of radius `epsilon` around `original`.
 * In the L2 norm clipping comes last: it only shortens the perturbation, as the original lies in [0, 1].
 */
export function projectOntoBall(x: Float32Array, original: Float32Array, norm: Norm, epsilon: number): void {
  if (norm === "linf") {
    for (let k = 0; k < x.length; k++) {
      const low = Math.max(0, original[k]! - epsilon);
      const high = Math.min(1, original[k]! + epsilon);
      x[k] = Math.min(high, Math.max(low, x[k]!));
    }
    return;
  }
  let squares = 0;
  for (let k = 0; k < x.length; k++) squares += (x[k]! - original[k]!) ** 2;
  const scale = squares > epsilon * epsilon ? epsilon / Math.sqrt(squares) : 1;
  for (let k = 0; k < x.length; k++) x[k] = Math.min(1, Math.max(0, original[k]! + scale * (x[k]! - original[k]!)));
}

/** Whether a perturbation of this size is within `epsilon` (null: any distance), up to the rounding of float32 arithmetic. */
export const isWithin = (size: number, epsilon: number | null): boolean => epsilon === null || size <= epsilon * (1 + 1e-5) + 1e-6;
