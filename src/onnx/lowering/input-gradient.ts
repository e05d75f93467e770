import type { Value } from "../../graph/graph.ts";
import type { OpOf } from "../../graph/ops.ts";
import { staticShape } from "../../graph/types.ts";
import { int, ints } from "../emitter.ts";
import type { Lowering } from "./context.ts";

const nchwc = "com.microsoft.nchwc" as const;

/** The kernel positions that reach the pixels of one phase, by the offset of the gradient they meet. */
interface Phase {
  readonly taps: readonly number[];
  readonly before: number;
  readonly after: number;
}

/**
 * Along one axis, at stride 2: the gradient of pixel 2 i + phase is the sum over r of dY[i + o] W[r] with o = (phase + padding - r) / 2, where
 * that is whole. Taps in the order of o; `before` and `after` are how far they reach beyond i. Undefined where no tap reaches the phase.
 */
function phaseOf(phase: number, size: number, padding: number): Phase | undefined {
  const taps = Array.from({ length: size }, (_, i) => size - 1 - i).filter((r) => (phase + padding - r) % 2 === 0);
  if (taps.length === 0) return undefined;
  const [first, last] = [taps[0]!, taps.at(-1)!].map((r) => (phase + padding - r) / 2) as [number, number];
  return first <= 0 && last >= 0 ? { taps, before: -first, after: last } : undefined;
}

/** Whether the formulation below fits: stride 2, an even image, whole blocks, and every pixel reached. */
export function canSplitIntoPhases({ stride, padding, height, width }: OpOf<"conv2dInputGradient">, value: Value, to: Lowering): boolean {
  const [dy, weight] = value.inputs as [Value, Value];
  const [, , outHeight, outWidth] = dy.type.shape;
  const [, , rows, columns] = weight.type.shape as readonly number[];
  return (
    stride === 2 &&
    rows === columns &&
    to.canBlock(value) &&
    to.canBlock(dy) &&
    height === 2 * (outHeight as number) &&
    width === 2 * (outWidth as number) &&
    [0, 1].every((phase) => phaseOf(phase, rows!, padding) !== undefined)
  );
}

/**
 * The input gradient of a stride-2 convolution as four blocked convolutions of dY, one for the pixels of each parity of row and column, each with its
 * share of the kernel; together they multiply no more than the forward convolution. Their results are interleaved by two concatenations of whole
 * blocks. `swapped`: the weight as [C/b, K/b, R S, b of K, b of C]. `sum` [N, C, H/2, W/2] is added to the pixels of even row and column.
 */
export function inputGradientByPhases(
  { padding }: OpOf<"conv2dInputGradient">,
  value: Value,
  to: Lowering,
  swapped: string,
  sum?: Value,
): string {
  const { emitter } = to;
  const { block } = to.target;
  const [dy, weight] = value.inputs as [Value, Value];
  const [batch, channels, height, width] = staticShape(value.type.shape, "input gradient") as [number, number, number, number];
  const [filters, , size] = staticShape(weight.type.shape, "weight") as [number, number, number, number];
  const phases = [0, 1].map((phase) => phaseOf(phase, size, padding)!);
  const rowCount = (batch * channels * height) / 2 / block;
  const convolve = (vertical: Phase, horizontal: Phase, addend?: string): string => {
    const taps = vertical.taps.flatMap((r) => horizontal.taps.map((s) => r * size + s));
    const kernel = [vertical.taps.length, horizontal.taps.length];
    const chosen = emitter.node("Gather", [swapped, emitter.indices(taps)], { axis: int(2) });
    return emitter.node(
      "Conv",
      [to.blocked(dy), to.reshape(chosen, [channels, filters, ...kernel]), ...(addend ? ["", addend] : [])],
      { kernel_shape: ints(kernel), pads: ints([vertical.before, horizontal.before, vertical.after, horizontal.after]) },
      nchwc,
    );
  };
  const rows = phases.map((vertical) => {
    const columns = phases.map((horizontal) => {
      const isEven = vertical === phases[0] && horizontal === phases[0];
      return to.reshape(convolve(vertical, horizontal, sum && isEven ? to.blocked(sum) : undefined), [(rowCount * width) / 2, block]);
    });
    return to.reshape(emitter.node("Concat", columns, { axis: int(1) }), [rowCount, width * block]);
  });
  return to.reshape(emitter.node("Concat", rows, { axis: int(1) }), [batch, channels, height, width]);
}
