import type { EpochRecord, HistoryRecord } from "../../train/records.ts";
import { environmentOf } from "../record.ts";
import type { ReadRecord } from "../record-schema.ts";
import type { RunReport } from "./types.ts";

/** How the training went, where its folder is at hand. */
export interface Training {
  readonly history: readonly HistoryRecord[];
  readonly epochs: readonly EpochRecord[];
}

/**
 * The report of an evaluation from its record alone. A record without `display` (of an earlier version, or of `sdim reproduce`) gives one
 * without histograms and examples.
 */
export function reportFromRecord({ circumstances, modelFile, evaluation, display }: ReadRecord, training: Training): RunReport {
  return {
    title: `${modelFile.model.head === "sdim" ? "SDIM" : "Softmax"} on ${evaluation.data}`,
    createdAt: circumstances.at,
    card: { ...modelFile, classNames: evaluation.classNames },
    environment: environmentOf(circumstances, modelFile),
    ...training,
    evaluation,
    thresholds: display?.thresholds ?? [],
    scores: display?.scores ?? { inDistribution: [], outOfDistribution: [] },
    examples: display?.examples ?? [],
  };
}
