import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { ModelCard } from "../classify/card.ts";
import { encodeModelFile, type ModelFile, makeModelFile } from "../classify/model-file.ts";
import { Interrupted, UserError } from "../core/errors.ts";
import { writeFileAtomic } from "../core/files.ts";
import { packageVersion } from "../core/version.ts";
import { BatchOrder } from "../data/batches.ts";
import { gatherImages, gatherLabels, type ImageSet } from "../data/image-set.ts";
import { countWeights } from "../nn/network.ts";
import { lower } from "../onnx/lower.ts";
import { learningRateAt } from "../optim/schedule.ts";
import { calibrateModel } from "../reject/calibrate.ts";
import { FeedbackSession, nextName, type StateTensor } from "../runtime/feedback.ts";
import { targetFor } from "../runtime/layout.ts";
import { type Provider, type Tensor, tensor } from "../runtime/session.ts";
import { type Checkpoint, type HistoryRecord, loadCheckpoint, sameConfig, saveCheckpoint, type TrainingPosition } from "./checkpoint.ts";
import { lossConfigOf, modelConfigOf, type TrainConfig } from "./config.ts";
import { initialState } from "./initialise.ts";
import { buildTrainingStep, type TrainingStep } from "./step.ts";

export interface TrainProgress {
  readonly step: number;
  readonly steps: number;
  readonly epoch: number;
  readonly epochs: number;
  readonly loss: number;
  readonly parts: Readonly<Record<string, number>>;
  readonly trainAccuracy: number;
  readonly learningRate: number;
  readonly imagesPerSecond: number;
  readonly secondsLeft: number;
}

export interface TrainOptions {
  readonly config: TrainConfig;
  readonly data: ImageSet;
  /** Folder for config.json, metrics.jsonl, checkpoint.safetensors and model.onnx. */
  readonly out: string;
  /** Go on from the folder's checkpoint. */
  readonly resume?: boolean;
  /** Train into a folder that holds something already. */
  readonly force?: boolean;
  readonly provider?: Provider;
  readonly threads?: number;
  /** Aborting it saves a checkpoint and throws Interrupted. */
  readonly signal?: AbortSignal;
  readonly checkpointEverySteps?: number;
  readonly onProgress?: (progress: TrainProgress) => void;
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

/** Steps between two history records. */
const recordEvery = 20;

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
  const { name, split, fingerprint } = data;
  return {
    position: { config, data: { name, split, fingerprint }, step: 0, history: [], pending: { steps: 0, sums: {} }, elapsedSeconds: 0 },
    state: initialState(step.parameters, step.optimizerState, config.seed),
  };
}

async function startSession(step: TrainingStep, state: ReadonlyMap<string, StateTensor>, options: TrainOptions): Promise<FeedbackSession> {
  const provider = options.provider ?? "cpu";
  const outputs = { ...step.metrics, ...Object.fromEntries([...step.next].map(([name, value]) => [nextName(name), value])) };
  const model = lower(outputs, { target: await targetFor(provider) });
  return FeedbackSession.create(model, state, { provider, ...(options.threads === undefined ? {} : { threads: options.threads }) });
}

/** Runs from `position` to the last step, saving a checkpoint now and then. */
async function runSteps(
  session: FeedbackSession,
  order: BatchOrder,
  position: TrainingPosition,
  options: TrainOptions,
): Promise<Checkpoint> {
  const { config, data, out, signal, onProgress, checkpointEverySteps = 200 } = options;
  const steps = Math.max(1, Math.round(config.epochs * order.stepsPerEpoch));
  const feeds = new BatchFeeds(data, config.batchSize);
  const startedAt = performance.now();
  const elapsed = () => position.elapsedSeconds + (performance.now() - startedAt) / 1000;
  const history = [...position.history];
  let pending = { steps: position.pending.steps, sums: { ...position.pending.sums } };
  const stateAt = async (step: number): Promise<Checkpoint> => ({
    position: { ...position, step, history, pending, elapsedSeconds: elapsed() },
    state: await session.state(),
  });
  const speed = new Speed(config.batchSize);
  let step = position.step;
  for (; step < steps; step++) {
    if (signal?.aborted) {
      saveCheckpoint(out, await stateAt(step));
      throw new Interrupted(`stopped after ${step} of ${steps} steps; go on with: sdim train --out ${out} --resume`);
    }
    const learningRate = learningRateAt(config.schedule, config.learningRate, step, steps);
    const metrics = await session.step(feeds.of(order.batch(step), learningRate));
    requireFinite(metrics, step, out);
    speed.tick();
    for (const [name, value] of Object.entries(metrics)) pending.sums[name] = (pending.sums[name] ?? 0) + value;
    pending.steps++;
    if (pending.steps === recordEvery || step + 1 === steps) {
      const { loss, trainAccuracy, ...parts } = Object.fromEntries(
        Object.entries(pending.sums).map(([name, sum]) => [name, sum / pending.steps]),
      ) as Record<string, number> & { loss: number; trainAccuracy: number };
      history.push({
        step: step + 1,
        epoch: (step + 1) / order.stepsPerEpoch,
        loss,
        parts,
        trainAccuracy,
        learningRate,
        imagesPerSecond: speed.imagesPerSecond,
      });
      pending = { steps: 0, sums: {} };
    }
    if (onProgress) {
      const { loss, trainAccuracy, ...parts } = metrics as Record<string, number> & { loss: number; trainAccuracy: number };
      onProgress({
        step: step + 1,
        steps,
        epoch: (step + 1) / order.stepsPerEpoch,
        epochs: config.epochs,
        loss,
        parts,
        trainAccuracy,
        learningRate,
        imagesPerSecond: speed.imagesPerSecond,
        secondsLeft: ((steps - step - 1) * config.batchSize) / speed.imagesPerSecond,
      });
    }
    if ((step + 1) % checkpointEverySteps === 0 && step + 1 < steps) saveCheckpoint(out, await stateAt(step + 1));
    // Lets signals and timers be served: a step keeps the thread busy.
    await new Promise((resolve) => setImmediate(resolve));
  }
  const done = await stateAt(steps);
  saveCheckpoint(out, done);
  return done;
}

function requireFinite(metrics: Readonly<Record<string, number>>, step: number, out: string): void {
  const wrong = Object.entries(metrics).filter(([, value]) => !Number.isFinite(value));
  if (wrong.length === 0) return;
  const parts = wrong.map(([name, value]) => `${name} = ${value}`).join(", ");
  throw new UserError(
    `training stopped at step ${step + 1}: ${parts}. The last good checkpoint stays in ${out}. Try a lower --learning-rate or a --log-sigma-floor.`,
  );
}

/** The inputs of a step, in buffers that are used again. */
class BatchFeeds {
  private readonly data: ImageSet;
  private readonly images: Uint8Array;
  private readonly labels: BigInt64Array;
  private readonly shape: readonly number[];

  constructor(data: ImageSet, batchSize: number) {
    this.data = data;
    this.shape = [batchSize, data.height, data.width, data.channels];
    this.images = new Uint8Array(this.shape.reduce((a, b) => a * b, 1));
    this.labels = new BigInt64Array(batchSize);
  }

  of(indices: Int32Array, learningRate: number): Record<string, Tensor> {
    gatherImages(this.data, indices, this.images);
    gatherLabels(this.data, indices, this.labels);
    return {
      images: tensor("uint8", this.images, this.shape),
      labels: tensor("int64", this.labels, [indices.length]),
      learningRate: tensor("float32", Float32Array.of(learningRate), []),
    };
  }
}

/** Images per second over the last steps. */
class Speed {
  private readonly batchSize: number;
  private readonly times: number[] = [performance.now()];

  constructor(batchSize: number) {
    this.batchSize = batchSize;
  }

  tick(): void {
    this.times.push(performance.now());
    if (this.times.length > recordEvery + 1) this.times.shift();
  }

  get imagesPerSecond(): number {
    const milliseconds = this.times.at(-1)! - this.times[0]!;
    return milliseconds === 0 ? 0 : ((this.times.length - 1) * this.batchSize * 1000) / milliseconds;
  }
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
