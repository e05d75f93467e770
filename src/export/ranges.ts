import type { ImageBatch } from "../classify/classifier.ts";
import { InternalError } from "../core/errors.ts";
import type { ModelProto } from "../onnx/generated/onnx_pb.ts";
import { encodeModel, withOutputs } from "../onnx/model-file.ts";
import { Session, tensor } from "../runtime/session.ts";

/** Smallest and largest value that was seen. */
export interface Range {
  readonly low: number;
  readonly high: number;
}

const batchSize = 32;

export interface RangeOptions {
  readonly threads?: number | undefined;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** The ranges of float tensors inside a model over images. Memory: their values for a batch. */
export async function rangesOf(
  model: ModelProto,
  names: ReadonlySet<string>,
  { pixels, count, height, width, channels }: ImageBatch,
  { threads, onProgress }: RangeOptions,
): Promise<Map<string, Range>> {
  const session = await Session.create(encodeModel(withOutputs(model, [...names])), threads === undefined ? {} : { threads });
  const ranges = new Map<string, Range>();
  const perImage = height * width * channels;
  try {
    for (let start = 0; start < count; start += batchSize) {
      const size = Math.min(batchSize, count - start);
      const part = pixels.subarray(start * perImage, (start + size) * perImage);
      const outputs = await session.run({ images: tensor("uint8", part, [size, height, width, channels]) });
      for (const name of names) ranges.set(name, widened(ranges.get(name), outputs[name]!.data as Float32Array));
      onProgress?.(start + size, count);
    }
  } finally {
    await session.release();
  }
  if (ranges.size !== names.size) throw new InternalError("ranges: no images to take them from");
  return ranges;
}

function widened(range: Range | undefined, values: Float32Array): Range {
  let { low, high } = range ?? { low: Number.POSITIVE_INFINITY, high: Number.NEGATIVE_INFINITY };
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return { low, high };
}
