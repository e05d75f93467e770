import type { ImageBatch } from "../classify/classifier.ts";
import { UserError } from "../core/errors.ts";
import { input } from "../graph/build.ts";
import { Graph } from "../graph/graph.ts";
import { preprocess } from "../nn/preprocess.ts";
import { lower, portable } from "../onnx/lower.ts";
import { encodeModel } from "../onnx/model-file.ts";
import { Session, tensor } from "../runtime/session.ts";
import type { ImageShape } from "./distance.ts";

/**
 * Images as the network sees them, float32 [N, channels, size, size] in [0, 1], by the model file's own preprocessing: attacks change
 * these, after resizing, as the paper's do. Errors: UserError when the channels are not the model's.
 */
export async function networkImages(images: ImageBatch, shape: ImageShape): Promise<Float32Array> {
  const { count, height, width, channels, pixels } = images;
  if (channels !== shape.channels) throw new UserError(`images: the model takes ${shape.channels} channel(s), got ${channels}`);
  const graph = new Graph();
  const x = preprocess(input(graph, "images", "uint8", ["N", height, width, channels]), shape.height);
  const session = await Session.create(encodeModel(lower({ x }, { target: portable })), { threads: 1 });
  try {
    const outputs = await session.run({ images: tensor("uint8", pixels, [count, height, width, channels]) });
    // Interpolation weights that add up to 1 only nearly may pass 1 by a rounding error.
    return (outputs["x"]!.data as Float32Array).map((value) => Math.min(1, Math.max(0, value)));
  } finally {
    await session.release();
  }
}
