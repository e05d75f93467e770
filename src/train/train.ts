import { existsSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { type ModelFile, readModelFile } from "../classify/model-file.ts";
import { Interrupted, UserError } from "../core/errors.ts";
import { removeTemporaries, writeFileAtomic } from "../core/files.ts";
import { type BatchSource, InThreadBatches } from "../data/batch-source.ts";
import { BatchOrder } from "../data/batches.ts";
import { holdOut } from "../data/hold-out.ts";
import type { ImageSet } from "../data/image-set.ts";
import { WorkerBatches } from "../data/worker-batches.ts";
import { meanParameter } from "../nn/gaussians.ts";
import { lower } from "../onnx/lower.ts";
import { FeedbackSession, nextName, type StateTensor } from "../runtime/feedback.ts";
import { targetFor } from "../runtime/layout.ts";
import type { Provider } from "../runtime/session.ts";
import { beginWith } from "./begin-with.ts";
import {
  type Checkpoint,
  checkpointPath,
  hasCheckpoint,
  type LoadedCheckpoint,
  loadCheckpoint,
  previousCheckpointPath,
  sameConfig,
} from "./checkpoint.ts";
import { lossConfigOf, modelConfigOf, savedConfigSchema, type TrainConfig, withCalibrationOf } from "./config.ts";
import { channelsOf, exportedWeights, modelName, type TrainingData, uncalibratedModel, writeModel } from "./export.ts";
import { initialState } from "./initialise.ts";
import { lockFolder, lockName } from "./lock.ts";
import { type LoopOptions, type LoopParts, resumeCommandOf, runSteps } from "./loop.ts";
import { MetricsLog, metricsPath } from "./metrics-log.ts";
import { type EpochRecord, type HistoryRecord, noSums } from "./records.ts";
import { buildTrainingStep, type TrainingStep } from "./step.ts";
import { EventFile, eventFilesIn } from "./tensorboard.ts";
import { validate } from "./validate.ts";

export { storedPercentiles } from "./export.ts";
export type { TrainProgress } from "./loop.ts";

/** `out` gets config.json and model.onnx too. */
export interface TrainOptions extends LoopOptions {
  /** The config's `validation` share is held out of it. */
  readonly data: ImageSet;
  /** Go on from the folder's checkpoint. */
  readonly resume?: boolean;
  /** Folder of another training or a model file, whose weights this one begins with, where their shapes agree. */
  readonly from?: string;
  /** Train into a folder that holds something already; checkpoints, model and measurements of an earlier run are removed. */
  readonly force?: boolean;
  readonly provider?: Provider;
  readonly threads?: number;
  /** Whether a thread of its own prepares the batches (default), or the training's; the result is the same. */
  readonly batchThread?: boolean;
  /** Whether to write event files for TensorBoard into `<out>/tensorboard`. */
  readonly tensorboard?: boolean;
  /** While images are scored for the thresholds. */
  readonly onCalibrate?: (done: number, total: number) => void;
  /** What a person should know of: a damaged checkpoint whose predecessor had to serve. */
  readonly onNote?: (text: string) => void;
}

export interface TrainResult {
  readonly modelPath: string;
  readonly model: ModelFile;
  readonly history: readonly HistoryRecord[];
  readonly epochs: readonly EpochRecord[];
  /** Whether the model file was there already, of the last step, and was left as it was. */
  readonly wasThere: boolean;
  /** Over all sessions, calibration included. */
  readonly elapsedSeconds: number;
}

/**
 * Trains a classifier, calibrates its thresholds on the training set and writes `<out>/model.onnx`.
 * Errors: UserError when a class has no image, the folder is taken (without `resume` or `force`) or another process trains in it, the checkpoint is of another config or data, the loss is not
 * finite (the last checkpoint stays), or a class has no correctly classified sample. Interrupted after `signal` aborts.
 */
export async function train(options: TrainOptions): Promise<TrainResult> {
  const channels = channelsOf(options.data);
  requireEveryClass(options.data);
  requireFolder(options.out);
  const unlock = lockFolder(options.out);
  try {
    for (const path of filesOfTraining(options.out)) removeTemporaries(path);
    const checkpoint = checkpointOf(options);
    if (checkpoint?.damage !== undefined) useOlder(checkpoint, checkpoint.damage, options);
    return await trainFrom(checkpoint, channels, options);
  } finally {
    unlock();
  }
}

async function trainFrom(checkpoint: Checkpoint | undefined, channels: 1 | 3, options: TrainOptions): Promise<TrainResult> {
  const { config, data, out } = options;
  const split: TrainingData = config.validation > 0 ? holdOut(data, config.validation, config.seed) : { training: data };
  const { training } = split;
  const step = buildTrainingStep({
    model: modelConfigOf(config, data.classNames.length, channels),
    loss: lossConfigOf(config),
    negatives: config.negatives,
    batchSize: config.batchSize,
    height: data.height,
    width: data.width,
    weightDecay: config.weightDecay,
    ...(config.ema === null ? {} : { ema: config.ema }),
  });
  const { stepsPerEpoch } = new BatchOrder(training.count, config.batchSize, config.seed);
  const start = checkpoint ?? (await freshStart(options, step, training));
  const batches = batchesOf(training, config, start.position.step, options.batchThread ?? true);
  let trained: Checkpoint;
  try {
    const session = await startSession(step, start.state, options);
    try {
      const events = options.tensorboard ? new EventFile(join(out, tensorboardName), start.position.step) : undefined;
      // Only now that nothing stands in the way.
      if (!checkpoint) beginFolder(out, events);
      writeFileAtomic(join(out, configName), `${JSON.stringify(config, null, 2)}\n`);
      const parts = { session, batches, images: training, stepsPerEpoch, ...bookkeeping(step, start, split, options, events) };
      trained = await runSteps(parts, start, options);
    } finally {
      await session.release();
    }
  } finally {
    await batches.close();
  }
  if (checkpoint && isFinished(checkpoint, trained, options)) return alreadyFinished(trained, options);
  return finish(trained, step, split, options);
}

/** A class that no image is of could never have a threshold. */
function requireEveryClass({ name, split, classNames, labels, count }: ImageSet): void {
  const there = new Set(labels);
  const empty = classNames.filter((_, c) => !there.has(c)).map((className) => `"${className}"`);
  if (empty.length === 0) return;
  throw new UserError(
    `${name} (${split}): none of the ${count} images is of class ${empty.join(", ")}; every class needs some. Take more images (--limit), or data whose labels count from 0 without gaps`,
  );
}

function requireFolder(out: string): void {
  if (out === "") throw new UserError("--out: expected a folder for the run, got an empty name");
  if (existsSync(out) && !statSync(out).isDirectory()) throw new UserError(`${out}: is a file; expected a folder for the run`);
}

/** What to go on from, if anything; that the folder may be used. Errors: UserError that says why not. */
function checkpointOf({ out, resume, force, config, data }: TrainOptions): LoadedCheckpoint | undefined {
  if (resume) {
    const checkpoint = loadCheckpoint(out);
    if (!sameConfig(withCalibrationOf(checkpoint.position.config, config), config)) {
      throw new UserError(`--resume: ${out} was trained with another config; leave the options out to go on with its own`);
    }
    const { name, split, fingerprint } = checkpoint.position.data;
    if (fingerprint !== data.fingerprint) {
      const isNamedSo = name === data.name && split === data.split;
      const other = isNamedSo
        ? "of which it was other images than now. Give --limit, --channels, --test-share and --split-seed as then, or bring the files back"
        : `other data than ${data.name} (${data.split})`;
      throw new UserError(`--resume: ${out} was trained on ${name} (${split}), ${other}`);
    }
    return { ...checkpoint, position: { ...checkpoint.position, config } };
  }
  if (!force && readdirSync(out).some((name) => name !== lockName)) {
    const goOn = hasCheckpoint(out) ? ", go on with --resume" : "";
    throw new UserError(`${out} exists and is not empty: choose another folder${goOn}, or overwrite with --force`);
  }
  return undefined;
}

/** From here on the good one is the newest, so that the next to be written does not push it out. */
function useOlder({ position }: Checkpoint, damage: string, { out, onNote }: TrainOptions): void {
  onNote?.(`${damage}\ngoing on from the checkpoint before it, at step ${position.step}`);
  renameSync(previousCheckpointPath(out), checkpointPath(out));
}

const [configName, tensorboardName] = ["config.json", "tensorboard"];

/** What a training writes bit by bit, or replaces. */
const filesOfTraining = (out: string): string[] => [
  checkpointPath(out),
  previousCheckpointPath(out),
  metricsPath(out),
  ...[modelName, configName].map((name) => join(out, name)),
];

/** What an earlier run left must not pass for this one's, should it be killed before its first checkpoint. */
function beginFolder(out: string, events: EventFile | undefined): void {
  const left = [modelName, "evaluation.json", "robustness.json", "report.html"].map((name) => join(out, name));
  for (const path of [checkpointPath(out), previousCheckpointPath(out), ...left]) rmSync(path, { force: true });
  for (const path of eventFilesIn(join(out, tensorboardName))) if (path !== events?.path) rmSync(path);
}

async function freshStart(
  { config, data, from, threads, onNote }: TrainOptions,
  step: TrainingStep,
  training: ImageSet,
): Promise<Checkpoint> {
  const { name, split, fingerprint, origin } = data;
  const source = { name, split, fingerprint, ...(origin ? { loading: origin.choices } : {}) };
  const records = { history: [], epochs: [], pending: noSums(), pendingEpoch: noSums() };
  const state = initialState(step.parameters, step.optimizerState, config.seed, {
    [meanParameter]: { kind: "normal", deviation: config.meanSpread },
  });
  const position = { config, data: source, step: 0, ...records, elapsedSeconds: 0 };
  if (from === undefined) return { position, state, kept: new Map() };
  const seen = { images: training, imageSize: config.imageSize, ...(threads === undefined ? {} : { threads }) };
  const begun = await beginWith(from, step.parameters, state, seen);
  onNote?.(begun.note);
  return { position: { ...position, startedFrom: begun.startedFrom }, state: begun.state, kept: new Map() };
}

function batchesOf(set: ImageSet, config: TrainConfig, firstStep: number, hasThread: boolean): BatchSource {
  const { batchSize, seed, cropPadding, flip, randomErasing } = config;
  const plan = { batchSize, seed, augmentation: { cropPadding, flip, randomErasing } };
  return hasThread ? new WorkerBatches(set, plan, firstStep) : new InThreadBatches(set, plan);
}

async function startSession(step: TrainingStep, state: ReadonlyMap<string, StateTensor>, options: TrainOptions): Promise<FeedbackSession> {
  const provider = options.provider ?? "cpu";
  const outputs = { ...step.metrics, ...Object.fromEntries([...step.next].map(([name, value]) => [nextName(name), value])) };
  const model = lower(outputs, { target: await targetFor(provider) });
  return FeedbackSession.create(model, state, { provider, ...(options.threads === undefined ? {} : { threads: options.threads }) });
}

/** What happens beside the steps: records, and the score on held-out images. */
function bookkeeping(
  { parameters }: TrainingStep,
  { position }: Checkpoint,
  { training, validation }: TrainingData,
  { config, out, threads }: TrainOptions,
  events: EventFile | undefined,
): Pick<LoopParts, "exported" | "validate" | "record" | "recordEpoch"> {
  const log = new MetricsLog(out, position.history, position.epochs);
  const options = { percentile: config.percentile, ...(threads === undefined ? {} : { threads }) };
  return {
    exported: (state) => exportedWeights(state, parameters, config),
    validate:
      validation === undefined
        ? null
        : (weights, step) =>
            validate(uncalibratedModel(weights, parameters, { ...position, step }, { training }), { training, validation }, options),
    record: (record) => {
      log.append(record);
      events?.steps(record);
    },
    recordEpoch: (record) => {
      log.append(record);
      events?.epoch(record);
    },
  };
}

/** Whether nothing was left to do, so that the model file, which may have been calibrated anew since and may know fewer keys, can stay as it is. */
const isFinished = (before: LoadedCheckpoint, after: Checkpoint, { config, out, onNote }: TrainOptions): boolean =>
  after.position.step === before.position.step && isDeepStrictEqual(configOfModel(join(out, modelName), onNote), config);

/** The config that the model file is of; undefined where there is none, or it cannot be read. */
function configOfModel(path: string, onNote: TrainOptions["onNote"]): TrainConfig | undefined {
  if (!existsSync(path)) return undefined;
  try {
    return savedConfigSchema.safeParse(readModelFile(path).card.training["config"]).data;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    onNote?.(`${error.message}\nit is made anew, of the checkpoint`);
    return undefined;
  }
}

function alreadyFinished({ position }: Checkpoint, { out, onNote }: TrainOptions): TrainResult {
  const modelPath = join(out, modelName);
  onNote?.(`${modelPath} is there already, of the last step: it is left as it is`);
  const { history, epochs, elapsedSeconds } = position;
  return { modelPath, model: readModelFile(modelPath), history, epochs, elapsedSeconds, wasThere: true };
}

/** Exports, calibrates, and writes the model file. */
async function finish(
  { position, state, kept }: Checkpoint,
  step: TrainingStep,
  split: TrainingData,
  options: TrainOptions,
): Promise<TrainResult> {
  const { config, out, threads, signal, onCalibrate, onNote } = options;
  const startedAt = performance.now();
  const weights = config.keep === "last" ? exportedWeights(state, step.parameters, config) : kept;
  const draft = uncalibratedModel(weights, step.parameters, position, split);
  const { model, modelPath } = await writeModel(draft, split, config, out, {
    onProgress: (done, total) => {
      if (signal?.aborted) throw new Interrupted(`stopped before it was calibrated; go on with: ${resumeCommandOf(options)}`);
      onCalibrate?.(done, total);
    },
    ...(onNote ? { onNote } : {}),
    ...(threads === undefined ? {} : { threads }),
  });
  return {
    modelPath,
    model,
    history: position.history,
    epochs: position.epochs,
    wasThere: false,
    elapsedSeconds: position.elapsedSeconds + (performance.now() - startedAt) / 1000,
  };
}
