import type { Value } from "../../graph/graph.ts";
import type { OpOf } from "../../graph/ops.ts";
import { staticShape } from "../../graph/types.ts";
import { int, ints } from "../emitter.ts";
import type { Lowering } from "./context.ts";

// The weight gradient of a convolution,
//   dW[k, c, r, s] = sum over n, i, j of dY[n, k, i, j] X[n, c, i stride + r - padding, j stride + s - padding],
// in two formulations that give the same numbers up to rounding.

type Op = OpOf<"conv2dWeightGradient">;

interface Sizes {
  readonly batch: number;
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  readonly filters: number;
  readonly outHeight: number;
  readonly outWidth: number;
}

function sizesOf(value: Value): Sizes {
  const [batch, channels, height, width] = staticShape(value.inputs[0]!.type.shape, "weight gradient") as [number, number, number, number];
  const [, filters, outHeight, outWidth] = staticShape(value.inputs[1]!.type.shape, "weight gradient") as [number, number, number, number];
  return { batch, channels, height, width, filters, outHeight, outWidth };
}

/** Zeros to add at the bottom (or right), after `padding` at the top, so that `size` kernel positions fit exactly; may be negative. */
const paddingAfter = (op: Op, size: number, outSize: number): number => (outSize - 1) * op.stride + op.size - size - op.padding;

/** For any provider: per kernel position one strided slice and one batched product dY X^T, summed over the batch. */
export function weightGradientByTaps(op: Op, x: string, dy: string, to: Lowering, value: Value): string {
  const { batch, channels, height, width, filters, outHeight, outWidth } = sizesOf(value);
  const { emitter } = to;
  const pixels = outHeight * outWidth;
  const [bottom, right] = [paddingAfter(op, height, outHeight), paddingAfter(op, width, outWidth)];
  const padded = emitter.node("Pad", [x, emitter.indices([0, 0, op.padding, op.padding, 0, 0, bottom, right])]);
  const rows = to.reshape(dy, [batch, filters, pixels]);
  const taps: string[] = [];
  for (let r = 0; r < op.size; r++) {
    for (let s = 0; s < op.size; s++) {
      const stop = emitter.indices([r + (outHeight - 1) * op.stride + 1, s + (outWidth - 1) * op.stride + 1]);
      const seen = emitter.node("Slice", [
        padded,
        emitter.indices([r, s]),
        stop,
        emitter.indices([2, 3]),
        emitter.indices([op.stride, op.stride]),
      ]);
      const columns = emitter.node("Transpose", [to.reshape(seen, [batch, channels, pixels])], { perm: ints([0, 2, 1]) });
      const product = emitter.node("MatMul", [rows, columns]);
      taps.push(to.reshape(emitter.node("ReduceSum", [product, emitter.indices([0])], { keepdims: int(0) }), [filters, channels, 1]));
    }
  }
  return to.reshape(emitter.node("Concat", taps, { axis: int(2) }), [filters, channels, op.size, op.size]);
}

/** Whether the formulation below fits: whole blocks of images and filters; channels in whole blocks, or fewer than a block. */
export function canConvolveForWeights(to: Lowering, value: Value): boolean {
  const { batch, channels, filters, width, height } = sizesOf(value);
  const { block } = to.target;
  return to.fillsBlocks(batch) && to.fillsBlocks(filters) && (channels < block || channels % block === 0) && width > 1 && height > 1;
}

/**
 * As ONE blocked convolution in which the batch plays the channels, the channels play the pixels and dY is the kernel. With the padded
 * image seen as rows of (j, c) - pixel by pixel, its channels side by side - the kernel of outHeight x outWidth taps, dilated by
 * [stride, stride * C], gives at output row r and output column s C + c exactly dW[., c, r, s]: three rows of 3 C columns, wide enough to
 * fill the registers, with no border to treat apart. Channels come in groups of one block (the layout X already has), which play the batch.
 */
export function weightGradientByConvolution(op: Op, to: Lowering, value: Value): string {
  const { batch, channels, height, width, filters, outHeight, outWidth } = sizesOf(value);
  const { emitter } = to;
  const { block } = to.target;
  const [x, dy] = value.inputs as [Value, Value];
  const group = Math.min(channels, block);
  const groups = channels / group;
  const [paddedHeight, paddedWidth] = [(outHeight - 1) * op.stride + op.size, (outWidth - 1) * op.stride + op.size];

  // X as [N, groups, H, W * group], padded, then groups first, then blocks of images: [groups, N / block, H, W * group, block].
  const image = to.once(`weight-gradient image ${x.id} ${op.size} ${op.stride} ${op.padding}`, () => {
    const pixelMajor =
      channels < block && channels > 1 ? emitter.node("Transpose", [to.plain(x)], { perm: ints([0, 2, 3, 1]) }) : undefined;
    const source = pixelMajor ?? (channels < block ? to.plain(x) : to.blocked(x));
    const [bottom, right] = [paddingAfter(op, height, outHeight), paddingAfter(op, width, outWidth)];
    const rows = to.reshape(source, [batch * groups, height, width * group]);
    const padded = emitter.node("Pad", [rows, emitter.indices([0, op.padding, op.padding * group, 0, bottom, right * group])]);
    const grouped =
      groups === 1
        ? padded
        : emitter.node("Transpose", [to.reshape(padded, [batch, groups, paddedHeight * paddedWidth * group])], { perm: ints([1, 0, 2]) });
    return emitter.node(
      "ReorderInput",
      [to.reshape(grouped, [groups, batch, paddedHeight, paddedWidth * group])],
      {},
      "com.microsoft.nchwc",
    );
  });

  // dY from [N / block, block n, K / block, pixels, block k] to a kernel [K / block, N / block, pixels, block n, block k].
  const kernel = to.once(`weight-gradient kernel ${dy.id}`, () => {
    const split = to.reshape(to.blocked(dy), [batch / block, block, filters / block, outHeight * outWidth, block]);
    return to.reshape(emitter.node("Transpose", [split], { perm: ints([2, 0, 3, 1, 4]) }), [filters, batch, outHeight, outWidth]);
  });

  const product = emitter.node(
    "Conv",
    [image, kernel],
    { kernel_shape: ints([outHeight, outWidth]), dilations: ints([op.stride, op.stride * group]) },
    "com.microsoft.nchwc",
  );
  // [groups, K / block, r s, c, k] -> [K / block, groups, c, r s, k], which is the blocked layout of K filters by C * r s pixels.
  const taps = op.size * op.size;
  const split = to.reshape(product, [groups, filters / block, taps, group, block]);
  const filtersOutermost = emitter.node("Transpose", [split], { perm: ints([1, 0, 3, 2, 4]) });
  const flat = to.reshape(filtersOutermost, [1, filters, channels * taps, 1]);
  return to.reshape(emitter.node("ReorderOutput", [flat], { channels: int(filters) }, "com.microsoft.nchwc"), [
    filters,
    channels,
    op.size,
    op.size,
  ]);
}
