import type { Value } from "../../graph/graph.ts";
import type { OpOf } from "../../graph/ops.ts";
import { staticShape } from "../../graph/types.ts";
import { int, ints } from "../emitter.ts";
import type { Lowering } from "./context.ts";

// The weight gradient of a convolution,
//   dW[k, c, r, s] = sum over n, i, j of dY[n, k, i, j] X[n, c, i stride + r - padding, j stride + s - padding],
// in two formulations that give the same numbers up to rounding.

type Op = OpOf<"conv2dWeightGradient">;

const nchwc = "com.microsoft.nchwc" as const;

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

/** A convolution streams its kernel once per 12 outputs; one that does not fit a core's second-level cache halves its speed. */
const cacheBytes = 1 << 20;

/** Into how many bands of rows dY is cut, so that the kernel of one block of images stays in the cache. */
function bandsOf(op: Op, { channels, filters, outHeight, outWidth }: Sizes, block: number): number {
  if (channels < block) return 1;
  const kernelBytes = outHeight * outWidth * block * Math.min(filters, 4 * block) * Float32Array.BYTES_PER_ELEMENT;
  if (kernelBytes <= cacheBytes) return 1;
  // Bands overlap by size - stride rows of X, so that they are no lower than twice that.
  const fits = (bands: number) => outHeight % bands === 0 && outHeight / bands >= 2 * (op.size - op.stride);
  const divisors = Array.from({ length: outHeight }, (_, i) => i + 1).filter(fits);
  return divisors.find((bands) => kernelBytes / bands <= cacheBytes / 2) ?? divisors.at(-1) ?? 1;
}

/**
 * As ONE blocked convolution in which the batch plays the channels, the channels play the pixels and dY is the kernel. With the padded
 * image seen as rows of (j, c) - pixel by pixel, its channels side by side - the kernel of outHeight x outWidth taps, dilated by
 * [stride, stride * C], gives at output row r and output column s C + c exactly dW[., c, r, s]: three rows of 3 C columns, wide enough to
 * fill the registers, with no border to treat apart. Channels come in groups of one block (the layout X already has), which play the batch.
 * Large maps are cut into bands of rows, which play further channels: a sum over rows is a sum over bands of sums over their rows.
 */
export function weightGradientByConvolution(op: Op, to: Lowering, value: Value): string {
  const sizes = sizesOf(value);
  const { batch, channels, filters, outHeight, outWidth } = sizes;
  const { emitter } = to;
  const { block } = to.target;
  const [x, dy] = value.inputs as [Value, Value];
  const group = Math.min(channels, block);
  const groups = channels / group;
  const bands = bandsOf(op, sizes, block);
  const bandHeight = outHeight / bands;

  const image = to.once(`weight-gradient image ${x.id} ${op.size} ${op.stride} ${op.padding} ${bands}`, () => {
    const [rows, columns] = [(bandHeight - 1) * op.stride + op.size, ((outWidth - 1) * op.stride + op.size) * group];
    const grouped = channels < block ? fewChannelsPadded(op, x, sizes, to) : groupsOfBands(op, x, sizes, bands, to);
    const ordered = emitter.node("ReorderInput", [to.reshape(grouped, [groups, batch, bands * rows, columns])], {}, nchwc);
    return to.reshape(ordered, [groups, batch * bands, rows, columns]);
  });

  const pixels = outHeight * outWidth;
  const taps = op.size * op.size;
  // Small weights of large maps are summed per block of images first (a group convolution), which spares dY a rearrangement of whole images.
  const perBlock = taps * channels * 4 <= pixels * block;
  // dY from [N, K / block, pixels, block k] to a kernel [K / block, N / block, pixels, block n, block k] or, per block of images,
  // [N / block, K / block, pixels, block n, block k]: by a reorder that takes the pixels for blocks of channels.
  const kernel = to.once(`weight-gradient kernel ${dy.id} ${perBlock}`, () => {
    const outermost = perBlock ? to.blocked(dy) : filtersOutermost(dy, sizes, to);
    const lines = perBlock ? [batch / block, 1, block, pixels * filters] : [(filters * batch) / block ** 2, 1, block, pixels * block];
    return emitter.node("ReorderInput", [to.reshape(outermost, lines)], { channels_last: int(1) }, nchwc);
  });
  const parts = perBlock ? batch / block : 1;
  const product = emitter.node(
    "Conv",
    [image, to.reshape(kernel, [parts * filters, (batch / parts) * bands, bandHeight, outWidth])],
    { kernel_shape: ints([bandHeight, outWidth]), dilations: ints([op.stride, op.stride * group]), group: int(parts) },
    nchwc,
  );
  const total =
    parts === 1
      ? product
      : emitter.node("ReduceSum", [to.reshape(product, [groups, parts, taps * group * filters]), emitter.indices([1])], {
          keepdims: int(0),
        });
  // [groups, K / block, r s, c, k] -> [K / block, groups, c, r s, k], which is the blocked layout of K filters by C * r s pixels.
  const split = to.reshape(total, [groups, filters / block, taps, group, block]);
  const turned = emitter.node("Transpose", [split], { perm: ints([1, 0, 3, 2, 4]) });
  const flat = to.reshape(turned, [1, filters, channels * taps, 1]);
  return to.reshape(emitter.node("ReorderOutput", [flat], { channels: int(filters) }, nchwc), [filters, channels, op.size, op.size]);
}

function filtersOutermost(dy: Value, { batch, filters, outHeight, outWidth }: Sizes, to: Lowering): string {
  const { block } = to.target;
  const split = to.reshape(to.blocked(dy), [batch, filters / block, outHeight * outWidth * block]);
  return to.emitter.node("Transpose", [split], { perm: ints([1, 0, 2]) });
}

/** X of fewer channels than a block as padded rows [N, H, W * C]. */
function fewChannelsPadded(op: Op, x: Value, { batch, channels, height, width, outHeight, outWidth }: Sizes, to: Lowering): string {
  const { emitter } = to;
  const pixels = channels === 1 ? to.plain(x) : emitter.node("Transpose", [to.plain(x)], { perm: ints([0, 2, 3, 1]) });
  const [bottom, right] = [paddingAfter(op, height, outHeight), paddingAfter(op, width, outWidth)];
  const rows = to.reshape(pixels, [batch, height, width * channels]);
  return emitter.node("Pad", [rows, emitter.indices([0, op.padding, op.padding * channels, 0, bottom, right * channels])]);
}

/** X as padded rows [groups, N, bands, rows of a band, W * block]. */
function groupsOfBands(op: Op, x: Value, sizes: Sizes, bands: number, to: Lowering): string {
  const { batch, channels, height, width, outHeight, outWidth } = sizes;
  const { emitter } = to;
  const { block } = to.target;
  const groups = channels / block;
  const [paddedHeight, paddedWidth] = [(outHeight - 1) * op.stride + op.size, (outWidth - 1) * op.stride + op.size];
  const padded = padPixels(x, op.padding, paddingAfter(op, height, outHeight), paddingAfter(op, width, outWidth), to);
  if (bands === 1) {
    if (groups === 1) return padded;
    const images = to.reshape(padded, [batch, groups, paddedHeight * paddedWidth * block]);
    return emitter.node("Transpose", [images], { perm: ints([1, 0, 2]) });
  }
  const bandHeight = outHeight / bands;
  const rowsOfBand = Array.from({ length: (bandHeight - 1) * op.stride + op.size }, (_, row) => row);
  const order = [...Array(groups).keys()].flatMap((g) =>
    [...Array(batch).keys()].flatMap((n) =>
      [...Array(bands).keys()].flatMap((band) =>
        rowsOfBand.map((row) => (n * groups + g) * paddedHeight + band * bandHeight * op.stride + row),
      ),
    ),
  );
  const rows = to.reshape(padded, [batch * groups * paddedHeight, paddedWidth * block]);
  return emitter.node("Gather", [rows, emitter.indices(order)], { axis: int(0) });
}

/** Zeros around a blocked image as a depthwise 1x1 convolution by ones, which runs on all threads (Pad does not). */
function padPixels(x: Value, before: number, bottom: number, right: number, to: Lowering): string {
  const channels = x.type.shape[1] as number;
  const ones = to.emitter.constant("float32", [channels, 1, 1, 1], new Array(channels).fill(1));
  const attributes = { kernel_shape: ints([1, 1]), pads: ints([before, before, bottom, right]), group: int(channels) };
  return to.emitter.node("Conv", [to.blocked(x), ones], attributes, nchwc);
}
