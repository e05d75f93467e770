import type { Value } from "../../graph/graph.ts";
import type { OpOf } from "../../graph/ops.ts";
import { sameShape, staticShape } from "../../graph/types.ts";
import { ints } from "../emitter.ts";
import type { Lowering } from "./context.ts";
import { canSplitIntoPhases, inputGradientByPhases } from "./input-gradient.ts";
import { swappedWeight } from "./weights.ts";

// What a ResNet's parameter-free shortcut is made of, in the blocked layout: every second pixel, zeros for new channels, and back.

const nchwc = "com.microsoft.nchwc" as const;

/** Moves no channel across a block: amounts along the channel axis are whole blocks. */
export const inWholeBlocks = (to: Lowering, ...amounts: readonly number[]): boolean => amounts.every((amount) => to.fillsBlocks(amount));

const isEvery = (amounts: readonly number[], expected: readonly number[]): boolean => amounts.every((amount, i) => amount === expected[i]);

/** Zeros for new channels and nothing else. */
const addsChannelsOnly = ({ low, high, interior }: OpOf<"pad">): boolean =>
  low.length === 4 && isEvery(interior, [0, 0, 0, 0]) && [0, 2, 3].every((axis) => low[axis] === 0 && high[axis] === 0);

/**
 * In standard operators: every second pixel with zeros for new channels, as a 1x1 convolution with a selection matrix; undefined for any other
 * padding. ONNX Runtime blocks a convolution (and adds to it on its way out) but neither Slice nor Pad.
 */
export function shortcutByConvolution(op: OpOf<"pad">, value: Value, to: Lowering): string | undefined {
  const sampled = value.inputs[0]!;
  const image = sampled.inputs[0];
  const stride = image && wholeImageStride(sampled, image);
  if (stride === undefined || to.target.provider !== "cpu" || !addsChannelsOnly(op)) return undefined;
  const [channels, filters] = [sampled.type.shape[1] as number, value.type.shape[1] as number];
  const selection = new Array<number>(filters * channels).fill(0);
  for (let c = 0; c < channels; c++) selection[(c + op.low[1]!) * channels + c] = 1;
  const weight = to.emitter.constant("float32", [filters, channels, 1, 1], selection);
  return to.emitter.node("Conv", [to.plain(image!), weight], { kernel_shape: ints([1, 1]), strides: ints([stride, stride]) });
}

/** The stride of a slice that takes every stride-th pixel of all rows and columns, of all images and channels. */
function wholeImageStride({ op }: Value, image: Value): number | undefined {
  if (op.kind !== "slice" || image.type.shape.length !== 4) return undefined;
  const { start, stop, step } = op;
  // A named size is sliced whole, which is written -1.
  const isWhole = image.type.shape.every((dim, axis) => start[axis] === 0 && (stop[axis] === dim || stop[axis] === -1));
  return isWhole && step[0] === 1 && step[1] === 1 && step[2] === step[3] ? step[2] : undefined;
}

/** Zeros for new channels, or a zero after every pixel of every row and column; undefined for any other padding. */
export function padBlocked(op: OpOf<"pad">, value: Value, to: Lowering): string | undefined {
  const x = value.inputs[0]!;
  if (!to.canBlock(value) || !to.canBlock(x) || !to.isBlocked(x)) return undefined;
  if (isDilation(op)) return dilate(x, to);
  const { low, high } = op;
  return addsChannelsOnly(op) && inWholeBlocks(to, low[1]!, high[1]!) ? addChannels(low[1]!, x, value, to) : undefined;
}

/** The inverse of taking every second pixel: [N, C, H, W] -> [N, C, 2 H, 2 W]. */
const isDilation = ({ low, high, interior }: OpOf<"pad">): boolean =>
  isEvery(low, [0, 0, 0, 0]) && isEvery(high, [0, 0, 1, 1]) && isEvery(interior, [0, 0, 1, 1]);

function dilate(x: Value, to: Lowering): string {
  const { block } = to.target;
  const [batch, channels, height, width] = staticShape(x.type.shape, "pad") as [number, number, number, number];
  const rowCount = (batch * channels * height) / block;
  const columns = to.emitter.node("Pad", [to.reshape(to.blocked(x), [rowCount * width, block]), to.emitter.indices([0, 0, 0, block])]);
  const rowLength = 2 * width * block;
  const rows = to.emitter.node("Pad", [to.reshape(columns, [rowCount, rowLength]), to.emitter.indices([0, 0, 0, rowLength])]);
  return to.reshape(rows, [batch, channels, 2 * height, 2 * width]);
}

/**
 * Zeros before and after the channels, as a 1x1 convolution with a selection matrix, which runs on all threads (Pad does not); where x is every
 * second pixel of an image, straight from that image with a stride.
 */
function addChannels(before: number, x: Value, value: Value, to: Lowering): string {
  const { block } = to.target;
  const [channels, filters] = [x.type.shape[1] as number, value.type.shape[1] as number];
  const { image, stride } = sampled(x, to);
  // [filters / b, channels / b, 1, b of channels, b of filters]
  const selection = new Array<number>(filters * channels).fill(0);
  for (let c = 0; c < channels; c++) {
    const k = c + before;
    const at = (Math.floor(k / block) * (channels / block) + Math.floor(c / block)) * block * block;
    selection[at + (c % block) * block + (k % block)] = 1;
  }
  const weight = to.emitter.constant("float32", [filters, channels, 1, 1], selection);
  return to.emitter.node("Conv", [to.blocked(image), weight], { kernel_shape: ints([1, 1]), strides: ints([stride, stride]) }, nchwc);
}

function sampled(x: Value, to: Lowering): { readonly image: Value; readonly stride: number } {
  const image = x.inputs[0];
  const stride = image && to.isBlocked(image) ? wholeImageStride(x, image) : undefined;
  return image && stride !== undefined ? { image, stride } : { image: x, stride: 1 };
}

/** The gradient of a block's input: the stride-2 convolution's, with the dilated gradient of the shortcut as a sum on the way out. */
export function dilatedSum(value: Value, to: Lowering): string | undefined {
  for (const [gradient, dilated] of [value.inputs, [...value.inputs].reverse()] as [Value, Value][]) {
    const { op } = gradient;
    if (op.kind !== "conv2dInputGradient" || dilated.op.kind !== "pad" || !isDilation(dilated.op)) continue;
    if (sameShape(gradient.type.shape, dilated.type.shape) && canSplitIntoPhases(op, gradient, to))
      return inputGradientByPhases(op, gradient, to, swappedWeight(to, gradient.inputs[1]!), dilated.inputs[0]!);
  }
  return undefined;
}
