import { InternalError } from "../../core/errors.ts";
import type { Value } from "../../graph/graph.ts";
import type { BinaryFn, CompareFn, OpKind, OpOf, ReduceFn, UnaryFn } from "../../graph/ops.ts";
import { type DType, type Shape, sizeOf, staticDim, staticShape } from "../../graph/types.ts";
import { float, int, ints } from "../emitter.ts";
import { TensorProto_DataType } from "../generated/onnx_pb.ts";
import type { Lowering } from "./context.ts";
import { resize } from "./resize.ts";
import { shortcutByConvolution } from "./shortcut.ts";
import { weightGradientByTaps } from "./weight-gradient.ts";
import { filterShares, sliceShare } from "./weights.ts";

/** Emits a node or a few, from plain inputs to a plain output, and returns the output's name. */
type PlainRule<K extends OpKind> = (op: OpOf<K>, inputs: readonly string[], to: Lowering, value: Value) => string;

const unaryOps: Record<Exclude<UnaryFn, "step">, string> = {
  neg: "Neg",
  exp: "Exp",
  log: "Log",
  sqrt: "Sqrt",
  reciprocal: "Reciprocal",
  relu: "Relu",
  sigmoid: "Sigmoid",
  softplus: "Softplus",
};
const binaryOps: Record<BinaryFn, string> = { add: "Add", sub: "Sub", mul: "Mul", div: "Div", maximum: "Max", minimum: "Min" };
const compareOps: Record<CompareFn, string> = { greater: "Greater", greaterOrEqual: "GreaterOrEqual", equal: "Equal" };
const reduceOps: Record<ReduceFn, string> = { sum: "ReduceSum", mean: "ReduceMean", max: "ReduceMax" };

/** ONNX's number of each element type. */
export const elementTypes: Record<DType, number> = {
  float32: TensorProto_DataType.FLOAT,
  int64: TensorProto_DataType.INT64,
  uint8: TensorProto_DataType.UINT8,
  bool: TensorProto_DataType.BOOL,
};

const inputShape = (value: Value, index = 0): Shape => value.inputs[index]!.type.shape;

/** 1 where x > 0, else 0: clamp(3e38 x, 0, 1), one pass that runs on all threads (Sign and Where do not). */
export const stepNode = (to: Lowering, x: string): string => to.emitter.node("HardSigmoid", [x], { alpha: float(3e38), beta: float(0) });

/** The [C] constants that make BatchNormalization a plain scale and shift. */
function affine(to: Lowering, x: string, scale: string, shift: string, channels: number): string {
  const ones = to.emitter.constant("float32", [channels], new Array(channels).fill(1));
  return to.emitter.node("BatchNormalization", [x, scale, shift, to.zeros([channels]), ones], { epsilon: float(0) });
}

/** A named size may stay where it is (0) or be the one that is worked out (-1). */
function reshapeDims(from: Shape, shape: Shape): number[] {
  const named = shape.filter((dim) => typeof dim === "string").length;
  return shape.map((dim, i) => {
    if (typeof dim === "number") return dim;
    if (from[i] === dim) return 0;
    if (named === 1) return -1;
    throw new InternalError(`lowering: cannot reshape [${from}] to [${shape}]`);
  });
}

/**
 * ONNX Runtime's CPU provider meets a scalar and a tensor [.., 1, 1] element by element (0.6 ms for 65,536 of them, against 0.1 without the last
 * ones): so they are taken off while it does.
 */
function withoutLastOnes(
  inputs: readonly string[],
  to: Lowering,
  { inputs: values, type }: Value,
  emit: (inputs: readonly string[]) => string,
): string {
  const { shape } = type;
  const hasScalar = values.some((operand) => operand.type.shape.length === 0);
  if (!hasScalar || shape.length < 2 || shape.at(-1) !== 1 || !shape.every((dim) => typeof dim === "number")) return emit(inputs);
  const flat = inputs.map((name, i) => (values[i]!.type.shape.length === 0 ? name : to.reshape(name, [sizeOf(shape)])));
  return to.reshape(emit(flat), shape);
}

/** Of a 1x1 convolution: dX = W^T dY at every pixel (ConvTranspose of 256 to 1 channels: 0.90 ms, the product 0.17). */
function pointwiseInputGradient([dy, weight]: readonly string[], to: Lowering, value: Value): string {
  const [batch, filters, height, width] = staticShape(inputShape(value), "input gradient") as [number, number, number, number];
  const channels = value.type.shape[1] as number;
  const turned = to.emitter.node("Transpose", [to.reshape(weight!, [filters, channels])], { perm: ints([1, 0]) });
  const product = to.emitter.node("MatMul", [turned, to.reshape(dy!, [batch, filters, height * width])]);
  return to.reshape(product, [batch, channels, height, width]);
}

/**
 * [.., 1, 1] -> [.., H, W], as the gradient of a mean over pixels asks for, by a product [.., 1] x [1, H W] with ones: Expand runs on one thread and
 * element by element ([128, 256, 4, 4]: 0.93 ms against 0.06).
 */
function expandLast({ shape }: OpOf<"expand">, x: string, to: Lowering, value: Value): string | undefined {
  const from = inputShape(value);
  const axis = shape.findIndex((dim, i) => dim !== from[i]);
  if (to.target.provider !== "cpu" || axis < 1 || from.length !== shape.length || from.slice(axis).some((dim) => dim !== 1))
    return undefined;
  const [outer, inner] = [shape.slice(0, axis), shape.slice(axis)].map((dims) => sizeOf(staticShape(dims, "expand"))) as [number, number];
  const ones = to.emitter.constant("float32", [1, inner], new Array(inner).fill(1));
  return to.reshape(to.emitter.node("MatMul", [to.reshape(x, [outer, 1]), ones]), staticShape(shape, "expand"));
}

export const plainRules: { [K in OpKind]: PlainRule<K> } = {
  input: (op) => op.name,
  parameter: (op) => op.name,
  constant: (op, _inputs, to) => to.emitter.constant(op.dtype, op.shape, op.data),
  unary: (op, [x], to) => (op.fn === "step" ? stepNode(to, x!) : to.emitter.node(unaryOps[op.fn], [x!])),
  binary: (op, inputs, to, value) => withoutLastOnes(inputs, to, value, (operands) => to.emitter.node(binaryOps[op.fn], operands)),
  compare: (op, inputs, to) => to.emitter.node(compareOps[op.fn], inputs),
  cast: (op, inputs, to) => to.emitter.node("Cast", inputs, { to: int(elementTypes[op.dtype]) }),
  where: (_op, inputs, to) => to.emitter.node("Where", inputs),
  stopGradient: (_op, [x]) => x!,
  reshape: (op, [x], to, value) => to.emitter.node("Reshape", [x!, to.emitter.indices(reshapeDims(inputShape(value), op.shape))]),
  transpose: (op, inputs, to) => to.emitter.node("Transpose", inputs, { perm: ints(op.permutation) }),
  expand: (op, [x], to, value) =>
    expandLast(op, x!, to, value) ?? to.emitter.node("Expand", [x!, to.emitter.indices(staticShape(op.shape, "expand"))]),
  pad: (op, [x], to, value) => {
    const shortcut = shortcutByConvolution(op, value, to);
    if (shortcut !== undefined) return shortcut;
    let name = x!;
    const dilated = [...inputShape(value)];
    // Between the elements: see each element as [1], pad it to [interior + 1], and see the rows as one again.
    op.interior.forEach((interior, axis) => {
      if (interior === 0) return;
      const dims = dilated.map((dim) => staticDim(dim, "pad"));
      const [before, size, after] = [sizeOf(dims.slice(0, axis)), dims[axis]!, sizeOf(dims.slice(axis + 1))];
      const amounts = to.emitter.indices([0, 0, 0, interior * after]);
      name = to.emitter.node("Pad", [to.reshape(name, [before * size, after]), amounts]);
      dilated[axis] = size * (interior + 1);
      name = to.reshape(
        name,
        dilated.map((dim) => staticDim(dim, "pad")),
      );
    });
    // The last element came with `interior` zeros too many.
    const high = op.high.map((amount, i) => amount - op.interior[i]!);
    if ([...op.low, ...high].every((amount) => amount === 0)) return name;
    return to.emitter.node("Pad", [name, to.emitter.indices([...op.low, ...high])]);
  },
  slice: (op, [x], to, value) => {
    const axes = inputShape(value).flatMap((dim, i) =>
      op.start[i] === 0 && (op.stop[i] === dim || op.stop[i] === -1) && op.step[i] === 1 ? [] : [i],
    );
    const pick = (values: readonly number[]) => to.emitter.indices(axes.map((axis) => values[axis]!));
    return axes.length === 0 ? x! : to.emitter.node("Slice", [x!, pick(op.start), pick(op.stop), to.emitter.indices(axes), pick(op.step)]);
  },
  concat: (op, inputs, to) => to.emitter.node("Concat", inputs, { axis: int(op.axis) }),
  // From the last element down to the one before the first, which counted from the end is -size - 1.
  reverse: ({ axis }, [x], to, value) => {
    const size = staticDim(inputShape(value)[axis], "reverse");
    return to.emitter.node("Slice", [x!, ...[size - 1, -size - 1, axis, -1].map((index) => to.emitter.indices([index]))]);
  },
  // ONNX takes no axes for all axes.
  reduce: (op, [x], to) =>
    op.axes.length === 0
      ? x!
      : to.emitter.node(reduceOps[op.fn], [x!, to.emitter.indices(op.axes)], { keepdims: int(op.keepDims ? 1 : 0) }),
  argMax: (_op, inputs, to) => to.emitter.node("ArgMax", inputs, { axis: int(-1), keepdims: int(0) }),
  gather: (_op, inputs, to) => to.emitter.node("Gather", inputs, { axis: int(0) }),
  oneHot: (op, [indices], to) =>
    to.emitter.node("OneHot", [indices!, to.emitter.constant("int64", [], [op.depth]), to.emitter.constant("float32", [2], [0, 1])]),
  matmul: (op, [a, b], to, value) => {
    if (!op.transposeA && !op.transposeB) return to.emitter.node("MatMul", [a!, b!]);
    if (to.target.provider === "cpu" && to.target.block > 0) {
      return to.emitter.node(
        "FusedMatMul",
        [a!, b!],
        { transA: int(Number(op.transposeA)), transB: int(Number(op.transposeB)) },
        "com.microsoft",
      );
    }
    const turned = (name: string, rank: number) =>
      to.emitter.node("Transpose", [name], { perm: ints([...Array(rank - 2).keys(), rank - 1, rank - 2]) });
    return to.emitter.node("MatMul", [
      op.transposeA ? turned(a!, inputShape(value, 0).length) : a!,
      op.transposeB ? turned(b!, inputShape(value, 1).length) : b!,
    ]);
  },
  logSoftmax: (_op, inputs, to) => to.emitter.node("LogSoftmax", inputs, { axis: int(-1) }),
  conv2d: (op, [x, weight, bias], to, value) => {
    const [filters, ...rest] = staticShape(inputShape(value, 1), "conv2d") as [number, ...number[]];
    const shares = to.target.provider === "cpu" ? filterShares(filters, filters * sizeOf(rest)) : 1;
    const results = Array.from({ length: shares }, (_, share) => {
      const ofShare = [weight!, ...(bias ? [bias] : [])].map((name) =>
        shares === 1 ? name : to.once(`${name} ${share}/${shares}`, () => sliceShare(to, name, 0, filters, share, shares)),
      );
      return to.emitter.node("Conv", [x!, ...ofShare], {
        strides: ints([op.stride, op.stride]),
        pads: ints(new Array(4).fill(op.padding)),
      });
    });
    return shares === 1 ? results[0]! : to.emitter.node("Concat", results, { axis: int(1) });
  },
  conv2dInputGradient: (op, inputs, to, value) => {
    const [dy, weight] = [inputShape(value, 0), inputShape(value, 1)];
    if (op.stride === 1 && op.padding === 0 && weight[2] === 1 && weight[3] === 1) return pointwiseInputGradient(inputs, to, value);
    // What the forward convolution left over at the bottom and the right gets rows and columns of its own.
    const leftover = ([axis, size]: readonly [number, number]) =>
      size - ((staticDim(dy[axis], "conv") - 1) * op.stride + staticDim(weight[axis], "conv") - 2 * op.padding);
    return to.emitter.node("ConvTranspose", inputs, {
      strides: ints([op.stride, op.stride]),
      pads: ints(new Array(4).fill(op.padding)),
      output_padding: ints([leftover([2, op.height]), leftover([3, op.width])]),
    });
  },
  conv2dWeightGradient: (op, [x, dy], to, value) => weightGradientByTaps(op, x!, dy!, to, value),
  channelSum: (_op, [x], to, value) =>
    to.emitter.node("ReduceSum", [x!, to.emitter.indices(inputShape(value).flatMap((_, i) => (i === 1 ? [] : [i])))], { keepdims: int(0) }),
  channelDot: (_op, [a, b], to, value) => {
    const axes = to.emitter.indices(inputShape(value).flatMap((_, i) => (i === 1 ? [] : [i])));
    return to.emitter.node("ReduceSum", [to.emitter.node("Mul", [a!, b!]), axes], { keepdims: int(0) });
  },
  channelAffine: (_op, [x, scale, shift], to, value) => affine(to, x!, scale!, shift!, staticDim(value.type.shape[1], "channelAffine")),
  batchNormTraining: (op, inputs, to) => to.emitter.node("BatchNormalization", inputs, { epsilon: float(op.epsilon) }),
  batchNormInference: (op, inputs, to) => to.emitter.node("BatchNormalization", inputs, { epsilon: float(op.epsilon) }),
  reluGradient: (_op, [dy, y], to) => to.emitter.node("Mul", [dy!, stepNode(to, y!)]),
  resizeBilinear: (op, [x], to, value) => resize(to, x!, inputShape(value), op.height, op.width),
};
