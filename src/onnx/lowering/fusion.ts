import type { Value } from "../../graph/graph.ts";
import { sameShape } from "../../graph/types.ts";
import { type Fusion, isConvolution } from "./blocked.ts";
import type { Lowering } from "./context.ts";

export interface FusionPlan {
  /** By the value that the fused node computes. */
  readonly fusions: ReadonlyMap<Value, Fusion>;
  /** Values that no node computes by itself: they happen inside a fused one. */
  readonly absorbed: ReadonlySet<Value>;
}

/**
 * Finds relu(convolution), convolution + x and relu(convolution + x) where nothing else needs what is in between; batch normalisation and
 * per-channel scaling are convolutions too. `values` in topological order; `outputs` are needed from outside.
 */
export function planFusions(values: readonly Value[], outputs: readonly Value[], to: Lowering): FusionPlan {
  const fusions = new Map<Value, Fusion>();
  const absorbed = new Set<Value>();
  if (to.target.block === 0) return { fusions, absorbed };
  const uses = new Map<Value, number>();
  for (const value of [...values.flatMap((user) => user.inputs), ...outputs]) uses.set(value, (uses.get(value) ?? 0) + 1);

  const absorbable = (value: Value): boolean => uses.get(value) === 1 && to.canBlock(value);
  const isBase = (value: Value): boolean => isConvolution(value.op) && absorbable(value) && mayBeBlocked(value, to);

  for (const root of values) {
    if (!to.canBlock(root)) continue;
    if (root.op.kind === "binary" && root.op.fn === "add") {
      const [a, b] = root.inputs as [Value, Value];
      if (a === b || !sameShape(a.type.shape, b.type.shape)) continue;
      // The later of the two is the one whose summand is there by then.
      const base = [a, b].sort((left, right) => right.id - left.id).find(isBase);
      if (base) {
        fusions.set(root, { base, sum: base === a ? b : a, relu: false });
        absorbed.add(base);
      }
    } else if (root.op.kind === "unary" && root.op.fn === "relu") {
      const x = root.inputs[0]!;
      const earlier = fusions.get(x);
      if (earlier && absorbable(x)) {
        fusions.delete(x);
        absorbed.add(x);
        fusions.set(root, { ...earlier, relu: true });
      } else if (isBase(x)) {
        absorbed.add(x);
        fusions.set(root, { base: x, relu: true });
      }
    }
  }
  return { fusions, absorbed };
}

/** Whether the convolution rules of blocked.ts will take it (they are asked only once all inputs are lowered). */
function mayBeBlocked(value: Value, to: Lowering): boolean {
  const { op, inputs } = value;
  const channels = inputs[0]!.type.shape[1] as number;
  const [, , rows, columns] = inputs[1]!.type.shape as readonly number[];
  if (op.kind === "conv2d") return rows === columns && (channels < to.target.block || to.fillsBlocks(channels));
  if (op.kind === "conv2dInputGradient") return op.stride === 1 && rows === columns && op.padding < rows! && to.fillsBlocks(channels);
  return true;
}
