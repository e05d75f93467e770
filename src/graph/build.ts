import type { Graph, Value } from "./graph.ts";
import type { BinaryFn, CompareFn, ReduceFn, UnaryFn, Window } from "./ops.ts";
import { type DType, type Shape, type StaticShape, sameShape, sizeOf, staticShape } from "./types.ts";

// The words graphs are written in: one function per op, and the few compositions that everyone needs.

export const input = (graph: Graph, name: string, dtype: DType, shape: Shape): Value =>
  graph.node({ kind: "input", name, dtype, shape }, []);

/** A weight named by the graph's scope: `parameter(graph, "conv1.weight", ..)` in scope `encoder.stage1` is `encoder.stage1.conv1.weight`. */
export const parameter = (graph: Graph, name: string, shape: StaticShape): Value =>
  graph.node({ kind: "parameter", name: graph.path(name), shape }, []);

export const constant = (graph: Graph, data: readonly number[], shape: StaticShape = [data.length], dtype: DType = "float32"): Value =>
  graph.node({ kind: "constant", dtype, shape, data }, []);

export const scalar = (graph: Graph, value: number): Value => constant(graph, [value], []);

const unary = (fn: UnaryFn) => (x: Value) => x.graph.node({ kind: "unary", fn }, [x]);
export const neg = unary("neg");
export const exp = unary("exp");
export const log = unary("log");
export const sqrt = unary("sqrt");
export const reciprocal = unary("reciprocal");
export const relu = unary("relu");
export const sigmoid = unary("sigmoid");
export const softplus = unary("softplus");
export const step = unary("step");

/** A value, or a number that stands for a scalar constant. */
export type Operand = Value | number;

const binary =
  (fn: BinaryFn) =>
  (a: Operand, b: Operand): Value => {
    const graph = typeof a !== "number" ? a.graph : (b as Value).graph;
    return graph.node({ kind: "binary", fn }, [typeof a === "number" ? scalar(graph, a) : a, typeof b === "number" ? scalar(graph, b) : b]);
  };
export const add = binary("add");
export const sub = binary("sub");
export const mul = binary("mul");
export const div = binary("div");
export const maximum = binary("maximum");
export const minimum = binary("minimum");
export const square = (x: Value): Value => mul(x, x);

const compare = (fn: CompareFn) => (a: Value, b: Value) => a.graph.node({ kind: "compare", fn }, [a, b]);
export const greater = compare("greater");
export const greaterOrEqual = compare("greaterOrEqual");
export const equal = compare("equal");

export const cast = (x: Value, dtype: DType): Value => (x.type.dtype === dtype ? x : x.graph.node({ kind: "cast", dtype }, [x]));
export const where = (condition: Value, a: Value, b: Value): Value => condition.graph.node({ kind: "where" }, [condition, a, b]);
export const stopGradient = (x: Value): Value => x.graph.node({ kind: "stopGradient" }, [x]);

export const reshape = (x: Value, shape: Shape): Value =>
  sameShape(x.type.shape, shape) ? x : x.graph.node({ kind: "reshape", shape }, [x]);
export const transpose = (x: Value, permutation: readonly number[]): Value => x.graph.node({ kind: "transpose", permutation }, [x]);
export const expand = (x: Value, shape: Shape): Value =>
  sameShape(x.type.shape, shape) ? x : x.graph.node({ kind: "expand", shape }, [x]);

/** Zeros: per axis [low, high] around it and `interior` between its elements. Axes not given stay as they are. */
export function pad(x: Value, amounts: Readonly<Record<number, readonly [low: number, high: number, interior?: number]>>): Value {
  const at = (axis: number) => amounts[axis] ?? [0, 0, 0];
  const axes = x.type.shape.map((_, axis) => axis);
  const op = {
    kind: "pad",
    low: axes.map((i) => at(i)[0]),
    high: axes.map((i) => at(i)[1]),
    interior: axes.map((i) => at(i)[2] ?? 0),
  } as const;
  return x.graph.node(op, [x]);
}

/** Per axis [start, stop, step = 1]; axes not given are kept whole. */
export function slice(x: Value, ranges: Readonly<Record<number, readonly [start: number, stop: number, step?: number]>>): Value {
  const { shape } = x.type;
  const whole = (axis: number) => (typeof shape[axis] === "string" ? -1 : (shape[axis] as number));
  const at = (axis: number) => ranges[axis] ?? [0, whole(axis), 1];
  const axes = shape.map((_, axis) => axis);
  const op = {
    kind: "slice",
    start: axes.map((i) => at(i)[0]),
    stop: axes.map((i) => at(i)[1]),
    step: axes.map((i) => at(i)[2] ?? 1),
  } as const;
  return x.graph.node(op, [x]);
}

export const concat = (values: readonly Value[], axis: number): Value => values[0]!.graph.node({ kind: "concat", axis }, values);
export const reverse = (x: Value, axis: number): Value => x.graph.node({ kind: "reverse", axis }, [x]);

const reduce =
  (fn: ReduceFn) =>
  (x: Value, axes: readonly number[] = x.type.shape.map((_, axis) => axis), keepDims = false): Value =>
    x.graph.node({ kind: "reduce", fn, axes: axes.map((axis) => (axis < 0 ? axis + x.type.shape.length : axis)), keepDims }, [x]);
export const sum = reduce("sum");
export const mean = reduce("mean");
export const max = reduce("max");

export const argMax = (x: Value): Value => x.graph.node({ kind: "argMax" }, [x]);
export const gather = (table: Value, indices: Value): Value => table.graph.node({ kind: "gather" }, [table, indices]);
export const oneHot = (indices: Value, depth: number): Value => indices.graph.node({ kind: "oneHot", depth }, [indices]);
export const matmul = (a: Value, b: Value, { transposeA = false, transposeB = false } = {}): Value =>
  a.graph.node({ kind: "matmul", transposeA, transposeB }, [a, b]);
export const logSoftmax = (x: Value): Value => x.graph.node({ kind: "logSoftmax" }, [x]);

export const conv2d = (
  x: Value,
  weight: Value,
  { stride = 1, padding = 0, bias }: Partial<Window> & { readonly bias?: Value } = {},
): Value => x.graph.node({ kind: "conv2d", stride, padding }, bias ? [x, weight, bias] : [x, weight]);

export const channelSum = (x: Value): Value => x.graph.node({ kind: "channelSum" }, [x]);
export const channelDot = (a: Value, b: Value): Value => a.graph.node({ kind: "channelDot" }, [a, b]);
export const channelAffine = (x: Value, scale: Value, shift: Value): Value => x.graph.node({ kind: "channelAffine" }, [x, scale, shift]);
export const resizeBilinear = (x: Value, height: number, width: number): Value =>
  x.graph.node({ kind: "resizeBilinear", height, width }, [x]);

/** Elements per channel of [N, C, ...]: what batch statistics are taken over. */
export function perChannelCount(x: Value): number {
  const shape = staticShape(x.type.shape, "batch statistics");
  return sizeOf(shape) / shape[1]!;
}

/** Mean and (biased) variance of [N, C, ...] per channel: E[x], max(E[x^2] - E[x]^2, 0). */
export function batchStatistics(x: Value): { readonly mean: Value; readonly variance: Value } {
  const count = perChannelCount(x);
  const center = mul(channelSum(x), 1 / count);
  return { mean: center, variance: maximum(sub(mul(channelDot(x, x), 1 / count), square(center)), 0) };
}

export interface NormParameters {
  readonly gamma: Value;
  readonly beta: Value;
  readonly mean: Value;
  readonly variance: Value;
}

/** Batch normalisation by the batch's own statistics; take `mean` and `variance` from `batchStatistics(x)`. */
export const batchNormTraining = (x: Value, { gamma, beta, mean, variance }: NormParameters, epsilon: number): Value =>
  x.graph.node({ kind: "batchNormTraining", epsilon }, [x, gamma, beta, mean, variance]);

/** Batch normalisation by given (running) statistics. */
export const batchNormInference = (x: Value, { gamma, beta, mean, variance }: NormParameters, epsilon: number): Value =>
  x.graph.node({ kind: "batchNormInference", epsilon }, [x, gamma, beta, mean, variance]);
