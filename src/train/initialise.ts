import { Random } from "../core/random.ts";
import type { Initial, ParameterSpec } from "../nn/network.ts";
import type { StateSpec } from "../optim/adam.ts";
import type { StateTensor } from "../runtime/feedback.ts";

/**
 * The training state before the first step. Each parameter draws from a stream of its own, so its start depends on seed and name alone.
 * `instead`: starts other than the network's own, by parameter name.
 */
export function initialState(
  parameters: readonly ParameterSpec[],
  optimizerState: readonly StateSpec[],
  seed: number,
  instead: Readonly<Record<string, Initial>> = {},
): Map<string, StateTensor> {
  const state = new Map<string, StateTensor>();
  for (const { name, shape, initial: own } of parameters) {
    const initial = instead[name] ?? own;
    const random = Random.stream(seed, `initial ${name}`);
    const draw = {
      uniform: (bound: number) => (random.uniform() * 2 - 1) * bound,
      normal: (deviation: number) => random.normal() * deviation,
      constant: (value: number) => value,
    };
    const one = () => {
      if (initial.kind === "uniform") return draw.uniform(initial.bound);
      return initial.kind === "normal" ? draw.normal(initial.deviation) : draw.constant(initial.value);
    };
    state.set(name, { shape, data: Float32Array.from({ length: size(shape) }, one) });
  }
  for (const { name, shape, start } of optimizerState) state.set(name, { shape, data: new Float32Array(size(shape)).fill(start) });
  return state;
}

const size = (shape: readonly number[]): number => shape.reduce((product, dim) => product * dim, 1);
