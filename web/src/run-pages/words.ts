import type { ListedRun } from "../../../src/evaluate/run-view.ts";

/** `running, step 1,200 of 4,690`; steps are those of the last checkpoint. */
export function stateWords(state: ListedRun["state"]): string {
  if (state.kind !== "running" && state.kind !== "stopped") return state.kind;
  if (state.step === 0) return state.kind;
  const step = `${state.kind}, step ${state.step.toLocaleString("en")}`;
  return state.steps === null ? step : `${step} of ${state.steps.toLocaleString("en")}`;
}

export const dateOf = (iso: string): string => `${iso.slice(0, 16).replace("T", " ")} UTC`;

export function duration(seconds: number): string {
  const whole = Math.round(seconds);
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)];
  if (hours > 0) return `${hours} h ${minutes} min`;
  return minutes > 0 ? `${minutes} min ${whole % 60} s` : `${whole} s`;
}
