import type { Value } from "../../graph/graph.ts";
import type { Op, OpKind, OpOf } from "../../graph/ops.ts";
import { type StaticShape, sameShape, staticDim, staticShape } from "../../graph/types.ts";
import { int, ints, string } from "../emitter.ts";
import type { Lowering } from "./context.ts";
import { canSplitIntoPhases, inputGradientByPhases } from "./input-gradient.ts";
import { plainRules, stepNode } from "./plain.ts";
import { dilatedSum, inWholeBlocks, padBlocked } from "./shortcut.ts";
import { canConvolveForWeights, weightGradientByConvolution } from "./weight-gradient.ts";
import { adjointWeight, blockedWeight, filterShares, sliceShare, swappedWeight } from "./weights.ts";

// The same ops on the CPU's blocked layout, where convolutions run near the machine's limit and everything per channel is a depthwise
// convolution: one pass, on all threads, with a sum and a ReLU for free.

const nchwc = "com.microsoft.nchwc" as const;

/** What a blocked convolution can do on its way out: add another tensor, then take the ReLU. */
export interface Tail {
  readonly sum?: Value;
  readonly relu: boolean;
}

const noTail: Tail = { relu: false };

/** Emits a blocked result, or undefined where the op cannot be had in the blocked layout. */
type BlockedRule<K extends OpKind> = (op: OpOf<K>, value: Value, to: Lowering) => string | undefined;

interface Convolution {
  readonly image: string;
  readonly weight: string;
  readonly bias?: string;
  /** [N, K, H', W'] of the result. */
  readonly shape: StaticShape;
  readonly attributes: { readonly kernel: number; readonly stride: number; readonly padding: number; readonly group: number };
  /** Channels that each filter sees. */
  readonly channels: number;
}

/** One convolution, or several with a share of the filters each where the weight is large. */
function convolve(to: Lowering, { image, weight, bias, shape, attributes, channels }: Convolution, { sum, relu }: Tail): string {
  const { kernel, stride, padding, group } = attributes;
  const filters = shape[1]!;
  const addend = sum && to.blocked(sum);
  const shares = group === 1 ? filterShares(filters, filters * channels * kernel * kernel) : 1;
  const results = Array.from({ length: shares }, (_, share) => {
    const part = (name: string, axis: number) => (shares === 1 ? name : sliceShare(to, name, axis, filters, share, shares));
    const filterPart = shares === 1 ? weight : to.once(`${weight} ${share}/${shares}`, () => part(weight, 0));
    const optional = [
      ...(bias !== undefined || addend !== undefined ? [bias === undefined ? "" : part(bias, 0)] : []),
      ...(addend === undefined ? [] : [part(addend, 1)]),
    ];
    return to.emitter.node(
      "Conv",
      [image, filterPart, ...optional],
      {
        kernel_shape: ints([kernel, kernel]),
        strides: ints([stride, stride]),
        pads: ints(new Array(4).fill(padding)),
        group: int(group),
        ...(relu ? { activation: string("Relu") } : {}),
      },
      nchwc,
    );
  });
  return shares === 1 ? results[0]! : to.emitter.node("Concat", results, { axis: int(1) });
}

/** y = scale_c x + shift_c as a depthwise 1x1 convolution. */
function affine(to: Lowering, x: Value, scale: string, shift: string | undefined, tail: Tail): string {
  const channels = staticDim(x.type.shape[1], "channels");
  const weight = to.reshape(scale, [channels, 1, 1, 1]);
  const attributes = { kernel: 1, stride: 1, padding: 0, group: channels };
  const shape = staticShape(x.type.shape, "affine");
  return convolve(
    to,
    { image: to.blocked(x), weight, shape, channels: 1, attributes, ...(shift === undefined ? {} : { bias: shift }) },
    tail,
  );
}

const isZero = ({ op, inputs }: Value): boolean =>
  op.kind === "constant" ? op.data.every((element) => element === 0) : op.kind === "expand" && isZero(inputs[0]!);

function squareKernel(weight: Value): number | undefined {
  const [, , rows, columns] = weight.type.shape;
  return rows === columns ? (rows as number) : undefined;
}

/** Ops that are one blocked convolution, and may carry a tail. */
const convolutions: { [K in OpKind]?: (op: OpOf<K>, value: Value, to: Lowering, tail: Tail) => string | undefined } = {
  conv2d: ({ stride, padding }, { inputs: [x, weight, bias], type }, to, tail) => {
    const channels = staticDim(x!.type.shape[1], "conv2d");
    const kernel = squareKernel(weight!);
    const isStatic = type.shape.every((dim) => typeof dim === "number");
    if (!isStatic || kernel === undefined || !to.fillsBlocks(staticDim(type.shape[1], "conv2d"))) return undefined;
    if (channels >= to.target.block && !to.fillsBlocks(channels)) return undefined;
    const image = channels < to.target.block ? to.plain(x!) : to.blocked(x!);
    const attributes = { kernel, stride, padding, group: 1 };
    const shape = staticShape(type.shape, "conv2d");
    const arranged = blockedWeight(to, weight!);
    return convolve(to, { image, weight: arranged, shape, channels, attributes, ...(bias ? { bias: to.plain(bias) } : {}) }, tail);
  },
  conv2dInputGradient: ({ stride, padding }, value, to, tail) => {
    const [dy, weight] = value.inputs as [Value, Value];
    const kernel = squareKernel(weight);
    // A padding wider than the kernel would have to cut pixels off dY.
    if (stride !== 1 || kernel === undefined || padding >= kernel || !to.canBlock(value) || !to.canBlock(dy)) return undefined;
    const attributes = { kernel, stride: 1, padding: kernel - 1 - padding, group: 1 };
    const shape = staticShape(value.type.shape, "conv2dInputGradient");
    const filters = staticDim(dy.type.shape[1], "conv2dInputGradient");
    return convolve(to, { image: to.blocked(dy), weight: adjointWeight(to, weight), shape, channels: filters, attributes }, tail);
  },
  channelAffine: (_op, value, to, tail) => {
    const [x, scale, shift] = value.inputs as [Value, Value, Value];
    if (!to.canBlock(value)) return undefined;
    return affine(to, x, to.plain(scale), isZero(shift) ? undefined : to.plain(shift), tail);
  },
  batchNormTraining: ({ epsilon }, value, to, tail) => {
    if (!to.canBlock(value)) return undefined;
    const [gamma, beta, mean, variance] = value.inputs.slice(1).map((input) => to.plain(input)) as [string, string, string, string];
    const { emitter } = to;
    const deviation = emitter.node("Sqrt", [emitter.node("Add", [variance, emitter.constant("float32", [], [epsilon])])]);
    const scale = emitter.node("Div", [gamma, deviation]);
    const shift = emitter.node("Sub", [beta, emitter.node("Mul", [mean, scale])]);
    return affine(to, value.inputs[0]!, scale, shift, tail);
  },
  batchNormInference: (op, value, to, tail) => convolutions.batchNormTraining!({ ...op, kind: "batchNormTraining" }, value, to, tail),
};

/** Elementwise ops of one shape: stay in the blocked layout where an operand is there already. */
function elementwise(value: Value, to: Lowering, emit: (inputs: string[]) => string): string | undefined {
  const whole = value.inputs.filter((x) => x.type.shape.length > 0);
  const fits = to.canBlock(value) && whole.every((x) => sameShape(x.type.shape, value.type.shape)) && whole.some((x) => to.isBlocked(x));
  return fits ? emit(value.inputs.map((x) => (x.type.shape.length > 0 ? to.blocked(x) : to.plain(x)))) : undefined;
}

const others: { [K in OpKind]?: BlockedRule<K> } = {
  conv2dInputGradient: (op, value, to) =>
    canSplitIntoPhases(op, value, to) ? inputGradientByPhases(op, value, to, swappedWeight(to, value.inputs[1]!)) : undefined,
  unary: (op, value, to) => elementwise(value, to, (inputs) => plainRules.unary(op, inputs, to, value)),
  binary: (op, value, to) =>
    (op.fn === "add" ? dilatedSum(value, to) : undefined) ?? elementwise(value, to, (inputs) => plainRules.binary(op, inputs, to, value)),
  reluGradient: (_op, value, to) => elementwise(value, to, ([dy, y]) => to.emitter.node("Mul", [dy!, stepNode(to, y!)])),
  pad: padBlocked,
  slice: (op, value, to) => {
    const x = value.inputs[0]!;
    if (!to.canBlock(value) || !to.canBlock(x) || !to.isBlocked(x)) return undefined;
    const [batch, channels, height, width] = x.type.shape as readonly number[];
    const { start, stop, step } = op;
    const wholeBatch = start[0] === 0 && stop[0] === batch && step[0] === 1;
    const wholePixels = start[2] === 0 && stop[2] === height && start[3] === 0 && stop[3] === width;
    if (!wholeBatch || !wholePixels || step[1] !== 1 || !inWholeBlocks(to, start[1]!, stop[1]!)) return undefined;
    let name = to.blocked(x);
    if (start[1] !== 0 || stop[1] !== channels) {
      name = to.emitter.node("Slice", [name, ...[[start[1]!], [stop[1]!], [1]].map((values) => to.emitter.indices(values))]);
    }
    if (step[2] === 1 && step[3] === 1) return name;
    return to.emitter.node("MaxPool", [name], { kernel_shape: ints([1, 1]), strides: ints([step[2]!, step[3]!]) }, nchwc);
  },
};

/** Ops whose operands are blocked and whose result is not a blocked image. */
const intoPlain: { [K in OpKind]?: BlockedRule<K> } = {
  channelSum: (_op, value, to) => {
    const x = value.inputs[0]!;
    if (!to.canBlock(x) || !to.isBlocked(x)) return undefined;
    const [batch, channels, height, width] = staticShape(x.type.shape, "channelSum") as [number, number, number, number];
    const means = to.reshape(to.emitter.node("GlobalAveragePool", [to.blocked(x)], {}, nchwc), [batch, channels]);
    const total = to.emitter.node("ReduceSum", [means, to.emitter.indices([0])], { keepdims: int(0) });
    return to.emitter.node("Mul", [total, to.emitter.constant("float32", [], [height * width])]);
  },
  // The dot product of two images is a depthwise convolution whose kernel is as large as the image.
  channelDot: (_op, value, to) => {
    const [a, b] = value.inputs as [Value, Value];
    if (!to.canBlock(a) || !(to.isBlocked(a) || to.isBlocked(b))) return undefined;
    const [batch, channels, height, width] = staticShape(a.type.shape, "channelDot") as [number, number, number, number];
    const image = to.reshape(to.blocked(a), [1, batch * channels, height, width]);
    const kernel = to.reshape(to.blocked(b), [batch * channels, 1, height, width]);
    const dots = to.emitter.node("Conv", [image, kernel], { kernel_shape: ints([height, width]), group: int(batch * channels) }, nchwc);
    return to.emitter.node("ReduceSum", [to.reshape(dots, [batch, channels]), to.emitter.indices([0])], { keepdims: int(0) });
  },
  reduce: (op, value, to) => {
    const x = value.inputs[0]!;
    const overPixels = op.fn === "mean" && op.axes.length === 2 && op.axes.includes(2) && op.axes.includes(3);
    if (!overPixels || !to.canBlock(x) || !to.isBlocked(x)) return undefined;
    return to.reshape(to.emitter.node("GlobalAveragePool", [to.blocked(x)], {}, nchwc), staticShape(value.type.shape, "mean"));
  },
  conv2dWeightGradient: (op, value, to) => (canConvolveForWeights(to, value) ? weightGradientByConvolution(op, to, value) : undefined),
};

function apply<K extends OpKind, R>(
  table: { [Kind in OpKind]?: (op: OpOf<Kind>, value: Value, to: Lowering, tail: Tail) => R },
  value: Value,
  to: Lowering,
  tail: Tail,
): R | undefined {
  const op = value.op as OpOf<K>;
  return table[op.kind as K]?.(op, value, to, tail);
}

/** Lowers `value` by way of the blocked layout; false where that cannot be, or is not worth it. */
export function lowerBlocked(value: Value, to: Lowering): boolean {
  if (to.target.block === 0) return false;
  const blocked = apply(convolutions, value, to, noTail) ?? apply(others, value, to, noTail);
  if (blocked !== undefined) {
    to.setBlocked(value, blocked);
    return true;
  }
  const plain = apply(intoPlain, value, to, noTail);
  if (plain !== undefined) to.setPlain(value, plain);
  return plain !== undefined;
}

/** A convolution with the adds and ReLUs after it, as one node: `root` is what it computes, `base` the convolution. */
export interface Fusion extends Tail {
  readonly base: Value;
}

export function lowerFusion(root: Value, { base, ...tail }: Fusion, to: Lowering): boolean {
  const name = apply(convolutions, base, to, tail);
  if (name !== undefined) to.setBlocked(root, name);
  return name !== undefined;
}

export const isConvolution = (op: Op): boolean => op.kind in convolutions;
