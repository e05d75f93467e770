import type { ModelCard } from "../classify/card.ts";
import { type Circumstances, circumstances } from "../core/circumstances.ts";
import { fileDigest } from "../core/files.ts";
import { type RejectScore, rejectScoreInWords } from "../nn/reject-score.ts";
import { runtimeVersion } from "../runtime/session.ts";
import type { Evaluation } from "./evaluation.ts";
import { thinned } from "./metrics/ranking.ts";
import type { ExampleGroup, RunReport } from "./report/types.ts";

/** An evaluation with all that is needed to make it again: what `sdim evaluate --out` writes. */
export interface EvaluationRecord {
  readonly circumstances: Circumstances;
  readonly modelFile: MeasuredFile;
  readonly evaluation: Evaluation;
  /** What a report shows beside the numbers, so that `sdim report` needs no images. */
  readonly display?: Display;
}

/** The model as a record has it, as far as a report shows it. */
export interface RecordedModel {
  readonly path: string;
  readonly sha256: string;
  readonly model: {
    readonly head: "sdim" | "softmax";
    readonly depth: number;
    readonly rejectBy?: RejectScore | undefined;
    readonly testTimeFlip?: boolean | undefined;
  };
  readonly training: Readonly<Record<string, unknown>>;
  readonly calibration: { readonly data: string; readonly split: string; readonly fingerprint: string; readonly percentile: number };
  readonly version: string;
}

/** Examples, and class log-likelihoods as evenly spaced quantiles of them. */
export interface Display extends Pick<RunReport, "thresholds" | "scores"> {
  readonly examples: readonly ExampleGroup[];
}

/** As many values of a class and a set are kept as histograms need; fewer are kept all. */
const quantiles = 200;

/** Of a report, what its record keeps. */
export function displayOf({ thresholds, scores, examples }: RunReport): Display {
  const kept = (values: readonly number[]) => evenlySpaced(values).map((value) => Number(value.toPrecision(6)));
  return {
    thresholds,
    scores: {
      inDistribution: scores.inDistribution.map(kept),
      outOfDistribution: scores.outOfDistribution.map(({ data, byClass }) => ({ data, byClass: byClass.map(kept) })),
    },
    examples,
  };
}

/** The smallest, the largest and evenly spaced quantiles between. */
export function evenlySpaced(values: readonly number[]): number[] {
  const sorted = [...values].sort((a, b) => a - b);
  return thinned(sorted.length, quantiles).map((i) => sorted[i]!);
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

/** By what a page says where its numbers are from. */
export const environmentOf = (
  {
    command,
    sdim,
    node,
    onnxruntime,
    machine,
    cores,
  }: Pick<Circumstances, "command" | "sdim" | "node" | "onnxruntime" | "machine" | "cores">,
  { path, sha256, model }: Pick<RecordedModel, "path" | "sha256" | "model">,
): RunReport["environment"] => ({
  model: path,
  "rejects by": rejectScoreInWords(model),
  ...(model.testTimeFlip ? { scores: "means over the image and its mirror image" } : {}),
  "SHA-256": sha256,
  command,
  sdim,
  node,
  "ONNX Runtime": onnxruntime,
  machine: `${machine}, ${cores} cores`,
});

/** Errors: UserError when the model file cannot be read. */
export function measuredFile(path: string, card: ModelCard): MeasuredFile {
  const { thresholds: _, ...calibration } = card.calibration;
  return { path, sha256: fileDigest(path), model: card.model, training: card.training, calibration, version: card.version };
}

/** `command`: how the evaluation is run. Errors: UserError when the model file cannot be read. */
export function evaluationRecord(command: string, path: string, card: ModelCard, evaluation: Evaluation): EvaluationRecord {
  return { circumstances: circumstances(command, runtimeVersion()), modelFile: measuredFile(path, card), evaluation };
}
