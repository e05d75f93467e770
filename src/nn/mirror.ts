import { concat, mean, reshape, reverse, slice } from "../graph/build.ts";
import type { Value } from "../graph/graph.ts";
import { type Dim, staticDim } from "../graph/types.ts";

// Test-time flip: what a network says of images and of their mirror images, in one run of twice the batch.

const doubled = (count: Dim): Dim => (typeof count === "number" ? 2 * count : `2${count}`);

/** Images and their mirror images, pair by pair: [N, channels, height, width] -> [2 N, channels, height, width]. */
export function withMirrorImages(x: Value): Value {
  const [count, ...image] = x.type.shape as readonly [Dim, Dim, Dim, Dim];
  return reshape(concat([x, reverse(x, 3)], 1), [doubled(count), ...image]);
}

/** What is said of pairs, [2 N, K], with N = `count`: pair by pair [N, 2, K]. */
function pairs(values: Value, count: Dim): Value {
  return reshape(values, [count, 2, staticDim(values.type.shape[1], "pairs")]);
}

/** The mean of each pair: [2 N, K] -> [N, K]. */
export const meanOfPairs = (values: Value, count: Dim): Value => mean(pairs(values, count), [1]);

/** What is said of the image itself: [2 N, K] -> [N, K]. */
export const firstOfPairs = (values: Value, count: Dim): Value =>
  reshape(slice(pairs(values, count), { 1: [0, 1] }), [count, values.type.shape[1]!]);
