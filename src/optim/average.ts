import { add, div, mul, parameter, sub } from "../graph/build.ts";
import type { Graph, Value } from "../graph/graph.ts";
import { staticShape } from "../graph/types.ts";
import type { StateSpec, Updates } from "./adam.ts";

export const averageName = (name: string): string => `ema.${name}`;

/**
 * The exponential moving average of each tensor in `next` (new value by parameter name), corrected for its start as Adam's moments are, so that
 * `ema.<name>` itself is an average of what has been seen and of nothing else. With d the decay and t the step, counted from 1:
 *   e <- e + (1 - d) / (1 - d^t) (w - e)
 * which is e_t = sum_s d^(t-s) w_s / sum_s d^(t-s). d^t is state.
 */
export function movingAverages(graph: Graph, next: ReadonlyMap<string, Value>, decay: number): Updates {
  const powerName = averageName("decayPower");
  const power = mul(parameter(graph, powerName, []), decay);
  // Both from the decay as float32 has it: the first step's rate is 1 exactly.
  const rate = div(1 - Math.fround(decay), sub(1, power));
  const averages = new Map<string, Value>([[powerName, power]]);
  const state: StateSpec[] = [{ name: powerName, shape: [], start: 1 }];
  for (const [name, value] of next) {
    const shape = staticShape(value.type.shape, name);
    const average = parameter(graph, averageName(name), shape);
    averages.set(averageName(name), add(average, mul(sub(value, average), rate)));
    state.push({ name: averageName(name), shape, start: 0 });
  }
  return { next: averages, state };
}
