import { assertInternal, InternalError } from "../core/errors.ts";
import type { Op, OpKind, OpOf, Window } from "./ops.ts";
import { broadcastShapes, type Dim, type DType, type Shape, sameShape, showShape, sizeOf, type TensorType } from "./types.ts";

type ShapeRule<K extends OpKind> = (op: OpOf<K>, inputs: readonly TensorType[]) => TensorType;

const float = (shape: Shape): TensorType => ({ dtype: "float32", shape });

function arity(op: Op, inputs: readonly TensorType[], least: number, most = least): void {
  assertInternal(
    inputs.length >= least && inputs.length <= most,
    `${op.kind}: expected ${least === most ? least : `${least} to ${most}`} inputs, got ${inputs.length}`,
  );
}

function take(op: Op, inputs: readonly TensorType[], index: number, dtype?: DType, rank?: number): TensorType {
  const type = inputs[index];
  assertInternal(type, `${op.kind}: input ${index} is missing`);
  assertInternal(dtype === undefined || type.dtype === dtype, `${op.kind}: input ${index}: expected ${dtype}, got ${type.dtype}`);
  assertInternal(
    rank === undefined || type.shape.length === rank,
    `${op.kind}: input ${index}: expected rank ${rank}, got ${showShape(type.shape)}`,
  );
  return type;
}

/** Some ops work on named axes and leave the others as they are: `axes` says which they need. */
function assertRank(op: Op, { shape }: TensorType, least: number, axes: string): void {
  assertInternal(shape.length >= least, `${op.kind}: expected ${axes}, got ${showShape(shape)}`);
}

function assertWindow({ kind, stride, padding }: Op & Window): void {
  assertInternal(Number.isInteger(stride) && stride >= 1, `${kind}: expected a whole stride of 1 or more, got ${stride}`);
  assertInternal(Number.isInteger(padding) && padding >= 0, `${kind}: expected a whole padding of 0 or more, got ${padding}`);
}

function broadcast(op: Op, a: TensorType, b: TensorType): Shape {
  const shape = broadcastShapes(a.shape, b.shape);
  assertInternal(shape, `${op.kind}: ${showShape(a.shape)} and ${showShape(b.shape)} do not broadcast`);
  return shape;
}

/** floor((size + 2 padding - kernel) / stride) + 1 */
const convolvedSize = (size: number, kernel: number, window: Window): number =>
  Math.floor((size + 2 * window.padding - kernel) / window.stride) + 1;

function fixed(op: Op, dim: Dim | undefined): number {
  if (typeof dim !== "number") throw new InternalError(`${op.kind}: needs a fixed size, got ${dim}`);
  return dim;
}

/** As far as can be said before sizes have their values; one named size in the place of another is what is left. */
function sameCount(a: Shape, b: Shape): boolean {
  const named = (shape: Shape, other: Shape) => shape.filter((dim) => typeof dim === "string" && !other.includes(dim)).length;
  const [onlyInA, onlyInB] = [named(a, b), named(b, a)];
  if (onlyInA !== onlyInB || onlyInA > 1) return false;
  const fixedPart = (shape: Shape) => sizeOf(shape.filter((dim) => typeof dim === "number"));
  return onlyInA === 1 || fixedPart(a) === fixedPart(b);
}

function perChannel(op: Op, inputs: readonly TensorType[], from: number, to: number): void {
  const channels = inputs[0]!.shape[1];
  for (let i = from; i < to; i++) {
    const shape = take(op, inputs, i, "float32", 1).shape;
    assertInternal(shape[0] === channels, `${op.kind}: input ${i}: expected [${channels}], got ${showShape(shape)}`);
  }
}

const channelwise = (count: number) => (op: Op, inputs: readonly TensorType[]) => {
  arity(op, inputs, count);
  const x = take(op, inputs, 0, "float32");
  assertRank(op, x, 2, "[N, C, ...]");
  perChannel(op, inputs, 1, count);
  return x;
};

const shapeRules: { [K in OpKind]: ShapeRule<K> } = {
  input: (op) => ({ dtype: op.dtype, shape: op.shape }),
  parameter: (op) => float(op.shape),
  constant: (op) => {
    assertInternal(
      op.data.length === sizeOf(op.shape),
      `constant: expected ${sizeOf(op.shape)} values for ${showShape(op.shape)}, got ${op.data.length}`,
    );
    return { dtype: op.dtype, shape: op.shape };
  },
  unary: (op, inputs) => {
    arity(op, inputs, 1);
    return take(op, inputs, 0, "float32");
  },
  binary: (op, inputs) => {
    arity(op, inputs, 2);
    return float(broadcast(op, take(op, inputs, 0, "float32"), take(op, inputs, 1, "float32")));
  },
  compare: (op, inputs) => {
    arity(op, inputs, 2);
    const a = take(op, inputs, 0);
    return { dtype: "bool", shape: broadcast(op, a, take(op, inputs, 1, a.dtype)) };
  },
  cast: (op, inputs) => {
    arity(op, inputs, 1);
    return { dtype: op.dtype, shape: take(op, inputs, 0).shape };
  },
  where: (op, inputs) => {
    arity(op, inputs, 3);
    const a = take(op, inputs, 1);
    const b = take(op, inputs, 2, a.dtype);
    return { dtype: a.dtype, shape: broadcast(op, take(op, inputs, 0, "bool"), { dtype: a.dtype, shape: broadcast(op, a, b) }) };
  },
  stopGradient: (op, inputs) => {
    arity(op, inputs, 1);
    return take(op, inputs, 0);
  },
  reshape: (op, inputs) => {
    arity(op, inputs, 1);
    const x = take(op, inputs, 0);
    assertInternal(sameCount(x.shape, op.shape), `reshape: ${showShape(x.shape)} has not as many elements as ${showShape(op.shape)}`);
    return { dtype: x.dtype, shape: op.shape };
  },
  transpose: (op, inputs) => {
    arity(op, inputs, 1);
    const x = take(op, inputs, 0, undefined, op.permutation.length);
    assertInternal(
      [...op.permutation].sort((a, b) => a - b).every((axis, i) => axis === i),
      `transpose: ${op.permutation} is no permutation`,
    );
    return { dtype: x.dtype, shape: op.permutation.map((axis) => x.shape[axis]!) };
  },
  expand: (op, inputs) => {
    arity(op, inputs, 1);
    const x = take(op, inputs, 0);
    const shape = broadcastShapes(x.shape, op.shape);
    assertInternal(shape && sameShape(shape, op.shape), `expand: ${showShape(x.shape)} does not broadcast to ${showShape(op.shape)}`);
    return { dtype: x.dtype, shape: op.shape };
  },
  pad: (op, inputs) => {
    arity(op, inputs, 1);
    const x = take(op, inputs, 0, "float32", op.low.length);
    return float(
      x.shape.map((dim, i) => {
        const [low, high, interior] = [op.low[i]!, op.high[i]!, op.interior[i]!];
        assertInternal(low >= 0 && high >= 0 && interior >= 0, `pad: negative amount on axis ${i}`);
        return low + high + interior === 0 ? dim : low + high + fixed(op, dim) + interior * (fixed(op, dim) - 1);
      }),
    );
  },
  slice: (op, inputs) => {
    arity(op, inputs, 1);
    const x = take(op, inputs, 0, undefined, op.start.length);
    return {
      dtype: x.dtype,
      shape: x.shape.map((dim, i) => {
        const [start, stop, step] = [op.start[i]!, op.stop[i]!, op.step[i]!];
        if (typeof dim === "string") {
          assertInternal(start === 0 && stop === -1 && step === 1, `slice: the named axis ${dim} can only be kept whole (0, -1, 1)`);
          return dim;
        }
        assertInternal(
          0 <= start && start < stop && stop <= dim && step >= 1,
          `slice: ${start}:${stop}:${step} is not inside an axis of ${dim}`,
        );
        return Math.ceil((stop - start) / step);
      }),
    };
  },
  concat: (op, inputs) => {
    assertInternal(inputs.length >= 1, "concat: no inputs");
    const first = take(op, inputs, 0);
    assertInternal(op.axis >= 0 && op.axis < first.shape.length, `concat: expected an axis of ${showShape(first.shape)}, got ${op.axis}`);
    let total = 0;
    for (const [i] of inputs.entries()) {
      const { shape } = take(op, inputs, i, first.dtype, first.shape.length);
      const fits = shape.every((dim, axis) => axis === op.axis || dim === first.shape[axis]);
      assertInternal(fits, `concat: input ${i} ${showShape(shape)} differs from ${showShape(first.shape)} beside axis ${op.axis}`);
      total += fixed(op, shape[op.axis]);
    }
    return { dtype: first.dtype, shape: first.shape.map((dim, axis) => (axis === op.axis ? total : dim)) };
  },
  reverse: (op, inputs) => {
    arity(op, inputs, 1);
    const x = take(op, inputs, 0);
    fixed(op, x.shape[op.axis]);
    return x;
  },
  reduce: (op, inputs) => {
    arity(op, inputs, 1);
    const { shape } = take(op, inputs, 0, "float32");
    assertInternal(
      new Set(op.axes).size === op.axes.length && op.axes.every((axis) => axis >= 0 && axis < shape.length),
      `reduce: expected different axes of ${showShape(shape)}, got ${op.axes}`,
    );
    return float(op.keepDims ? shape.map((dim, i) => (op.axes.includes(i) ? 1 : dim)) : shape.filter((_, i) => !op.axes.includes(i)));
  },
  argMax: (op, inputs) => {
    arity(op, inputs, 1);
    const x = take(op, inputs, 0, "float32");
    assertRank(op, x, 1, "[..., C]");
    return { dtype: "int64", shape: x.shape.slice(0, -1) };
  },
  gather: (op, inputs) => {
    arity(op, inputs, 2);
    const table = take(op, inputs, 0);
    assertRank(op, table, 1, "a table [V, ...]");
    return { dtype: table.dtype, shape: [...take(op, inputs, 1, "int64").shape, ...table.shape.slice(1)] };
  },
  oneHot: (op, inputs) => {
    arity(op, inputs, 1);
    return float([...take(op, inputs, 0, "int64").shape, op.depth]);
  },
  matmul: (op, inputs) => {
    arity(op, inputs, 2);
    const [a, b] = [take(op, inputs, 0, "float32").shape, take(op, inputs, 1, "float32").shape];
    assertInternal(a.length >= 2 && b.length >= 2, `matmul: needs two axes, got ${showShape(a)} and ${showShape(b)}`);
    const [rows, inner] = op.transposeA ? [a.at(-1)!, a.at(-2)!] : [a.at(-2)!, a.at(-1)!];
    const [innerB, columns] = op.transposeB ? [b.at(-1)!, b.at(-2)!] : [b.at(-2)!, b.at(-1)!];
    assertInternal(inner === innerB, `matmul: inner sizes ${inner} and ${innerB} differ`);
    const batch = broadcastShapes(a.slice(0, -2), b.slice(0, -2));
    assertInternal(batch, `matmul: batch axes of ${showShape(a)} and ${showShape(b)} do not broadcast`);
    return float([...batch, rows, columns]);
  },
  logSoftmax: (op, inputs) => {
    arity(op, inputs, 1);
    const x = take(op, inputs, 0, "float32");
    assertRank(op, x, 1, "[..., C]");
    return x;
  },
  conv2d: (op, inputs) => {
    arity(op, inputs, 2, 3);
    assertWindow(op);
    const [x, weight] = [take(op, inputs, 0, "float32", 4).shape, take(op, inputs, 1, "float32", 4).shape];
    assertInternal(x[1] === weight[1], `conv2d: the image has ${x[1]} channels, the weight takes ${weight[1]}`);
    if (inputs[2]) {
      const bias = take(op, inputs, 2, "float32", 1).shape;
      assertInternal(bias[0] === weight[0], `conv2d: expected bias [${weight[0]}], got ${showShape(bias)}`);
    }
    const [height, width] = [2, 3].map((axis) => convolvedSize(fixed(op, x[axis]), fixed(op, weight[axis]), op));
    assertInternal(height! >= 1 && width! >= 1, `conv2d: the kernel is larger than the padded image ${showShape(x)}`);
    return float([x[0]!, weight[0]!, height!, width!]);
  },
  conv2dInputGradient: (op, inputs) => {
    arity(op, inputs, 2);
    assertWindow(op);
    const [dy, weight] = [take(op, inputs, 0, "float32", 4).shape, take(op, inputs, 1, "float32", 4).shape];
    assertInternal(dy[1] === weight[0], `conv2dInputGradient: ${dy[1]} channels against a weight with ${weight[0]}`);
    for (const [axis, size] of [[2, op.height] as const, [3, op.width] as const]) {
      const expected = convolvedSize(size, fixed(op, weight[axis]), op);
      assertInternal(dy[axis] === expected, `conv2dInputGradient: expected size ${expected} on axis ${axis}, got ${dy[axis]}`);
    }
    return float([dy[0]!, weight[1]!, op.height, op.width]);
  },
  conv2dWeightGradient: (op, inputs) => {
    arity(op, inputs, 2);
    assertWindow(op);
    const [x, dy] = [take(op, inputs, 0, "float32", 4).shape, take(op, inputs, 1, "float32", 4).shape];
    assertInternal(x[0] === dy[0], `conv2dWeightGradient: batches ${x[0]} and ${dy[0]} differ`);
    for (const axis of [2, 3]) {
      const expected = convolvedSize(fixed(op, x[axis]), op.size, op);
      assertInternal(dy[axis] === expected, `conv2dWeightGradient: expected size ${expected} on axis ${axis}, got ${dy[axis]}`);
    }
    return float([dy[1]!, x[1]!, op.size, op.size]);
  },
  channelSum: (op, inputs) => {
    arity(op, inputs, 1);
    const x = take(op, inputs, 0, "float32");
    assertRank(op, x, 2, "[N, C, ...]");
    return float([x.shape[1]!]);
  },
  channelDot: (op, inputs) => {
    arity(op, inputs, 2);
    const [a, b] = [take(op, inputs, 0, "float32"), take(op, inputs, 1, "float32")];
    assertRank(op, a, 2, "[N, C, ...]");
    assertInternal(sameShape(a.shape, b.shape), `channelDot: ${showShape(a.shape)} and ${showShape(b.shape)} differ`);
    return float([a.shape[1]!]);
  },
  channelAffine: channelwise(3),
  batchNormTraining: channelwise(5),
  batchNormInference: channelwise(5),
  reluGradient: (op, inputs) => {
    arity(op, inputs, 2);
    const [dy, y] = [take(op, inputs, 0, "float32"), take(op, inputs, 1, "float32")];
    assertInternal(sameShape(dy.shape, y.shape), `reluGradient: ${showShape(dy.shape)} and ${showShape(y.shape)} differ`);
    return dy;
  },
  resizeBilinear: (op, inputs) => {
    arity(op, inputs, 1);
    const { shape } = take(op, inputs, 0, "float32", 4);
    return float([shape[0]!, shape[1]!, op.height, op.width]);
  },
};

/** The type an op gives to its result. Errors: InternalError with what was expected and what came. */
export function inferType<K extends OpKind>(op: OpOf<K>, inputs: readonly TensorType[]): TensorType {
  const rule: ShapeRule<K> = shapeRules[op.kind as K];
  return rule(op, inputs);
}
