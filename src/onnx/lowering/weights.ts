import type { Value } from "../../graph/graph.ts";
import { staticShape } from "../../graph/types.ts";
import { int, ints } from "../emitter.ts";
import type { Lowering } from "./context.ts";

/** A core's second-level cache holds this much of a weight beside what it works on. */
const cachedWeightBytes = 640 * 1024;

/**
 * Into how many convolutions with a share of the filters each to cut one whose weight [filters, ..] has `size` numbers: a convolution goes through
 * all of its weight for every row of pixels, at half speed where that does not stay in the cache. Shares are whole blocks of 16.
 */
export function filterShares(filters: number, size: number): number {
  const bytes = size * Float32Array.BYTES_PER_ELEMENT;
  for (let shares = 1; filters % (16 * shares) === 0; shares *= 2) if (bytes / shares <= cachedWeightBytes) return shares;
  return 1;
}

/** Elements `share` of `shares` along `axis`, where they are `size`. */
export function sliceShare(to: Lowering, name: string, axis: number, size: number, share: number, shares: number): string {
  const at = (index: number) => to.emitter.indices([(index * size) / shares]);
  return to.emitter.node("Slice", [name, at(share), at(share + 1), to.emitter.indices([axis])]);
}

// Weights as the blocked kernels want them. Each arrangement is made once per weight.

const nchwc = "com.microsoft.nchwc" as const;

/**
 * A weight seen as [outer, inner, taps] as [outer, inner/b, taps, b]: by a reorder, which runs on all threads; by a transpose where the weight is
 * fixed, because the runtime evaluates that at load, and no operator of its own.
 */
function innermost(to: Lowering, weight: Value, [outer, inner, taps]: readonly [number, number, number]): string {
  const { block } = to.target;
  if (!to.isFixed(weight)) return to.emitter.node("ReorderInput", [to.reshape(to.plain(weight), [outer, inner, taps, 1])], {}, nchwc);
  const split = to.reshape(to.plain(weight), [outer, inner / block, block, taps]);
  return to.emitter.node("Transpose", [split], { perm: ints([0, 1, 3, 2]) });
}

/**
 * A weight [K, C, R, S] as [K/b, C/b, R S, b of C, b of K]; with fewer channels than a block as [K/b, C, R S, b of K]. The filters are
 * brought innermost first; the transpose after it moves whole blocks.
 */
export function blockedWeight(to: Lowering, weight: Value): string {
  const { block } = to.target;
  const [filters, channels, rows, columns] = staticShape(weight.type.shape, "weight") as [number, number, number, number];
  const [taps, shape] = [rows * columns, [filters, channels, rows, columns]];
  return to.once(`blocked weight ${weight.id}`, () => {
    const filtersInnermost = innermost(to, weight, [1, filters, channels * taps]);
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
    const channelsInnermost = innermost(to, weight, [filters, channels, rows * columns]);
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
