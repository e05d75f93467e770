import { UserError } from "../core/errors.ts";
import { add, mean, pad, relu, slice } from "../graph/build.ts";
import type { Value } from "../graph/graph.ts";
import { staticDim } from "../graph/types.ts";
import type { Network } from "./network.ts";

export interface EncoderConfig {
  /** Layers, 8n + 2: n basic blocks in each of the four stages. */
  readonly depth: number;
  /** Filters of the four stages. */
  readonly widths: readonly [number, number, number, number];
}

export interface Encoded {
  /** Feature maps [N, widths[s], size / 2^s, size / 2^s] at the end of stages s = 1 to 4. */
  readonly stages: readonly [Value, Value, Value, Value];
  /** The head's output [N, outputs]. */
  readonly output: Value;
}

export function blocksPerStage(depth: number): number {
  const blocks = (depth - 2) / 8;
  if (!Number.isInteger(blocks) || blocks < 1) throw new UserError(`depth: expected 8n + 2 layers (10, 18, 26, 34, ...), got ${depth}`);
  return blocks;
}

/**
 * A ResNet of 8n + 2 layers for small images (He et al. 2016, option A): 3x3 stem; four stages of n basic blocks, stride 2 entering
 * stages 2 to 4; global average pooling; head Linear -> BN -> ReLU -> Linear (the parameter counts of the paper's Table 1).
 * x [N, channels, size, size] -> feature maps and [N, outputs].
 */
export function encode(net: Network, x: Value, { depth, widths }: EncoderConfig, outputs: number): Encoded {
  const blocks = blocksPerStage(depth);
  return net.scope("encoder", () => {
    let y = net.scope("stem", () => relu(net.conv(x, "conv", { filters: widths[0], kernel: 3, norm: "norm" })));
    const stages = widths.map((filters, s) =>
      net.scope(`stage${s + 1}`, () => {
        for (let k = 1; k <= blocks; k++) {
          y = net.scope(`block${k}`, () => basicBlock(net, y, filters, s > 0 && k === 1 ? 2 : 1));
        }
        return y;
      }),
    );
    const output = net.scope("head", () => {
      const hidden = relu(net.linear(mean(y, [2, 3]), "linear1", { outputs: widths[3], norm: "norm" }));
      return net.linear(hidden, "linear2", { outputs });
    });
    return { stages: stages as [Value, Value, Value, Value], output };
  });
}

/** relu(BN(conv(relu(BN(conv(x))))) + shortcut(x)) */
export function basicBlock(net: Network, x: Value, filters: number, stride: number): Value {
  const hidden = relu(net.conv(x, "conv1", { filters, kernel: 3, stride, norm: "norm1" }));
  return relu(add(net.conv(hidden, "conv2", { filters, kernel: 3, norm: "norm2" }), shortcut(x, filters, stride)));
}

/** The identity, or every `stride`-th pixel with zeros for the new channels, half before and half after. */
function shortcut(x: Value, filters: number, stride: number): Value {
  const [, channels, height, width] = x.type.shape;
  const sampled = stride === 1 ? x : slice(x, { 2: [0, staticDim(height, "height"), stride], 3: [0, staticDim(width, "width"), stride] });
  const added = filters - staticDim(channels, "channels");
  return added === 0 ? sampled : pad(sampled, { 1: [Math.floor(added / 2), Math.ceil(added / 2)] });
}
