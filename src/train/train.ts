import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { ModelCard } from "../classify/card.ts";
import { encodeModelFile, type ModelFile, makeModelFile } from "../classify/model-file.ts";
import { UserError } from "../core/errors.ts";
import { writeFileAtomic } from "../core/files.ts";
import { packageVersion } from "../core/version.ts";
import { BatchOrder } from "../data/batches.ts";
import type { ImageSet } from "../data/image-set.ts";
import { countWeights } from "../nn/network.ts";
import { lower } from "../onnx/lower.ts";
import { calibrateModel } from "../reject/calibrate.ts";
import { FeedbackSession, nextName, type StateTensor } from "../runtime/feedback.ts";
import { targetFor } from "../runtime/layout.ts";
import type { Provider } from "../runtime/session.ts";
import { type Checkpoint, type HistoryRecord, loadCheckpoint, sameConfig } from "./checkpoint.ts";
import { lossConfigOf, modelConfigOf } from "./config.ts";
import { initialState } from "./initialise.ts";
import { type LoopOptions, runSteps } from "./loop.ts";
import { buildTrainingStep, type TrainingStep } from "./step.ts";

export type { TrainProgress } from "./loop.ts";

/** `out` gets config.json and model.onnx too. */
export interface TrainOptions extends LoopOptions {
  /** Go on from the folder's checkpoint. */
  readonly resume?: boolean;
  /** Train into a folder that holds something already. */
  readonly force?: boolean;
  readonly provider?: Provider;
  readonly threads?: number;
  /** While the training set is scored for the thresholds. */
  readonly onCalibrate?: (done: number, total: number) => void;
}

export interface TrainResult {
  readonly modelPath: string;
  readonly model: ModelFile;
  readonly history: readonly HistoryRecord[];
  /** Over all sessions, calibration included. */
  readonly elapsedSeconds: number;
}

/** Percentiles a model file carries thresholds for, beside the one in force. */
export const storedPercentiles = [0.5, 1, 2, 5, 10] as const;

/**
 * Trains a classifier, calibrates its thresholds on the training set and writes `<out>/model.onnx`.
 * Errors: UserError when the folder is taken (without `resume` or `force`), the checkpoint is of another config or data, the loss is not
 * finite (the last checkpoint stays), or a class has no correctly classified sample. Interrupted after `signal` aborts.
 */
export async function train(options: TrainOptions): Promise<TrainResult> {
  const { config, data, out } = options;
  const channels = channelsOf(data);
  const checkpoint = prepareFolder(options);
  const step = buildTrainingStep({
    model: modelConfigOf(config, data.classNames.length, channels),
    loss: lossConfigOf(config),
    negatives: config.negatives,
    batchSize: config.batchSize,
    height: data.height,
    width: data.width,
  });
  const order = new BatchOrder(data.count, config.batchSize, config.seed);
  const start = checkpoint ?? freshStart(options, step);
  if (!checkpoint) writeFileAtomic(join(out, "config.json"), `${JSON.stringify(config, null, 2)}\n`);
  const session = await startSession(step, start.state, options);
  let trained: Checkpoint;
  try {
    trained = await runSteps(session, order, start.position, options);
  } finally {
    await session.release();
  }
  return finish(trained, step, options);
}

function channelsOf(data: ImageSet): 1 | 3 {
  if (data.channels === 1 || data.channels === 3) return data.channels;
  throw new UserError(`${data.name}: expected images with 1 or 3 channels, got ${data.channels}`);
}

function prepareFolder({ out, resume, force, config, data }: TrainOptions): Checkpoint | undefined {
  if (resume) {
    const checkpoint = loadCheckpoint(out);
    if (!sameConfig(checkpoint.position.config, config)) {
      throw new UserError(`--resume: ${out} was trained with another config; leave the options out to go on with its own`);
    }
    if (checkpoint.position.data.fingerprint !== data.fingerprint) {
      throw new UserError(
        `--resume: ${out} was trained on ${checkpoint.position.data.name} (${checkpoint.position.data.split}), other data than ${data.name} (${data.split})`,
      );
    }
    return checkpoint;
  }
  if (!force && existsSync(out) && readdirSync(out).length > 0) {
    throw new UserError(`${out} exists and is not empty: choose another folder, go on with --resume, or overwrite with --force`);
  }
  return undefined;
}

function freshStart({ config, data }: TrainOptions, step: TrainingStep): Checkpoint {
  const { name, split, fingerprint, origin } = data;
  const from = { name, split, fingerprint, ...(origin ? { loading: origin.choices } : {}) };
  return {
    position: { config, data: from, step: 0, history: [], pending: { steps: 0, sums: {} }, elapsedSeconds: 0 },
    state: initialState(step.parameters, step.optimizerState, config.seed),
  };
}

async function startSession(step: TrainingStep, state: ReadonlyMap<string, StateTensor>, options: TrainOptions): Promise<FeedbackSession> {
  const provider = options.provider ?? "cpu";
  const outputs = { ...step.metrics, ...Object.fromEntries([...step.next].map(([name, value]) => [nextName(name), value])) };
  const model = lower(outputs, { target: await targetFor(provider) });
  return FeedbackSession.create(model, state, { provider, ...(options.threads === undefined ? {} : { threads: options.threads }) });
}

/** Exports, calibrates on the training set, and writes the model file. */
async function finish({ position, state }: Checkpoint, step: TrainingStep, options: TrainOptions): Promise<TrainResult> {
  const { config, data, out } = options;
  const startedAt = performance.now();
  const model = modelConfigOf(config, data.classNames.length, channelsOf(data));
  const weights = new Map([...state].map(([name, tensor]) => [name, tensor.data]));
  const logPriors = config.prior === "uniform" ? undefined : trainingLogPriors(data);
  const none = { data: data.name, split: data.split, fingerprint: data.fingerprint, correctOnly: true as const, counts: [], percentile: 0 };
  const draft: ModelCard = {
    format: 1,
    version: packageVersion(),
    model,
    classNames: [...data.classNames],
    parameters: countWeights(step.parameters),
    prior: config.prior,
    calibration: { ...none, thresholds: [{ percentile: 0, values: data.classNames.map(() => 0) }] },
    training: { config, data: position.data, steps: position.step, images: data.count },
    measured: {},
  };
  const percentiles = [...new Set([...storedPercentiles, config.percentile])].sort((a, b) => a - b);
  const { file } = await calibrateModel(makeModelFile(weights, draft, logPriors), data, {
    percentile: config.percentile,
    percentiles,
    ...(options.onCalibrate ? { onProgress: options.onCalibrate } : {}),
    ...(options.threads === undefined ? {} : { threads: options.threads }),
  });
  const modelPath = join(out, "model.onnx");
  writeFileAtomic(modelPath, encodeModelFile(file));
  return {
    modelPath,
    model: file,
    history: position.history,
    elapsedSeconds: position.elapsedSeconds + (performance.now() - startedAt) / 1000,
  };
}

function trainingLogPriors({ labels, classNames }: ImageSet): Float32Array {
  const counts = new Float32Array(classNames.length);
  for (const label of labels) counts[label]!++;
  return counts.map((count) => Math.log(count / labels.length));
}
