import type { Value } from "../../graph/graph.ts";
import { staticShape } from "../../graph/types.ts";
import { int, ints } from "../emitter.ts";
import type { Lowering } from "./context.ts";

// Weights as the blocked kernels want them. Each arrangement is made once per weight.

const nchwc = "com.microsoft.nchwc" as const;

/**
 * A weight [K, C, R, S] as [K/b, C/b, R S, b of C, b of K]; with fewer channels than a block as [K/b, C, R S, b of K]. A reorder, which runs
 * on all threads, brings the filters innermost; the transpose after it moves whole blocks.
 */
export function blockedWeight(to: Lowering, weight: Value): string {
  const { block } = to.target;
  const [filters, channels, rows, columns] = staticShape(weight.type.shape, "weight") as [number, number, number, number];
  const [taps, shape] = [rows * columns, [filters, channels, rows, columns]];
  return to.once(`blocked weight ${weight.id}`, () => {
    const flat = to.reshape(to.plain(weight), [1, filters, channels * taps, 1]);
    const filtersInnermost = to.emitter.node("ReorderInput", [flat], {}, nchwc);
    if (channels < block) return to.reshape(filtersInnermost, shape);
    const split = to.reshape(filtersInnermost, [(filters / block) * (channels / block), block, taps, block]);
    return to.reshape(to.emitter.node("Transpose", [split], { perm: ints([0, 2, 1, 3]) }), shape);
  });
}

/** A weight with filters and channels swapped: [C/b, K/b, R S, b of K, b of C]. */
export function swappedWeight(to: Lowering, weight: Value): string {
  const { block } = to.target;
  const [filters, channels, rows, columns] = staticShape(weight.type.shape, "weight") as [number, number, number, number];
  return to.once(`swapped weight ${weight.id}`, () => {
    const flat = to.reshape(to.plain(weight), [filters, channels, rows * columns, 1]);
    const channelsInnermost = to.emitter.node("ReorderInput", [flat], {}, nchwc);
    const split = to.reshape(channelsInnermost, [filters / block, block, channels / block, rows * columns, block]);
    return to.emitter.node("Transpose", [split], { perm: ints([2, 0, 3, 1, 4]) });
  });
}

/** The weight that carries gradients back at stride 1: swapped, rows and columns reversed. */
export function adjointWeight(to: Lowering, weight: Value): string {
  const [filters, channels, rows, columns] = staticShape(weight.type.shape, "weight") as [number, number, number, number];
  const taps = rows * columns;
  const reversed = to.emitter.indices(Array.from({ length: taps }, (_, i) => taps - 1 - i));
  const swapped = swappedWeight(to, weight);
  const turned = taps === 1 ? swapped : to.emitter.node("Gather", [swapped, reversed], { axis: int(2) });
  return to.reshape(turned, [channels, filters, rows, columns]);
}
