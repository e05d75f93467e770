/** Of a picture that is read, in pixels (a JPEG cannot have more): the matrix that a model resizes by is as long as the side. */
export const longestSide = 65_535;

/** The weights of one target pixel: of the source pixels from `first` on. They add up to 1. */
export interface ResizeRow {
  readonly first: number;
  readonly weights: readonly number[];
}

/**
 * What target pixel `i` of `to` is made of in a bilinear resize from `from` pixels on half-pixel centres: a triangle of half-width
 * max(1, from / to) source pixels around (i + 1/2) from/to - 1/2, cut off at the border and normalised - what Pillow, PyTorch and ONNX
 * call antialiased. Zeros at the ends are left out.
 */
export function resizeRow(from: number, to: number, i: number): ResizeRow {
  const scale = from / to;
  const support = Math.max(1, scale);
  const center = (i + 0.5) * scale - 0.5;
  const first = Math.max(0, Math.floor(center - support) + 1);
  const last = Math.min(from - 1, Math.ceil(center + support) - 1);
  const row = Array.from({ length: last - first + 1 }, (_, j) => Math.max(0, 1 - Math.abs(first + j - center) / support));
  const total = row.reduce((a, b) => a + b, 0);
  return { first, weights: row.map((weight) => weight / total) };
}

/** All rows of `resizeRow` as one matrix [to, from]. */
export function resizeMatrix(from: number, to: number): number[] {
  const matrix = new Array<number>(from * to).fill(0);
  for (let i = 0; i < to; i++) {
    const { first, weights } = resizeRow(from, to, i);
    for (const [j, weight] of weights.entries()) matrix[i * from + first + j] = weight;
  }
  return matrix;
}
