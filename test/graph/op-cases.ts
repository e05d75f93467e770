import type { Random } from "../../src/core/random.ts";
import * as b from "../../src/graph/build.ts";
import type { Graph, Value } from "../../src/graph/graph.ts";
import type { OpKind } from "../../src/graph/ops.ts";

/** A small graph around one op. Its float parameters are what gradients are checked by. */
export interface OpCase {
  readonly what: string;
  readonly build: (graph: Graph) => Value;
  /** How the parameters are drawn; default: standard normal. */
  readonly draw?: (random: Random) => number;
  /** Not differentiable where it matters, or integer-valued: only the values are checked. */
  readonly valuesOnly?: boolean;
  /** Where large numbers cancel at inputs of 1000, -1000 or 0: the units in which 1e-4 is the largest error. Default 1. */
  readonly extremeUnits?: { readonly value: number; readonly gradient: number };
}

const p = (graph: Graph, name: string, ...shape: number[]) => b.parameter(graph, name, shape);
const positive = (random: Random) => 0.5 + random.uniform();

type Size = number | readonly [height: number, width: number];

function conv(batch: number, channels: number, filters: number, size: Size, kernel: number, stride: number, padding = kernel >> 1): OpCase {
  const [height, width] = typeof size === "number" ? [size, size] : size;
  return {
    what: `[${batch}, ${channels}, ${height}, ${width}] -> ${filters}, kernel ${kernel}, stride ${stride}, padding ${padding}`,
    build: (g) => b.conv2d(p(g, "x", batch, channels, height, width), p(g, "w", filters, channels, kernel, kernel), { stride, padding }),
  };
}

/**
 * Every formulation of lowering: whole blocks and not, few channels, both strides, odd sizes, a batch of whole blocks and not; and images that
 * are not square, in which rows taken for columns do not go unnoticed.
 */
const convolutions: OpCase[] = [
  conv(16, 16, 32, 6, 3, 1),
  conv(16, 32, 16, 6, 3, 2),
  conv(16, 16, 32, 8, 5, 2),
  conv(16, 1, 16, 8, 3, 1),
  conv(16, 3, 16, 5, 3, 1),
  conv(16, 32, 32, 4, 1, 1),
  conv(16, 16, 16, 5, 1, 2),
  conv(16, 16, 32, 7, 3, 2),
  conv(3, 16, 16, 5, 3, 1),
  conv(2, 5, 7, 6, 3, 2),
  conv(2, 16, 1, 4, 1, 1),
  conv(16, 16, 32, [6, 4], 3, 1),
  conv(16, 32, 16, [4, 6], 3, 2),
  conv(16, 16, 16, [6, 2], 4, 2, 1),
  conv(16, 16, 16, [5, 4], 3, 1, 0),
  conv(16, 16, 16, [4, 3], 3, 1, 2),
  conv(16, 16, 16, [3, 2], 1, 1, 1),
  conv(16, 3, 16, [4, 6], 3, 2),
  conv(16, 5, 16, [3, 4], 3, 1),
  conv(3, 24, 16, [3, 4], 3, 1),
  conv(16, 16, 32, 1, 1, 1),
];

const upstream = ({ type, graph }: Value, name: string) => b.parameter(graph, name, type.shape as readonly number[]);

/** The gradient op inside the gradient of a convolution, by the op itself. */
const withKind =
  (kind: "conv2dInputGradient" | "conv2dWeightGradient") =>
  ({ what, build }: OpCase): OpCase => ({
    what,
    build: (g) => {
      const y = build(g);
      const { stride, padding } = y.op as { stride: number; padding: number };
      const [x, w] = y.inputs as [Value, Value];
      const [, , height, width] = x.type.shape as readonly number[];
      const dy = upstream(y, "dy");
      return kind === "conv2dInputGradient"
        ? g.node({ kind, stride, padding, height: height!, width: width! }, [dy, w])
        : g.node({ kind, stride, padding, size: w.type.shape[2] as number }, [x, dy]);
    },
  });

const images: readonly (readonly number[])[] = [
  [16, 16, 4, 4],
  [2, 16, 3, 5],
  [4, 3],
];

const perChannel = (build: (x: Value, ...channel: Value[]) => Value, count: number, draw?: (random: Random) => number): OpCase[] =>
  images.map((shape) => ({
    what: `[${shape}]`,
    build: (g) => {
      const names = ["a", "b", "c", "d"].slice(0, count);
      return build(p(g, "x", ...shape), ...names.map((name) => p(g, name, shape[1]!)));
    },
    ...(draw ? { draw } : {}),
  }));

/** A case or more for every kind of op: one without does not compile. */
export const opCases: { readonly [K in OpKind]: readonly OpCase[] } = {
  input: [{ what: "float", build: (g) => b.mul(b.input(g, "x", "float32", [2, 3]), p(g, "y", 2, 3)) }],
  parameter: [{ what: "by itself", build: (g) => p(g, "x", 2, 3) }],
  constant: [{ what: "added", build: (g) => b.add(p(g, "x", 2, 2), b.constant(g, [1, 2, 3, 4], [2, 2])) }],
  unary: [
    ...([b.neg, b.exp, b.relu, b.sigmoid, b.softplus] as const).map((f, i) => ({
      what: ["neg", "exp", "relu", "sigmoid", "softplus"][i]!,
      build: (g: Graph) => f(p(g, "x", 3, 4)),
    })),
    ...([b.log, b.sqrt, b.reciprocal] as const).map((f, i) => ({
      what: ["log", "sqrt", "reciprocal"][i]!,
      build: (g: Graph) => f(p(g, "x", 3, 4)),
      draw: positive,
    })),
    { what: "step", build: (g) => b.mul(b.step(p(g, "x", 3, 4)), p(g, "y", 3, 4)) },
  ],
  binary: [
    ...([b.add, b.sub, b.mul, b.div, b.maximum, b.minimum] as const).map((f, i) => ({
      what: ["add", "sub", "mul", "div", "maximum", "minimum"][i]!,
      build: (g: Graph) => f(p(g, "x", 3, 4), p(g, "y", 3, 4)),
      draw: positive,
    })),
    { what: "broadcast from the left", build: (g) => b.mul(p(g, "x", 4), p(g, "y", 2, 3, 4)) },
    { what: "broadcast inside", build: (g) => b.div(p(g, "x", 2, 1, 4), p(g, "y", 3, 1)), draw: positive },
    { what: "with a number", build: (g) => b.sub(1, p(g, "x", 3)) },
    { what: "of [.., 1, 1] with a number", build: (g) => b.sub(1, b.mul(p(g, "x", 3, 4, 1, 1), p(g, "y"))) },
  ],
  compare: [
    ...([b.greater, b.greaterOrEqual, b.equal] as const).map((f, i) => ({
      what: ["greater", "greaterOrEqual", "equal"][i]!,
      build: (g: Graph) => f(p(g, "x", 4, 3), p(g, "y", 4, 3)),
      draw: (random: Random) => random.below(3),
      valuesOnly: true,
    })),
  ],
  cast: [
    ...(["int64", "bool"] as const).map((dtype) => ({
      what: `float to ${dtype}`,
      build: (g: Graph) => b.cast(p(g, "x", 6), dtype),
      draw: (random: Random) => random.below(5) / 2 - 1,
      valuesOnly: true,
    })),
    { what: "int64 to float", build: (g) => b.cast(b.constant(g, [-3, 0, 70_000], [3], "int64"), "float32"), valuesOnly: true },
    { what: "bool to float", build: (g) => b.cast(b.greater(p(g, "x", 5), p(g, "y", 5)), "float32"), valuesOnly: true },
    { what: "uint8 to float", build: (g) => b.cast(b.constant(g, [0, 7, 255], [3], "uint8"), "float32"), valuesOnly: true },
  ],
  where: [
    { what: "both branches", build: (g) => b.where(b.greater(p(g, "x", 6), b.scalar(g, 0)), p(g, "y", 6), p(g, "z", 6)) },
    { what: "broadcast", build: (g) => b.where(b.greater(p(g, "x", 2, 1), b.scalar(g, 0)), p(g, "y", 3), p(g, "z", 4, 1, 1)) },
  ],
  stopGradient: [
    { what: "beside a path with gradient", build: (g) => b.mul(b.stopGradient(p(g, "x", 3)), p(g, "y", 3)), valuesOnly: true },
  ],
  reshape: [{ what: "two axes to three", build: (g) => b.reshape(p(g, "x", 6, 4), [2, 3, 4]) }],
  transpose: [{ what: "three axes", build: (g) => b.transpose(p(g, "x", 2, 3, 4), [2, 0, 1]) }],
  expand: [
    { what: "two axes", build: (g) => b.expand(p(g, "x", 1, 3, 1), [4, 2, 3, 2].slice(1)) },
    { what: "the last axes", build: (g) => b.expand(p(g, "x", 3, 2, 1, 1), [3, 2, 4, 5]) },
  ],
  pad: [
    { what: "around", build: (g) => b.pad(p(g, "x", 2, 3), { 0: [1, 0], 1: [2, 1] }) },
    { what: "between", build: (g) => b.pad(p(g, "x", 2, 3), { 0: [0, 1, 1], 1: [1, 0, 2] }) },
    {
      what: "images, every second pixel",
      build: (g) => b.pad(b.relu(conv(16, 16, 16, [3, 2], 3, 1).build(g)), { 2: [0, 1, 1], 3: [0, 1, 1] }),
    },
    { what: "images, whole blocks of channels", build: (g) => b.pad(b.relu(conv(16, 16, 16, 3, 3, 1).build(g)), { 1: [16, 32] }) },
  ],
  slice: [
    { what: "with steps", build: (g) => b.slice(p(g, "x", 5, 6), { 0: [1, 5, 2], 1: [0, 6, 3] }) },
    {
      what: "images, every second pixel",
      build: (g) => b.slice(b.relu(conv(16, 16, 16, [5, 4], 3, 1).build(g)), { 2: [0, 5, 2], 3: [0, 4, 2] }),
    },
    {
      what: "images, every second row",
      build: (g) => b.slice(b.relu(conv(16, 16, 16, [4, 3], 3, 1).build(g)), { 2: [0, 4, 2] }),
    },
    {
      what: "images, every second pixel, zeros before and after the channels",
      build: (g) => b.pad(b.slice(b.relu(conv(16, 16, 32, [5, 4], 3, 1).build(g)), { 2: [0, 5, 2], 3: [0, 4, 2] }), { 1: [16, 32] }),
    },
    { what: "images, a block of channels", build: (g) => b.slice(b.relu(conv(16, 16, 48, 3, 3, 1).build(g)), { 1: [16, 32] }) },
    { what: "images, part of a block", build: (g) => b.slice(b.relu(conv(16, 16, 16, 3, 3, 1).build(g)), { 1: [3, 9], 2: [1, 3] }) },
  ],
  concat: [{ what: "three along the middle", build: (g) => b.concat([p(g, "x", 2, 1, 3), p(g, "y", 2, 2, 3), p(g, "z", 2, 1, 3)], 1) }],
  reverse: [
    { what: "the last axis", build: (g) => b.reverse(p(g, "x", 2, 3, 4), 2) },
    { what: "in the middle", build: (g) => b.reverse(p(g, "x", 2, 3, 4), 1) },
  ],
  reduce: [
    ...([b.sum, b.mean, b.max] as const).flatMap((f, i) => [
      { what: `${["sum", "mean", "max"][i]} of all`, build: (g: Graph) => f(p(g, "x", 3, 4)) },
      { what: `${["sum", "mean", "max"][i]} along one axis, kept`, build: (g: Graph) => f(p(g, "x", 3, 4, 2), [1], true) },
      { what: `${["sum", "mean", "max"][i]} along no axis`, build: (g: Graph) => f(p(g, "x", 3, 4), []) },
      { what: `${["sum", "mean", "max"][i]} along two axes`, build: (g: Graph) => f(p(g, "x", 3, 4, 2), [0, 2]) },
    ]),
    { what: "mean over the pixels of a blocked image", build: (g) => b.mean(b.relu(conv(16, 16, 16, [4, 3], 3, 1).build(g)), [2, 3]) },
  ],
  argMax: [
    { what: "last axis", build: (g) => b.argMax(p(g, "x", 7, 5)), valuesOnly: true },
    { what: "the first of equals", build: (g) => b.argMax(p(g, "x", 9, 4)), draw: (random) => random.below(2), valuesOnly: true },
  ],
  gather: [
    { what: "rows, some twice", build: (g) => b.gather(p(g, "x", 4, 3), b.constant(g, [2, 0, 2, 3, 1, 0], [2, 3], "int64")) },
    { what: "numbers", build: (g) => b.gather(p(g, "x", 4), b.constant(g, [3, 3, 0], [3], "int64")) },
    {
      what: "whole numbers",
      build: (g) => b.gather(b.constant(g, [7, -8, 9], [3], "int64"), b.constant(g, [2, 1], [2], "int64")),
      valuesOnly: true,
    },
  ],
  oneHot: [{ what: "of labels", build: (g) => b.oneHot(b.constant(g, [2, 0, 1], [3], "int64"), 4), valuesOnly: true }],
  matmul: [
    ...[false, true].flatMap((transposeA) =>
      [false, true].map((transposeB) => ({
        what: `A${transposeA ? "^T" : ""} B${transposeB ? "^T" : ""}, batched`,
        build: (g: Graph) =>
          b.matmul(p(g, "x", 2, ...(transposeA ? [4, 3] : [3, 4])), p(g, "y", 2, ...(transposeB ? [5, 4] : [4, 5])), {
            transposeA,
            transposeB,
          }),
      })),
    ),
    { what: "one matrix against a batch", build: (g) => b.matmul(p(g, "x", 3, 4), p(g, "y", 5, 4, 2)) },
  ],
  logSoftmax: [{ what: "rows", build: (g) => b.logSoftmax(p(g, "x", 4, 6)) }],
  conv2d: [
    ...convolutions,
    {
      what: "with bias, blocked",
      build: (g) => b.conv2d(p(g, "x", 16, 16, 4, 4), p(g, "w", 16, 16, 3, 3), { padding: 1, bias: p(g, "bias", 16) }),
    },
    {
      what: "with bias, plain",
      build: (g) => b.conv2d(p(g, "x", 2, 3, 4, 4), p(g, "w", 5, 3, 3, 3), { padding: 1, bias: p(g, "bias", 5) }),
    },
    {
      what: "a kernel that is not square, with a ReLU after it",
      build: (g) => b.relu(b.conv2d(p(g, "x", 2, 16, 4, 5), p(g, "w", 16, 16, 3, 1))),
      valuesOnly: true,
    },
  ],
  conv2dInputGradient: convolutions.map(withKind("conv2dInputGradient")),
  conv2dWeightGradient: convolutions.map(withKind("conv2dWeightGradient")),
  channelSum: [
    ...perChannel((x) => b.channelSum(x), 0),
    { what: "of a blocked image", build: (g) => b.channelSum(b.relu(conv(16, 16, 32, [5, 4], 3, 1).build(g))) },
  ],
  channelDot: [
    ...images.map((shape) => ({ what: `[${shape}]`, build: (g: Graph) => b.channelDot(p(g, "x", ...shape), p(g, "y", ...shape)) })),
    {
      what: "of blocked images",
      build: (g) => {
        const y = b.relu(conv(16, 16, 32, [5, 4], 3, 1).build(g));
        return b.channelDot(y, upstream(y, "z"));
      },
    },
  ],
  channelAffine: perChannel((x, scale, shift) => b.channelAffine(x, scale!, shift!), 2),
  batchNormTraining: images.map((shape) => ({
    what: `[${shape}]`,
    build: (g) => {
      const x = p(g, "x", ...shape);
      return b.batchNormTraining(x, { gamma: p(g, "gamma", shape[1]!), beta: p(g, "beta", shape[1]!), ...b.batchStatistics(x) }, 1e-5);
    },
    // No variance at all, so r = 1 / sqrt(1e-5), while x, gamma and dy are 1000. In the value one rounding of the mean is multiplied by gamma r:
    // 1000 * 2^-24 * 1000 r = 19. In the gradient B should be 0 and is a rounding of the mean of dy x times gamma r^3, 1.9e9; then B x + C
    // cancels but for a rounding of B x, 1.1e5 (gamma r dy, which is what it is added to, is 3e8).
    extremeUnits: { value: 1e6, gradient: 4e9 },
  })),
  batchNormInference: perChannel(
    (x, gamma, beta, mean, variance) => b.batchNormInference(x, { gamma: gamma!, beta: beta!, mean: mean!, variance: variance! }, 1e-5),
    4,
    positive,
  ),
  reluGradient: images.map((shape) => ({
    what: `[${shape}]`,
    build: (g) => g.node({ kind: "reluGradient" }, [p(g, "dy", ...shape), b.stopGradient(p(g, "y", ...shape))]),
  })),
  resizeBilinear: [
    { what: "larger", build: (g) => b.resizeBilinear(p(g, "x", 2, 1, 5, 4), 8, 7) },
    { what: "smaller, antialiased", build: (g) => b.resizeBilinear(p(g, "x", 1, 2, 9, 11), 4, 3) },
    { what: "the same size", build: (g) => b.resizeBilinear(p(g, "x", 1, 2, 4, 4), 4, 4) },
  ],
};
