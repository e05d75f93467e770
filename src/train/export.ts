import { join } from "node:path";
import { putInForce } from "../classify/calibrations.ts";
import { type ModelCard, newestFormat } from "../classify/card.ts";
import { encodeModelFile, type ModelFile, makeModelFile, withCard } from "../classify/model-file.ts";
import { InternalError, TrainingFailed, UserError } from "../core/errors.ts";
import { writeFileAtomic } from "../core/files.ts";
import { packageVersion } from "../core/version.ts";
import type { ImageSet } from "../data/image-set.ts";
import { countWeights, type ParameterSpec } from "../nn/network.ts";
import { averageName } from "../optim/average.ts";
import { type CalibrateOptions, calibrateModel } from "../reject/calibrate.ts";
import type { StateTensor } from "../runtime/feedback.ts";
import type { TrainingPosition } from "./checkpoint.ts";
import { modelConfigOf, type TrainConfig } from "./config.ts";

export const modelName = "model.onnx";

/** Percentiles a model file carries thresholds for, beside the one in force. */
export const storedPercentiles = [0.5, 1, 2, 5, 10] as const;

/** The images a training sees, and those held out of them. */
export interface TrainingData {
  readonly training: ImageSet;
  readonly validation?: ImageSet;
}

export function channelsOf(data: ImageSet): 1 | 3 {
  if (data.channels === 1 || data.channels === 3) return data.channels;
  throw new UserError(`${data.name}: expected images with 1 or 3 channels, got ${data.channels}`);
}

/** The weights and statistics that a model is made of: the moving averages, where the config has them. */
export function exportedWeights(
  state: ReadonlyMap<string, StateTensor>,
  parameters: readonly ParameterSpec[],
  { ema }: TrainConfig,
): Map<string, StateTensor> {
  return new Map(
    parameters.map(({ name }) => {
      const tensor = state.get(ema === null ? name : averageName(name));
      if (!tensor) throw new InternalError(`training state: no ${ema === null ? name : averageName(name)}`);
      return [name, tensor];
    }),
  );
}

/** A model file without thresholds worth the name: all 0. */
export function uncalibratedModel(
  weights: ReadonlyMap<string, StateTensor>,
  parameters: readonly ParameterSpec[],
  position: Pick<TrainingPosition, "config" | "data" | "step" | "startedFrom">,
  { training }: TrainingData,
): ModelFile {
  const { config, startedFrom } = position;
  const { name, split, fingerprint, classNames } = training;
  const zeros = [{ percentile: 0, values: classNames.map(() => 0) }];
  const card: ModelCard = {
    format: newestFormat,
    version: packageVersion(),
    model: modelConfigOf(config, classNames.length, channelsOf(training)),
    classNames: [...classNames],
    parameters: countWeights(parameters),
    prior: config.prior,
    calibration: { source: "training", data: name, split, fingerprint, correctOnly: true, counts: [], percentile: 0, thresholds: zeros },
    training: { config, data: position.data, steps: position.step, images: training.count, ...(startedFrom ? { startedFrom } : {}) },
    measured: {},
  };
  const logPriors = config.prior === "uniform" ? undefined : trainingLogPriors(training);
  return makeModelFile(new Map([...weights].map(([key, { data }]) => [key, data])), card, logPriors);
}

/** The note tells what a person should know of the thresholds. */
type CalibrateDraftOptions = Pick<CalibrateOptions, "threads" | "onProgress"> & { readonly onNote?: (note: string) => void };

/**
 * Takes the thresholds from the training images and, where some are held out, from those too. Held-out images may be too few for thresholds of their own:
 * a note says so, and is an error only where those were to be in force.
 */
export async function calibrateDraft(
  draft: ModelFile,
  { training, validation }: TrainingData,
  config: TrainConfig,
  { onNote, ...options }: CalibrateDraftOptions,
): Promise<ModelFile> {
  const { percentile, thresholdsFor, rejectBy } = config;
  const calibration = { ...options, percentile, percentiles: storedPercentiles, thresholdsFor };
  const score = rejectBy === "likelihood" ? {} : { rejectBy };
  let { file } = await calibrateModel(draft, training, { ...calibration, ...score, source: "training" });
  if (validation) {
    try {
      ({ file } = await calibrateModel(file, validation, { ...calibration, source: "validation" }));
    } catch (error) {
      if (!(error instanceof TrainingFailed) || config.thresholdsFrom === "validation") throw error;
      onNote?.(`the model has no thresholds of the ${validation.count} held-out images: ${error.message}`);
    }
    file = withCard(file, putInForce(file.card, config.thresholdsFrom, percentile));
  }
  noteNeverRight(file, config, onNote);
  return file;
}

/** The same, and writes `<out>/model.onnx`. */
export async function writeModel(
  draft: ModelFile,
  split: TrainingData,
  config: TrainConfig,
  out: string,
  options: CalibrateDraftOptions,
): Promise<{ readonly model: ModelFile; readonly modelPath: string }> {
  const model = await calibrateDraft(draft, split, config, options);
  const modelPath = join(out, modelName);
  writeFileAtomic(modelPath, encodeModelFile(model));
  return { model, modelPath };
}

/** With one threshold for all classes a class may do without any correct image; a user should know. */
function noteNeverRight(
  { card: { calibration, classNames, model } }: ModelFile,
  { meanSpread }: TrainConfig,
  onNote?: (note: string) => void,
): void {
  const never = classNames.filter((_, c) => calibration.counts[c] === 0).map((name) => `"${name}"`);
  if (never.length > 0)
    onNote?.(
      `no image of class ${never.join(", ")} is classified correctly: the model never says so. Train longer${model.head === "sdim" && meanSpread > 0.1 ? ", or with --mean-spread 0.1" : ""}`,
    );
}

function trainingLogPriors({ labels, classNames }: ImageSet): Float32Array {
  const counts = new Float32Array(classNames.length);
  for (const label of labels) counts[label]!++;
  return counts.map((count) => Math.log(count / labels.length));
}
