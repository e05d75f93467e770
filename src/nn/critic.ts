import { add, concat, constant, conv2d, div, expand, matmul, mean, mul, relu, reshape, slice, sqrt, square, sub } from "../graph/build.ts";
import type { Value } from "../graph/graph.ts";
import { staticShape } from "../graph/types.ts";
import type { Network } from "./network.ts";

/** `concat`: concat-and-convolve (paper, Table 8). `dot`: encode-and-dot-product (Hjelm et al. 2018). */
export type CriticKind = "concat" | "dot";

/**
 * What local features are paired with that are not their own image's: `shuffled` pairs those of image i with the representation of image
 * i - 1 of the batch (paper, B.2); `all-pairs` with those of every other image (paper, Fig. 1).
 */
export type Negatives = "shuffled" | "all-pairs";

/** Critic values T(local features, representation). */
export interface Scores {
  /** [N, P]: image i's features at each of P positions, with its own representation. */
  readonly positive: Value;
  /** [N, P] or [N, N, P]. */
  readonly negative: Value;
  /** Which entries of `negative` are pairs of different images, where not all are: [N, N, 1] of 0 and 1. */
  readonly negativeMask?: Value;
}

const hidden = 256;

/** The critic on local features [N, c, M, M] and representations [N, d]. */
export function criticScores(net: Network, local: Value, z: Value, kind: CriticKind, negatives: Negatives): Scores {
  return net.scope("critic", () => (kind === "concat" ? concatScores(net, local, z, negatives) : dotScores(net, local, z, negatives)));
}

/** Row i becomes row i + 1, the last the first. */
function roll(x: Value): Value {
  const count = x.type.shape[0] as number;
  return concat([slice(x, { 0: [count - 1, count] }), slice(x, { 0: [0, count - 1] })], 0);
}

function pairMasks(z: Value): { readonly same: Value; readonly different: Value } {
  const count = z.type.shape[0] as number;
  const diagonal = Array.from({ length: count * count }, (_, i) => Number(i % (count + 1) === 0));
  const mask = (data: readonly number[]) => constant(z.graph, data, [count, count, 1]);
  return { same: mask(diagonal), different: mask(diagonal.map((one) => 1 - one)) };
}

/** T [N, N, P], of which the diagonal is positive. */
function allPairs(scores: Value, z: Value): Scores {
  const { same, different } = pairMasks(z);
  const count = z.type.shape[0] as number;
  // The sum over j of a row with one entry that is not 0: mean * N.
  return { positive: mul(mean(mul(scores, same), [1]), count), negative: scores, negativeMask: different };
}

/**
 * 1x1 conv (c + d -> 256) ReLU, 1x1 conv (256 -> 256) ReLU, 1x1 conv (256 -> 1). The first layer on a concatenation is the sum of a
 * local and a global part, so the local part is computed once for positives and negatives.
 */
function concatScores(net: Network, local: Value, z: Value, negatives: Negatives): Scores {
  const [count, channels, height, width] = staticShape(local.type.shape, "local features") as [number, number, number, number];
  const dimension = z.type.shape[1] as number;
  const positions = height * width;
  const bound = 1 / Math.sqrt(channels + dimension);
  const weight = net.weight("conv1.weight", [hidden, channels + dimension, 1, 1], { kind: "uniform", bound });
  const bias = net.weight("conv1.bias", [hidden], { kind: "uniform", bound });
  const localPart = conv2d(local, slice(weight, { 1: [0, channels] }));
  const globalWeight = reshape(slice(weight, { 1: [channels, channels + dimension] }), [hidden, dimension]);
  const globalPart = add(matmul(z, globalWeight, { transposeB: true }), bias);
  const spread = (part: Value) => reshape(part, [count, hidden, 1, 1]);

  const rest = (first: Value) => {
    const second = relu(net.conv(relu(first), "conv2", { filters: hidden, kernel: 1, bias: true }));
    return net.conv(second, "conv3", { filters: 1, kernel: 1, bias: true });
  };
  if (negatives === "shuffled") {
    const both = rest(concat([add(localPart, spread(globalPart)), add(localPart, spread(roll(globalPart)))], 0));
    const scores = reshape(both, [2 * count, positions]);
    return { positive: slice(scores, { 0: [0, count] }), negative: slice(scores, { 0: [count, 2 * count] }) };
  }
  const pairs: readonly number[] = [count, count, hidden, height, width];
  const left = expand(reshape(localPart, [1, count, hidden, height, width]), pairs);
  const sums = add(left, reshape(globalPart, [count, 1, hidden, 1, 1]));
  return allPairs(reshape(rest(reshape(sums, [count * count, hidden, height, width])), [count, count, positions]), z);
}

/** Each side through its own network to 256 numbers per position; T is their dot product. */
function dotScores(net: Network, local: Value, z: Value, negatives: Negatives): Scores {
  const [count, , height, width] = staticShape(local.type.shape, "local features") as [number, number, number, number];
  const positions = height * width;
  const left = reshape(
    net.scope("local", () => embed(net, local)),
    [count, hidden, positions],
  );
  const globalFeatures = net.scope("global", () => embed(net, reshape(z, [count, z.type.shape[1]!, 1, 1])));
  const right = reshape(globalFeatures, [count, 1, hidden]);
  if (negatives === "shuffled") {
    const scores = (features: Value) => reshape(matmul(features, left), [count, positions]);
    return { positive: scores(right), negative: scores(roll(right)) };
  }
  // [N of local, N of global, P]
  return allPairs(matmul(reshape(right, [count, hidden]), left), z);
}

/** LayerNorm(conv(ReLU(BN(conv x))) + linear shortcut), over the 256 channels at each position. */
function embed(net: Network, x: Value): Value {
  const inner = relu(net.conv(x, "conv1", { filters: hidden, kernel: 1, norm: "norm" }));
  const sum = add(
    net.conv(inner, "conv2", { filters: hidden, kernel: 1, bias: true }),
    net.conv(x, "shortcut", { filters: hidden, kernel: 1 }),
  );
  return net.scope("layerNorm", () => {
    const gamma = reshape(net.weight("weight", [hidden], { kind: "constant", value: 1 }), [hidden, 1, 1]);
    const beta = reshape(net.weight("bias", [hidden], { kind: "constant", value: 0 }), [hidden, 1, 1]);
    const centered = sub(sum, mean(sum, [1], true));
    const deviation = sqrt(add(mean(square(centered), [1], true), 1e-5));
    return add(mul(div(centered, deviation), gamma), beta);
  });
}
