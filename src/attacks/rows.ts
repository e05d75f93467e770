// Samples as rows of a matrix, and the rows that an attack still works on.

/** Row i of a matrix with rows of `width`, not copied. */
export const row = (matrix: Float32Array, width: number, i: number): Float32Array => matrix.subarray(i * width, (i + 1) * width);

/** The rows named, copied one after another. */
export function takeRows(matrix: Float32Array, width: number, rows: ArrayLike<number>): Float32Array {
  const taken = new Float32Array(rows.length * width);
  for (let i = 0; i < rows.length; i++) taken.set(row(matrix, width, rows[i]!), i * width);
  return taken;
}

export const indices = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

/** 0 .. count - 1 in runs of at most `length`. */
export const slices = (count: number, length: number): number[][] =>
  Array.from({ length: Math.ceil(count / length) }, (_, i) => indices(Math.min(length, count - i * length)).map((at) => i * length + at));
