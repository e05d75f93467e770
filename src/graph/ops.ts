import type { DType, Shape, StaticShape } from "./types.ts";

export type UnaryFn =
  | "neg"
  | "exp"
  | "log"
  | "sqrt"
  | "reciprocal"
  | "relu"
  | "sigmoid"
  | "softplus"
  /** 1 where x > 0, else 0. */
  | "step";
export type BinaryFn = "add" | "sub" | "mul" | "div" | "maximum" | "minimum";
export type CompareFn = "greater" | "greaterOrEqual" | "equal";
export type ReduceFn = "sum" | "mean" | "max";

export interface Window {
  readonly stride: number;
  /** Zeros added on each of the four sides. */
  readonly padding: number;
}

/**
 * Every op of the IR. Each makes one tensor; the tables of shapes.ts, gradients.ts, reference.ts and onnx/lowering
 * are typed over `kind`, so that an op that lacks one of them does not compile.
 * Axes: N batch, C or K channels, H and W rows and columns.
 */
export type Op =
  /** Fed at each run. */
  | { readonly kind: "input"; readonly name: string; readonly dtype: DType; readonly shape: Shape }
  /** A weight or a piece of state: fed at each run in training, an initializer of the model file in inference. */
  | { readonly kind: "parameter"; readonly name: string; readonly shape: StaticShape }
  | { readonly kind: "constant"; readonly dtype: DType; readonly shape: StaticShape; readonly data: readonly number[] }
  | { readonly kind: "unary"; readonly fn: UnaryFn }
  | { readonly kind: "binary"; readonly fn: BinaryFn }
  | { readonly kind: "compare"; readonly fn: CompareFn }
  | { readonly kind: "cast"; readonly dtype: DType }
  /** condition bool, a, b, all of one shape or broadcastable. */
  | { readonly kind: "where" }
  /** The identity, through which no gradient flows. */
  | { readonly kind: "stopGradient" }
  /** A view of other shape. A named size stays, or one takes the place of another and is what is left: ["N", 2, 3] -> ["2N", 3]. */
  | { readonly kind: "reshape"; readonly shape: Shape }
  | { readonly kind: "transpose"; readonly permutation: readonly number[] }
  | { readonly kind: "expand"; readonly shape: Shape }
  /** Zeros around and, `interior` at a time, between the elements of each axis. */
  | { readonly kind: "pad"; readonly low: readonly number[]; readonly high: readonly number[]; readonly interior: readonly number[] }
  | { readonly kind: "slice"; readonly start: readonly number[]; readonly stop: readonly number[]; readonly step: readonly number[] }
  | { readonly kind: "concat"; readonly axis: number }
  /** The elements along one axis, last first. */
  | { readonly kind: "reverse"; readonly axis: number }
  | { readonly kind: "reduce"; readonly fn: ReduceFn; readonly axes: readonly number[]; readonly keepDims: boolean }
  /** Index of the largest element along the last axis, int64; the first of equals. */
  | { readonly kind: "argMax" }
  /** table [V, ...], indices int64 [...I] -> [...I, ...]. */
  | { readonly kind: "gather" }
  /** indices int64 [...I] -> float32 [...I, depth]. */
  | { readonly kind: "oneHot"; readonly depth: number }
  /** [..., I, J] x [..., J, K] -> [..., I, K]; either operand may be taken transposed in its last two axes. */
  | { readonly kind: "matmul"; readonly transposeA: boolean; readonly transposeB: boolean }
  /** Over the last axis. */
  | { readonly kind: "logSoftmax" }
  /** x [N, C, H, W], weight [K, C, R, S], optional bias [K] -> [N, K, H', W'] (cross-correlation). */
  | ({ readonly kind: "conv2d" } & Window)
  /** gradient of y [N, K, H', W'], weight [K, C, R, S] -> gradient of x [N, C, height, width]. */
  | ({ readonly kind: "conv2dInputGradient"; readonly height: number; readonly width: number } & Window)
  /** x [N, C, H, W], gradient of y [N, K, H', W'] -> gradient of the weight [K, C, size, size]. */
  | ({ readonly kind: "conv2dWeightGradient"; readonly size: number } & Window)
  /** x [N, C, ...] -> sum over all but C: [C]. */
  | { readonly kind: "channelSum" }
  /** a, b [N, C, ...] -> sum of a * b over all but C: [C]. */
  | { readonly kind: "channelDot" }
  /** x [N, C, ...], scale [C], shift [C] -> scale_c * x + shift_c. */
  | { readonly kind: "channelAffine" }
  /**
   * x [N, C, ...], gamma, beta, mean, variance [C] -> gamma (x - mean) / sqrt(variance + epsilon) + beta, where mean and variance ARE
   * those of x: their share of the gradient is part of x's.
   */
  | { readonly kind: "batchNormTraining"; readonly epsilon: number }
  /** The same formula with mean and variance given from outside (running statistics). */
  | { readonly kind: "batchNormInference"; readonly epsilon: number }
  /** gradient of y, y = relu(x) -> gradient where y > 0, else 0. */
  | { readonly kind: "reluGradient" }
  /** x [N, C, H, W] -> [N, C, height, width]: bilinear on half-pixel centres, antialiased when it shrinks. */
  | { readonly kind: "resizeBilinear"; readonly height: number; readonly width: number };

export type OpKind = Op["kind"];
export type OpOf<K extends OpKind> = Extract<Op, { readonly kind: K }>;
