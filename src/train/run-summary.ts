import type { TrainConfig } from "./config.ts";
import { bestValidated } from "./records.ts";
import type { Run, RunState } from "./runs.ts";

/** A run in a few figures. */
export interface RunSummary {
  readonly state: RunState;
  readonly data: string | null;
  readonly step: number;
  /** Done, with the part of the one under way. */
  readonly epochs: number;
  /** Newest training loss: of the last epoch or, within the first one, of the last steps. */
  readonly loss: number | null;
  /** Of the model or, before there is one, the best epoch's. */
  readonly validationAccuracy: number | null;
  readonly elapsedSeconds: number | null;
  /** Of the model file: testAccuracy and the like. */
  readonly measured: Readonly<Record<string, number>>;
  readonly config: TrainConfig | null;
}

export function summaryOf({ state, config, data, step, elapsedSeconds, measured, history, epochs }: Run): RunSummary {
  return {
    state,
    data,
    step,
    epochs: Math.max(epochs.at(-1)?.epoch ?? 0, history.at(-1)?.epoch ?? 0),
    loss: (epochs.at(-1) ?? history.at(-1))?.loss ?? null,
    validationAccuracy: measured["validationAccuracy"] ?? bestValidated(epochs)?.validation?.accuracy ?? null,
    elapsedSeconds,
    measured,
    config,
  };
}
