import { commandLine } from "../core/circumstances.ts";
import { Interrupted } from "../core/errors.ts";
import type { Batch, BatchSource } from "../data/batch-source.ts";
import type { ImageSet } from "../data/image-set.ts";
import { learningRateAt } from "../optim/schedule.ts";
import type { FeedbackSession, StateTensor } from "../runtime/feedback.ts";
import { type Tensor, tensor } from "../runtime/session.ts";
import { type Checkpoint, saveCheckpoint } from "./checkpoint.ts";
import type { TrainConfig } from "./config.ts";
import { requireFiniteMetrics, requireFiniteState } from "./finite.ts";
import {
  bestValidated,
  type EpochRecord,
  type HistoryRecord,
  isExhausted,
  lowestLoss,
  means,
  named,
  noSums,
  type ValidationScore,
  withStep,
} from "./records.ts";
import { Speed } from "./speed.ts";

export interface TrainProgress {
  readonly step: number;
  readonly steps: number;
  readonly stepsPerEpoch: number;
  readonly epoch: number;
  readonly epochs: number;
  readonly loss: number;
  readonly parts: Readonly<Record<string, number>>;
  readonly trainAccuracy: number;
  readonly learningRate: number;
  readonly imagesPerSecond: number;
  readonly secondsLeft: number;
}

export interface LoopOptions {
  readonly config: TrainConfig;
  /** Folder for the checkpoints and metrics.jsonl. */
  readonly out: string;
  /** What the errors of a training that was stopped say goes on with it. Default: `sdim train --out <out> --resume`. */
  readonly resumeCommand?: string;
  /** Aborting it saves a checkpoint and throws Interrupted. */
  readonly signal?: AbortSignal;
  /** Steps between two checkpoints; none unless given. */
  readonly checkpointEverySteps?: number;
  /** Minutes between two checkpoints, default 5. */
  readonly checkpointEveryMinutes?: number;
  readonly onProgress?: (progress: TrainProgress) => void;
  /** After every epoch. */
  readonly onEpoch?: (record: EpochRecord) => void;
}

export const resumeCommandOf = ({ out, resumeCommand = commandLine("sdim", ["train", "--out", out, "--resume"]) }: LoopOptions): string =>
  resumeCommand;

/** What a loop runs on. */
export interface LoopParts {
  readonly session: FeedbackSession;
  readonly batches: BatchSource;
  /** For the shape of the images. */
  readonly images: ImageSet;
  readonly stepsPerEpoch: number;
  /** The weights of a state that would be exported. */
  readonly exported: (state: ReadonlyMap<string, StateTensor>) => Map<string, StateTensor>;
  /** Scores them on the held-out images; null where there are none. */
  readonly validate: ((weights: ReadonlyMap<string, StateTensor>, step: number) => Promise<ValidationScore>) | null;
  readonly record: (record: { readonly kind: "steps" } & HistoryRecord) => void;
  readonly recordEpoch: (record: { readonly kind: "epoch" } & EpochRecord) => void;
}

/** Steps between two history records. */
const recordEvery = 20;

/** At least one, and `epochs` of them otherwise, to the nearest step. */
export const stepsOf = ({ epochs }: TrainConfig, stepsPerEpoch: number): number => Math.max(1, Math.round(epochs * stepsPerEpoch));

/**
 * Runs from `start` to the last step or until patience is exhausted, saving a checkpoint now and then and at the end.
 * Errors: UserError when the loss or a weight is not finite (the last good checkpoint stays); Interrupted after `signal` aborts.
 */
export async function runSteps(parts: LoopParts, start: Checkpoint, options: LoopOptions): Promise<Checkpoint> {
  const { session, batches, stepsPerEpoch } = parts;
  const { config, out, signal, onProgress, onEpoch, checkpointEverySteps = Number.POSITIVE_INFINITY, checkpointEveryMinutes = 5 } = options;
  const steps = stepsOf(config, stepsPerEpoch);
  const startedAt = performance.now();
  const elapsedSeconds = () => start.position.elapsedSeconds + (performance.now() - startedAt) / 1000;
  const [history, epochs] = [[...start.position.history], [...start.position.epochs]];
  let { pending, pendingEpoch } = start.position;
  let { kept } = start;
  let savedAt = startedAt;
  const goodState = async (step: number) => {
    const state = await session.state();
    requireFiniteState(state, step, out);
    return state;
  };
  const save = async (step: number): Promise<Checkpoint> => {
    const position = { ...start.position, step, history, epochs, pending, pendingEpoch, elapsedSeconds: elapsedSeconds() };
    const checkpoint = { position, state: await goodState(step), kept };
    saveCheckpoint(out, checkpoint);
    savedAt = performance.now();
    return checkpoint;
  };
  const endEpoch = async (step: number): Promise<void> => {
    const needsState = parts.validate !== null || config.keep !== "last";
    const weights = needsState ? parts.exported(await goodState(step)) : undefined;
    const validation = parts.validate && weights ? await parts.validate(weights, step) : null;
    if (validation) requireFiniteMetrics({ "validation log-likelihood": validation.logLikelihood }, step - 1, out);
    const now = elapsedSeconds();
    const record: EpochRecord = {
      epoch: step / stepsPerEpoch,
      step,
      ...means(pendingEpoch),
      seconds: now - (epochs.at(-1)?.elapsedSeconds ?? 0),
      elapsedSeconds: now,
      validation,
    };
    epochs.push(record);
    pendingEpoch = noSums();
    if (weights && isToKeep(record, epochs, config)) kept = weights;
    parts.recordEpoch({ kind: "epoch", ...record });
    onEpoch?.(record);
  };
  const feeds = new StepFeeds(parts.images, config.batchSize);
  const speed = new Speed(config.batchSize, recordEvery);
  let step = start.position.step;
  while (step < steps && !isExhausted(epochs, config.patience)) {
    if (signal?.aborted) {
      await save(step);
      throw new Interrupted(`stopped after ${step} of ${steps} steps; go on with: ${resumeCommandOf(options)}`);
    }
    const learningRate = learningRateAt(config.schedule, config.learningRate, step, steps);
    const metrics = await session.step(feeds.of(await batches.take(step), learningRate));
    requireFiniteMetrics(metrics, step, out);
    step++;
    speed.tick();
    [pending, pendingEpoch] = [withStep(pending, metrics), withStep(pendingEpoch, metrics)];
    const now = { step, epoch: step / stepsPerEpoch, learningRate, imagesPerSecond: speed.imagesPerSecond };
    const isLast = step === steps;
    if (pending.steps === recordEvery || isLast) {
      const record: HistoryRecord = { ...now, ...means(pending) };
      history.push(record);
      parts.record({ kind: "steps", ...record });
      pending = noSums();
    }
    const secondsLeft = ((steps - step) * config.batchSize) / speed.imagesPerSecond;
    onProgress?.({ ...now, ...named(metrics), steps, stepsPerEpoch, epochs: config.epochs, secondsLeft });
    const pauseStartedAt = performance.now();
    if (step % stepsPerEpoch === 0 || isLast) await endEpoch(step);
    const isDue = step % checkpointEverySteps === 0 || performance.now() - savedAt >= 60_000 * checkpointEveryMinutes;
    if (isDue && !isLast) await save(step);
    speed.skip(performance.now() - pauseStartedAt);
    // Lets signals and timers be served: a step keeps the thread busy.
    await new Promise((resolve) => setImmediate(resolve));
  }
  return save(step);
}

/** Whether the epoch that just ended is the best so far, by what the config keeps. */
function isToKeep(record: EpochRecord, epochs: readonly EpochRecord[], { keep }: TrainConfig): boolean {
  if (keep === "last") return false;
  return record === (keep === "best-validation" ? bestValidated(epochs) : lowestLoss(epochs));
}

/** The inputs of a step. */
class StepFeeds {
  private readonly shape: readonly number[];

  constructor({ height, width, channels }: ImageSet, batchSize: number) {
    this.shape = [batchSize, height, width, channels];
  }

  of({ images, labels }: Batch, learningRate: number): Record<string, Tensor> {
    return {
      images: tensor("uint8", images, this.shape),
      labels: tensor("int64", labels, [labels.length]),
      learningRate: tensor("float32", Float32Array.of(learningRate), []),
    };
  }
}
