import { GraphModel } from "../../src/attacks/model.ts";
import { add, div, matmul, mul, parameter, reshape, square, sub, sum, transpose } from "../../src/graph/build.ts";

// Models small enough that the nearest adversarial is known in closed form.

/** Images are [1, 1, 1, D]: rows of D numbers in [0, 1]. */
const shapeOf = (dimension: number) => ({ channels: 1, height: 1, width: dimension });

const flat = (rows: readonly (readonly number[])[]): Float32Array => Float32Array.from(rows.flat());

export interface SmallModel {
  /** C rows of D numbers. */
  readonly rows: readonly (readonly number[])[];
  readonly bias?: readonly number[];
  /** Default: far below, so that everything is accepted. */
  readonly thresholds?: readonly number[];
  /** log p(c). Default: none. */
  readonly logPriors?: readonly number[];
}

/** Three classes of four numbers, and an image of the first that is near the others. */
export const linear: SmallModel = {
  rows: [
    [2, -1, 0.5, 0],
    [-1, 1.5, 0, 0.5],
    [0, 0.5, -1, 1],
  ],
  bias: [0.1, 0, -0.1],
};
export const gaussian: SmallModel = {
  rows: [
    [0.7, 0.3, 0.6, 0.5],
    [0.3, 0.6, 0.5, 0.4],
    [0.5, 0.5, 0.2, 0.7],
  ],
};
export const near = [0.6, 0.45, 0.55, 0.5];

/** s_c(x) = w_c . x + b_c; the representation is x. Decides by s_c + log p(c). */
export function linearModel({ rows, bias = rows.map(() => 0), thresholds = rows.map(() => -1e6), logPriors }: SmallModel): GraphModel {
  const [classes, dimension] = [rows.length, rows[0]!.length];
  return new GraphModel(
    {
      shape: shapeOf(dimension),
      classes,
      dimension,
      build: (graph, x) => {
        const representation = reshape(x, [x.type.shape[0]!, dimension]);
        const weights = parameter(graph, "weights", [classes, dimension]);
        return { representation, scores: add(matmul(representation, transpose(weights, [1, 0])), parameter(graph, "bias", [classes])) };
      },
      weights: new Map([
        ["weights", flat(rows)],
        ["bias", Float32Array.from(bias)],
      ]),
      thresholds: Float32Array.from(thresholds),
      ...(logPriors ? { logPriors: Float32Array.from(logPriors) } : {}),
    },
    { threads: 1 },
  );
}

/** s_c(x) = -|(x - mu_c) / sigma_c|^2 / 2 + b_c; the representation is x, the class means are the rows; sigma: default 1. */
export function gaussianModel({
  rows,
  bias = rows.map(() => 0),
  thresholds = rows.map(() => -1e6),
  deviations = rows.map((row) => row.map(() => 1)),
}: SmallModel & { readonly deviations?: readonly (readonly number[])[] }): GraphModel {
  const [classes, dimension] = [rows.length, rows[0]!.length];
  return new GraphModel(
    {
      shape: shapeOf(dimension),
      classes,
      dimension,
      build: (graph, x) => {
        const representation = reshape(x, [x.type.shape[0]!, dimension]);
        const difference = sub(reshape(x, [x.type.shape[0]!, 1, dimension]), parameter(graph, "means", [1, classes, dimension]));
        const standardised = div(difference, parameter(graph, "deviations", [1, classes, dimension]));
        return { representation, scores: add(mul(sum(square(standardised), [2]), -0.5), parameter(graph, "bias", [classes])) };
      },
      weights: new Map([
        ["means", flat(rows)],
        ["deviations", flat(deviations)],
        ["bias", Float32Array.from(bias)],
      ]),
      thresholds: Float32Array.from(thresholds),
      classMeans: flat(rows),
    },
    { threads: 1 },
  );
}

const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((total, value, k) => total + value * b[k]!, 0);

/** Distance of x from the nearest point that linear class scores give another class than `label`, bounds of [0, 1] aside. */
export function distanceToBoundary(
  { rows, bias = rows.map(() => 0) }: SmallModel,
  x: readonly number[],
  label: number,
  norm: "l2" | "linf",
): number {
  const distances = rows.flatMap((weights, c) => {
    if (c === label) return [];
    const normal = weights.map((value, k) => value - rows[label]![k]!);
    const gap = dot(rows[label]!, x) + bias[label]! - dot(weights, x) - bias[c]!;
    const dual = norm === "l2" ? Math.sqrt(dot(normal, normal)) : normal.reduce((total, value) => total + Math.abs(value), 0);
    return [gap / dual];
  });
  return Math.min(...distances);
}

/** A Gaussian model with unit variances decides as this linear one: -|x - mu|^2 / 2 + b = mu . x - |mu|^2 / 2 + b + what all classes share. */
export const linearEquivalent = ({ rows, bias = rows.map(() => 0) }: SmallModel): SmallModel => ({
  rows,
  bias: rows.map((mean, c) => bias[c]! - dot(mean, mean) / 2),
});
