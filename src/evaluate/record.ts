import type { ModelCard } from "../classify/card.ts";
import { type Circumstances, circumstances } from "../core/circumstances.ts";
import { fileDigest } from "../core/files.ts";
import { runtimeVersion } from "../runtime/session.ts";
import type { Evaluation } from "./evaluation.ts";

/** An evaluation with all that is needed to make it again: what `sdim evaluate --out` writes. */
export interface EvaluationRecord {
  readonly circumstances: Circumstances;
  readonly modelFile: MeasuredFile;
  readonly evaluation: Evaluation;
}

/** Which model file a result is of. */
export interface MeasuredFile {
  readonly path: string;
  /** Of the file's bytes. */
  readonly sha256: string;
  readonly model: ModelCard["model"];
  readonly training: ModelCard["training"];
  readonly calibration: Omit<ModelCard["calibration"], "thresholds">;
  /** Version of sdim that wrote the file. */
  readonly version: string;
}

/** Errors: UserError when the model file cannot be read. */
export function measuredFile(path: string, card: ModelCard): MeasuredFile {
  const { thresholds: _, ...calibration } = card.calibration;
  return { path, sha256: fileDigest(path), model: card.model, training: card.training, calibration, version: card.version };
}

/** `command`: how the evaluation is run. Errors: UserError when the model file cannot be read. */
export function evaluationRecord(command: string, path: string, card: ModelCard, evaluation: Evaluation): EvaluationRecord {
  return { circumstances: circumstances(command, runtimeVersion()), modelFile: measuredFile(path, card), evaluation };
}
