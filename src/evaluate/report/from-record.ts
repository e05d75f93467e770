import type { EpochRecord, HistoryRecord } from "../../train/records.ts";
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
  const { at, command, sdim, node, onnxruntime, machine, cores } = circumstances;
  return {
    title: `${modelFile.model.head === "sdim" ? "SDIM" : "Softmax"} on ${evaluation.data}`,
    createdAt: at,
    card: { ...modelFile, classNames: evaluation.classNames },
    environment: {
      model: modelFile.path,
      "SHA-256": modelFile.sha256,
      command,
      sdim,
      node,
      "ONNX Runtime": onnxruntime,
      machine: `${machine}, ${cores} cores`,
    },
    ...training,
    evaluation,
    thresholds: display?.thresholds ?? [],
    scores: display?.scores ?? { inDistribution: [], outOfDistribution: [] },
    examples: display?.examples ?? [],
  };
}
