import { assertInternal, InternalError } from "../core/errors.ts";
import { resizeMatrix } from "../core/resize.ts";
import { reachable, type Value } from "./graph.ts";
import type { BinaryFn, CompareFn, OpKind, OpOf, UnaryFn } from "./ops.ts";
import { type Shape, type StaticShape, sameShape, showShape, sizeOf } from "./types.ts";

/** A tensor of the reference evaluator. Every dtype is held as float64: bool as 0 and 1, int64 exactly up to 2^53. */
export interface Reference {
  readonly shape: StaticShape;
  readonly data: Float64Array;
}

/** `shape` is the result's, with named sizes filled in. */
type ReferenceRule<K extends OpKind> = (op: OpOf<K>, inputs: readonly Reference[], shape: StaticShape) => Reference;

const make = (shape: StaticShape, at: (index: number) => number): Reference => ({
  shape,
  data: Float64Array.from({ length: sizeOf(shape) }, (_, i) => at(i)),
});

/** Row-major steps of each axis. */
function strides(shape: StaticShape): number[] {
  const result: number[] = new Array(shape.length).fill(1);
  for (let i = shape.length - 2; i >= 0; i--) result[i] = result[i + 1]! * shape[i + 1]!;
  return result;
}

/** For each element of `shape` in order: sum over axes of coordinate * step. */
function offsets(shape: StaticShape, steps: readonly number[], start = 0): Int32Array {
  const result = new Int32Array(sizeOf(shape));
  const coordinate = shape.map(() => 0);
  let offset = start;
  for (let i = 0; i < result.length; i++) {
    result[i] = offset;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      offset += steps[axis]!;
      if (++coordinate[axis]! < shape[axis]!) break;
      offset -= steps[axis]! * shape[axis]!;
      coordinate[axis] = 0;
    }
  }
  return result;
}

/** Steps that read a tensor of shape `from` as if it had been broadcast to `to`. */
function broadcastSteps(from: StaticShape, to: StaticShape): number[] {
  const own = strides(from);
  const extra = to.length - from.length;
  return to.map((_, i) => (i < extra || from[i - extra] === 1 ? 0 : own[i - extra]!));
}

function elementwise(inputs: readonly Reference[], shape: StaticShape, compute: (...operands: number[]) => number): Reference {
  const reads = inputs.map((x) => offsets(shape, broadcastSteps(x.shape, shape)));
  return make(shape, (i) => compute(...inputs.map((x, k) => x.data[reads[k]![i]!]!)));
}

const unaryFunctions: Record<UnaryFn, (x: number) => number> = {
  neg: (x) => -x,
  exp: Math.exp,
  log: Math.log,
  sqrt: Math.sqrt,
  reciprocal: (x) => 1 / x,
  relu: (x) => Math.max(x, 0),
  sigmoid: (x) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x))),
  softplus: (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))),
  step: (x) => (x > 0 ? 1 : 0),
};

const binaryFunctions: Record<BinaryFn, (a: number, b: number) => number> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  maximum: Math.max,
  minimum: Math.min,
};

const compareFunctions: Record<CompareFn, (a: number, b: number) => boolean> = {
  greater: (a, b) => a > b,
  greaterOrEqual: (a, b) => a >= b,
  equal: (a, b) => a === b,
};

/** Channel of each element of [N, C, ...]. */
const channelOf = (shape: StaticShape): ((index: number) => number) => {
  const inner = sizeOf(shape.slice(2));
  return (index) => Math.floor(index / inner) % shape[1]!;
};

function channelTotals(shape: StaticShape, at: (index: number) => number): Reference {
  const totals = new Float64Array(shape[1]!);
  const channel = channelOf(shape);
  for (let i = 0; i < sizeOf(shape); i++) totals[channel(i)]! += at(i);
  return { shape: [shape[1]!], data: totals };
}

function normalise(epsilon: number, [x, gamma, beta, mean, variance]: readonly Reference[]): Reference {
  const channel = channelOf(x!.shape);
  return make(x!.shape, (i) => {
    const c = channel(i);
    return (gamma!.data[c]! * (x!.data[i]! - mean!.data[c]!)) / Math.sqrt(variance!.data[c]! + epsilon) + beta!.data[c]!;
  });
}

/** Calls `visit(x index, weight index, y index)` for every product of a convolution y = x * weight. */
function forEachProduct(
  x: StaticShape,
  weight: StaticShape,
  y: StaticShape,
  { stride, padding }: { readonly stride: number; readonly padding: number },
  visit: (xAt: number, weightAt: number, yAt: number) => void,
): void {
  const [batch, channels, height, width] = x as [number, number, number, number];
  const [filters, , rows, columns] = weight as [number, number, number, number];
  const [, , outHeight, outWidth] = y as [number, number, number, number];
  for (let n = 0; n < batch; n++)
    for (let k = 0; k < filters; k++)
      for (let c = 0; c < channels; c++)
        for (let r = 0; r < rows; r++)
          for (let s = 0; s < columns; s++)
            for (let i = 0; i < outHeight; i++) {
              const row = i * stride + r - padding;
              if (row < 0 || row >= height) continue;
              for (let j = 0; j < outWidth; j++) {
                const column = j * stride + s - padding;
                if (column < 0 || column >= width) continue;
                visit(
                  ((n * channels + c) * height + row) * width + column,
                  ((k * channels + c) * rows + r) * columns + s,
                  ((n * filters + k) * outHeight + i) * outWidth + j,
                );
              }
            }
}

const referenceRules: { [K in OpKind]: ReferenceRule<K> } = {
  input: (op) => {
    throw new InternalError(`evaluate: no value was given for input "${op.name}"`);
  },
  parameter: (op) => {
    throw new InternalError(`evaluate: no value was given for parameter "${op.name}"`);
  },
  constant: (op) => ({ shape: op.shape, data: Float64Array.from(op.data) }),
  unary: (op, inputs, shape) => elementwise(inputs, shape, unaryFunctions[op.fn]),
  binary: (op, inputs, shape) => elementwise(inputs, shape, binaryFunctions[op.fn] as (...operands: number[]) => number),
  compare: (op, inputs, shape) => elementwise(inputs, shape, (a, b) => Number(compareFunctions[op.fn](a!, b!))),
  cast: (op, [x]) =>
    make(x!.shape, (i) =>
      op.dtype === "float32" ? x!.data[i]! : op.dtype === "bool" ? Number(x!.data[i] !== 0) : Math.trunc(x!.data[i]!),
    ),
  where: (_op, inputs, shape) => elementwise(inputs, shape, (condition, a, b) => (condition ? a! : b!)),
  stopGradient: (_op, [x]) => x!,
  reshape: (_op, [x], shape) => ({ shape, data: x!.data }),
  transpose: (op, [x], shape) => {
    const own = strides(x!.shape);
    const reads = offsets(
      shape,
      op.permutation.map((axis) => own[axis]!),
    );
    return make(shape, (i) => x!.data[reads[i]!]!);
  },
  expand: (_op, inputs, shape) => elementwise(inputs, shape, (x) => x!),
  pad: (op, [x], shape) => {
    const own = strides(shape);
    const writes = offsets(
      x!.shape,
      own.map((stride, i) => stride * (op.interior[i]! + 1)),
      own.reduce((start, stride, i) => start + stride * op.low[i]!, 0),
    );
    const data = new Float64Array(sizeOf(shape));
    writes.forEach((to, from) => {
      data[to] = x!.data[from]!;
    });
    return { shape, data };
  },
  slice: (op, [x], shape) => {
    const own = strides(x!.shape);
    const start = own.reduce((total, stride, i) => total + stride * op.start[i]!, 0);
    const reads = offsets(
      shape,
      own.map((stride, i) => stride * op.step[i]!),
      start,
    );
    return make(shape, (i) => x!.data[reads[i]!]!);
  },
  concat: (op, inputs, shape) => {
    const data = new Float64Array(sizeOf(shape));
    const own = strides(shape);
    let start = 0;
    for (const x of inputs) {
      offsets(x.shape, own, start).forEach((to, from) => {
        data[to] = x.data[from]!;
      });
      start += x.shape[op.axis]! * own[op.axis]!;
    }
    return { shape, data };
  },
  reverse: ({ axis }, [x], shape) => {
    const own = strides(shape);
    const steps = own.map((stride, i) => (i === axis ? -stride : stride));
    const reads = offsets(shape, steps, (shape[axis]! - 1) * own[axis]!);
    return make(shape, (i) => x!.data[reads[i]!]!);
  },
  reduce: (op, [x], shape) => {
    const kept = x!.shape.map((dim, i) => (op.axes.includes(i) ? 1 : dim));
    const writes = offsets(x!.shape, broadcastSteps(kept, x!.shape));
    const data = new Float64Array(sizeOf(shape)).fill(op.fn === "max" ? -Infinity : 0);
    writes.forEach((to, from) => {
      data[to] = op.fn === "max" ? Math.max(data[to]!, x!.data[from]!) : data[to]! + x!.data[from]!;
    });
    const count = op.fn === "mean" ? x!.data.length / data.length : 1;
    return { shape, data: data.map((total) => total / count) };
  },
  argMax: (_op, [x], shape) => {
    const width = x!.shape.at(-1)!;
    return make(shape, (i) => {
      const row = x!.data.subarray(i * width, (i + 1) * width);
      return row.reduce((best, value, j) => (value > row[best]! ? j : best), 0);
    });
  },
  gather: (_op, [table, indices], shape) => {
    const width = sizeOf(table!.shape.slice(1));
    return make(shape, (i) => table!.data[indices!.data[Math.floor(i / width)]! * width + (i % width)]!);
  },
  oneHot: (op, [indices], shape) => make(shape, (i) => Number(indices!.data[Math.floor(i / op.depth)] === i % op.depth)),
  matmul: (op, [a, b], shape) => {
    const batch = shape.slice(0, -2);
    const [rows, columns] = [shape.at(-2)!, shape.at(-1)!];
    const inner = op.transposeA ? a!.shape.at(-2)! : a!.shape.at(-1)!;
    const readsA = offsets(batch, broadcastSteps(a!.shape.slice(0, -2), batch));
    const readsB = offsets(batch, broadcastSteps(b!.shape.slice(0, -2), batch));
    const [rowA, innerA] = op.transposeA ? [1, rows] : [inner, 1];
    const [innerB, columnB] = op.transposeB ? [1, inner] : [columns, 1];
    return make(shape, (index) => {
      const group = Math.floor(index / (rows * columns));
      const [i, j] = [Math.floor(index / columns) % rows, index % columns];
      let total = 0;
      for (let k = 0; k < inner; k++) {
        total +=
          a!.data[readsA[group]! * rows * inner + i * rowA + k * innerA]! *
          b!.data[readsB[group]! * inner * columns + k * innerB + j * columnB]!;
      }
      return total;
    });
  },
  logSoftmax: (_op, [x], shape) => {
    const width = shape.at(-1)!;
    const data = new Float64Array(x!.data.length);
    for (let start = 0; start < data.length; start += width) {
      const row = x!.data.subarray(start, start + width);
      const largest = row.reduce((a, b) => Math.max(a, b));
      const logTotal = largest + Math.log(row.reduce((total, value) => total + Math.exp(value - largest), 0));
      data.set(
        row.map((value) => value - logTotal),
        start,
      );
    }
    return { shape, data };
  },
  conv2d: (op, [x, weight, bias], shape) => {
    const channel = channelOf(shape);
    const data = Float64Array.from({ length: sizeOf(shape) }, (_, i) => bias?.data[channel(i)] ?? 0);
    forEachProduct(x!.shape, weight!.shape, shape, op, (xAt, weightAt, yAt) => {
      data[yAt]! += x!.data[xAt]! * weight!.data[weightAt]!;
    });
    return { shape, data };
  },
  conv2dInputGradient: (op, [dy, weight], shape) => {
    const data = new Float64Array(sizeOf(shape));
    forEachProduct(shape, weight!.shape, dy!.shape, op, (xAt, weightAt, yAt) => {
      data[xAt]! += dy!.data[yAt]! * weight!.data[weightAt]!;
    });
    return { shape, data };
  },
  conv2dWeightGradient: (op, [x, dy], shape) => {
    const data = new Float64Array(sizeOf(shape));
    forEachProduct(x!.shape, shape, dy!.shape, op, (xAt, weightAt, yAt) => {
      data[weightAt]! += x!.data[xAt]! * dy!.data[yAt]!;
    });
    return { shape, data };
  },
  channelSum: (_op, [x]) => channelTotals(x!.shape, (i) => x!.data[i]!),
  channelDot: (_op, [a, b]) => channelTotals(a!.shape, (i) => a!.data[i]! * b!.data[i]!),
  channelAffine: (_op, [x, scale, shift]) => {
    const channel = channelOf(x!.shape);
    return make(x!.shape, (i) => scale!.data[channel(i)]! * x!.data[i]! + shift!.data[channel(i)]!);
  },
  batchNormTraining: (op, inputs) => normalise(op.epsilon, inputs),
  batchNormInference: (op, inputs) => normalise(op.epsilon, inputs),
  reluGradient: (_op, [dy, y]) => make(dy!.shape, (i) => (y!.data[i]! > 0 ? dy!.data[i]! : 0)),
  resizeBilinear: (op, [x], shape) => {
    const [height, width] = [x!.shape[2]!, x!.shape[3]!];
    const rows = resizeMatrix(height, op.height);
    const columns = resizeMatrix(width, op.width);
    return make(shape, (index) => {
      const [image, i, j] = [Math.floor(index / (op.height * op.width)), Math.floor(index / op.width) % op.height, index % op.width];
      let total = 0;
      for (let r = 0; r < height; r++) {
        const rowWeight = rows[i * height + r]!;
        if (rowWeight === 0) continue;
        for (let c = 0; c < width; c++) total += rowWeight * columns[j * width + c]! * x!.data[(image * height + r) * width + c]!;
      }
      return total;
    });
  },
};

function apply<K extends OpKind>(op: OpOf<K>, inputs: readonly Reference[], shape: StaticShape): Reference {
  const rule: ReferenceRule<K> = referenceRules[op.kind as K];
  return rule(op, inputs, shape);
}

/**
 * Evaluates a graph in float64 with plain loops: the reference every lowering is tested against.
 * `feeds`: a tensor per input and parameter name; named sizes take their numbers from there.
 * Errors: InternalError for a missing feed or one whose shape does not fit.
 */
export function evaluate(outputs: readonly Value[], feeds: ReadonlyMap<string, Reference>): Reference[] {
  const sizes = new Map<string, number>();
  const resolve = (shape: Shape): StaticShape =>
    shape.map((dim) => {
      const size = typeof dim === "number" ? dim : sizes.get(dim);
      assertInternal(size !== undefined, `evaluate: the size "${dim}" is not known from any fed input`);
      return size;
    });
  const found = new Map<Value, Reference>();
  for (const value of reachable(outputs)) {
    const fed = "name" in value.op ? feeds.get(value.op.name) : undefined;
    if (fed) {
      value.type.shape.forEach((dim, i) => {
        if (typeof dim === "string" && !sizes.has(dim)) sizes.set(dim, fed.shape[i]!);
      });
      const expected = resolve(value.type.shape);
      if (!sameShape(expected, fed.shape) || fed.data.length !== sizeOf(expected)) {
        throw new InternalError(
          `evaluate: ${value.name}: expected ${showShape(expected)}, got ${showShape(fed.shape)} with ${fed.data.length} values`,
        );
      }
      found.set(value, fed);
    } else {
      found.set(
        value,
        apply(
          value.op,
          value.inputs.map((x) => found.get(x)!),
          resolve(value.type.shape),
        ),
      );
    }
  }
  return outputs.map((output) => found.get(output)!);
}
