/**
 * The weights [to, from] of a bilinear resize on half-pixel centres: a triangle of half-width max(1, from / to) source pixels around
 * (i + 1/2) from/to - 1/2, cut off at the border and normalised - what Pillow, PyTorch and ONNX call antialiased.
 */
export function resizeMatrix(from: number, to: number): number[] {
  const scale = from / to;
  const support = Math.max(1, scale);
  const weights: number[] = [];
  for (let i = 0; i < to; i++) {
    const center = (i + 0.5) * scale - 0.5;
    const row = Array.from({ length: from }, (_, j) => Math.max(0, 1 - Math.abs(j - center) / support));
    const total = row.reduce((a, b) => a + b, 0);
    weights.push(...row.map((weight) => weight / total));
  }
  return weights;
}
