import { UserError } from "../core/errors.ts";
import type { ParameterSpec } from "../nn/network.ts";
import type { StateTensor } from "../runtime/feedback.ts";
import { type EarlierTraining, loadCheckpoint } from "./checkpoint.ts";

export interface Begun {
  readonly state: ReadonlyMap<string, StateTensor>;
  readonly startedFrom: EarlierTraining[];
  /** What was taken and what was not, and a damaged checkpoint whose predecessor had to serve, for a person. */
  readonly note: string;
}

/**
 * A fresh training state with the weights and running statistics of another training (paths of its folder) in it, where name and shape agree: all
 * of them for a warm restart, all but the class Gaussians for data of other classes. The optimizer starts anew.
 * Errors: UserError when there is no checkpoint that can be used, or the encoder is not of the same shape.
 */
export function beginWith(folder: string, parameters: readonly ParameterSpec[], fresh: ReadonlyMap<string, StateTensor>): Begun {
  const { position, state: earlier, damage } = loadCheckpoint(folder);
  const fits = ({ name, shape }: ParameterSpec): boolean => String(earlier.get(name)?.shape) === String(shape);
  const anew = parameters.filter((spec) => !fits(spec)).map(({ name }) => name);
  const otherEncoder = anew.find((name) => name.startsWith("encoder."));
  if (otherEncoder !== undefined) {
    const shapes = [earlier.get(otherEncoder)?.shape.join(" x ") ?? "none", fresh.get(otherEncoder)?.shape.join(" x ")];
    throw new UserError(
      `--from: the encoder of ${folder} is not this one's: ${otherEncoder} is ${shapes[0]} there, ${shapes[1]} here; channels, depth, widths and dimension must be the same`,
    );
  }
  const state = new Map(fresh);
  for (const { name } of parameters.filter(fits)) state.set(name, earlier.get(name)!);
  const { config, data, step, startedFrom = [] } = position;
  return {
    state,
    startedFrom: [...startedFrom, { config, data: data.name, steps: step }],
    note: `${damage === undefined ? "" : `${damage}\nso the checkpoint before it serves: `}begins with the weights of ${folder} (${data.name}, ${step} steps)${anew.length === 0 ? "" : `; anew: ${anew.join(", ")}`}`,
  };
}
