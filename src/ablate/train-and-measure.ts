import { Classifier } from "../classify/classifier.ts";
import { circumstances } from "../core/circumstances.ts";
import { TrainingFailed } from "../core/errors.ts";
import { fileDigest } from "../core/files.ts";
import { type EvaluateOptions, evaluate } from "../evaluate/evaluate.ts";
import { calibrateModel } from "../reject/calibrate.ts";
import { runtimeVersion } from "../runtime/session.ts";
import { hasCheckpoint } from "../train/checkpoint.ts";
import { isRun } from "../train/runs.ts";
import { storedPercentiles, type TrainOptions, type TrainResult } from "../train/train.ts";
import { fingerprintsOf, type StudyData } from "./data.ts";
import { type KeptOutcome, keepOutcome, type MeasuredOutcome, measurementOf, type Outcome } from "./outcome.ts";
import type { PlannedTraining } from "./study.ts";

/** The paper's first; every model file carries thresholds at it. */
export const studyPercentile = 1;

export interface MeasureOptions {
  readonly threads?: number;
  /** While images are scored. */
  readonly onProgress?: (what: string, done: number, total: number) => void;
}

export interface TrainAndMeasureOptions extends MeasureOptions {
  /** What trains. */
  readonly train: (options: TrainOptions) => Promise<TrainResult>;
  /** As the result is to name it. */
  readonly command: string;
}

/**
 * Trains into `folder`, or goes on with what is there, measures the model and keeps what came of it. A training that fails by what was asked of
 * it (TrainingFailed) is an outcome too; every other error is thrown.
 */
export async function trainAndMeasure(
  { config }: PlannedTraining,
  data: StudyData,
  folder: string,
  { train, command, ...options }: TrainAndMeasureOptions,
): Promise<KeptOutcome> {
  const outcome = await outcomeOf(async () => {
    const resume = hasCheckpoint(folder);
    // One that was killed before its first checkpoint left nothing to go on with.
    const force = !resume && isRun(folder);
    const { threads } = options;
    const trained = await train({ config, data: data.training, out: folder, resume, force, ...(threads === undefined ? {} : { threads }) });
    return measure(trained, data, options);
  });
  const kept: KeptOutcome = { config, data: fingerprintsOf(data), circumstances: circumstances(command, runtimeVersion()), outcome };
  keepOutcome(folder, kept);
  return kept;
}

async function outcomeOf(work: () => Promise<MeasuredOutcome>): Promise<Outcome> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof TrainingFailed) return { kind: "failed", reason: error.message };
    throw error;
  }
}

async function measure(
  { model, modelPath, epochs, elapsedSeconds }: TrainResult,
  { validation, outliers, test, reported }: StudyData,
  { threads, onProgress }: MeasureOptions,
): Promise<MeasuredOutcome> {
  const machine = threads === undefined ? {} : { threads };
  // Thresholds of images that no training has seen, beside those of the training images.
  const { file } = await calibrateModel(model, validation, {
    ...machine,
    source: "validation",
    percentile: studyPercentile,
    percentiles: storedPercentiles,
  });
  const classifier = await Classifier.load(file, machine);
  try {
    // How numbers vary is seen from trainings with other seeds, which resampled images do not know of.
    const options: EvaluateOptions = {
      percentiles: [studyPercentile],
      bootstrap: { resamples: 0 },
      ...(onProgress ? { onProgress } : {}),
    };
    const choosing = await evaluate(classifier, validation, { ...options, ood: outliers });
    const tested = await evaluate(classifier, test, { ...options, ood: reported });
    const { loss, parts, trainAccuracy } = epochs.at(-1)!;
    return {
      kind: "measured",
      seconds: elapsedSeconds,
      parameters: model.card.parameters,
      final: { loss, parts, trainAccuracy },
      choosing: measurementOf(choosing.evaluation),
      test: measurementOf(tested.evaluation),
      model: fileDigest(modelPath),
    };
  } finally {
    await classifier.release();
  }
}
