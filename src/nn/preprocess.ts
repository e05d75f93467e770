import { cast, mul, resizeBilinear, transpose } from "../graph/build.ts";
import type { Value } from "../graph/graph.ts";

/**
 * The one preprocessing of training and use: uint8 images [N, H, W, channels] -> float32 [N, channels, size, size] in [0, 1],
 * by antialiased bilinear resizing where the size differs (paper, B.1; no normalisation).
 */
export function preprocess(images: Value, size: number): Value {
  const scaled = mul(cast(transpose(images, [0, 3, 1, 2]), "float32"), 1 / 255);
  const [, , height, width] = scaled.type.shape;
  return height === size && width === size ? scaled : resizeBilinear(scaled, size, size);
}
