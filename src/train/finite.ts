import { TrainingFailed } from "../core/errors.ts";
import type { StateTensor } from "../runtime/feedback.ts";
import { hasCheckpoint } from "./checkpoint.ts";

function advice(out: string): string {
  const left = hasCheckpoint(out) ? `The last good checkpoint stays in ${out}. ` : "";
  return `${left}Try a lower --learning-rate or a --log-sigma-floor.`;
}

/** Errors: TrainingFailed that names the metrics of step `step` (from 0) that are not finite. */
export function requireFiniteMetrics(metrics: Readonly<Record<string, number>>, step: number, out: string): void {
  const wrong = Object.entries(metrics).filter(([, value]) => !Number.isFinite(value));
  if (wrong.length === 0) return;
  throw new TrainingFailed(
    `training stopped at step ${step + 1}: ${wrong.map(([name, value]) => `${name} = ${value}`).join(", ")}. ${advice(out)}`,
  );
}

/** A step with a finite loss may still have broken the weights: such a state must not replace a good checkpoint. */
export function requireFiniteState(state: ReadonlyMap<string, StateTensor>, step: number, out: string): void {
  for (const [name, { data }] of state) {
    const wrong = data.find((value) => !Number.isFinite(value));
    if (wrong !== undefined) throw new TrainingFailed(`training stopped at step ${step}: ${name} holds ${wrong}. ${advice(out)}`);
  }
}
