import { InternalError } from "../core/errors.ts";

export type DType = "float32" | "int64" | "uint8" | "bool";

/** A fixed size, or the name of a size that is known only when the model runs (batch "N", image "H", "W"). */
export type Dim = number | string;

export type Shape = readonly Dim[];

/** A shape without named sizes. */
export type StaticShape = readonly number[];

export interface TensorType {
  readonly dtype: DType;
  readonly shape: Shape;
}

export const showShape = (shape: Shape): string => `[${shape.join(", ")}]`;

export const showType = (type: TensorType): string => `${type.dtype}${showShape(type.shape)}`;

export const sameShape = (a: Shape, b: Shape): boolean => a.length === b.length && a.every((dim, i) => dim === b[i]);

export function staticDim(dim: Dim | undefined, what: string): number {
  if (typeof dim === "number") return dim;
  throw new InternalError(`${what}: expected a fixed size, got ${dim === undefined ? "no such axis" : `the named size "${dim}"`}`);
}

export const staticShape = (shape: Shape, what: string): StaticShape => shape.map((dim) => staticDim(dim, what));

export const sizeOf = (shape: StaticShape): number => shape.reduce((product, dim) => product * dim, 1);

/** NumPy broadcasting of two shapes; undefined where they do not fit. A named size fits itself and 1. */
export function broadcastShapes(a: Shape, b: Shape): Shape | undefined {
  const rank = Math.max(a.length, b.length);
  const result: Dim[] = [];
  for (let i = 0; i < rank; i++) {
    const left = a[a.length - rank + i] ?? 1;
    const right = b[b.length - rank + i] ?? 1;
    if (left !== right && left !== 1 && right !== 1) return undefined;
    result.push(left === 1 ? right : left);
  }
  return result;
}
