// Orders of samples, made once and used by every metric and every resample.

/** Where stretches of equal values end (exclusive) in `values` taken in `order`. */
export function tieStops(order: Int32Array, values: ArrayLike<number>): Int32Array {
  const stops: number[] = [];
  for (let i = 1; i <= order.length; i++) {
    if (i === order.length || values[order[i]!] !== values[order[i - 1]!]) stops.push(i);
  }
  return Int32Array.from(stops);
}

/** Indices of `values` from the largest to the smallest; equal ones in their own order. */
export const byFalling = (values: ArrayLike<number>): Int32Array =>
  // Compared, not subtracted: the difference of two equal infinities is no number.
  Int32Array.from(values, (_, i) => i).sort((a, b) => (values[b]! > values[a]! ? 1 : values[b]! < values[a]! ? -1 : a - b));

/** The least whole number that is `rate` of `total` or more; a product a rounding error above a whole number is that number. */
export const atLeast = (rate: number, total: number): number => Math.ceil(rate * total - 1e-9 * total);

/** Index of the first of `ascending` that is at least `least`; its length where none is. */
export function firstAtLeast(least: number, ascending: Float64Array): number {
  let [low, high] = [0, ascending.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ascending[middle]! >= least) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** At most `most` of the indices 0 .. count - 1, evenly spaced, the first and the last among them. */
export function thinned(count: number, most: number): number[] {
  if (count <= most) return Array.from({ length: count }, (_, i) => i);
  return Array.from({ length: most }, (_, i) => Math.round((i * (count - 1)) / (most - 1)));
}
