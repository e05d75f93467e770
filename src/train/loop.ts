import { Interrupted, UserError } from "../core/errors.ts";
import { gatherAugmented } from "../data/augment.ts";
import type { BatchOrder } from "../data/batches.ts";
import { gatherLabels, type ImageSet } from "../data/image-set.ts";
import { learningRateAt } from "../optim/schedule.ts";
import type { FeedbackSession, StateTensor } from "../runtime/feedback.ts";
import { type Tensor, tensor } from "../runtime/session.ts";
import { type Checkpoint, type HistoryRecord, saveCheckpoint, type TrainingPosition } from "./checkpoint.ts";
import type { TrainConfig } from "./config.ts";

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

export interface LoopOptions {
  readonly config: TrainConfig;
  readonly data: ImageSet;
  /** Folder for checkpoint.safetensors and metrics.jsonl. */
  readonly out: string;
  /** Aborting it saves a checkpoint and throws Interrupted. */
  readonly signal?: AbortSignal;
  /** Default 200. */
  readonly checkpointEverySteps?: number;
  readonly onProgress?: (progress: TrainProgress) => void;
}

/** Steps between two history records. */
const recordEvery = 20;

/**
 * Runs from `position` to the last step, saving a checkpoint now and then and at the end.
 * Errors: UserError when the loss or a weight is not finite (the last good checkpoint stays); Interrupted after `signal` aborts.
 */
export async function runSteps(
  session: FeedbackSession,
  order: BatchOrder,
  position: TrainingPosition,
  options: LoopOptions,
): Promise<Checkpoint> {
  const { config, data, out, signal, onProgress, checkpointEverySteps = 200 } = options;
  const steps = Math.max(1, Math.round(config.epochs * order.stepsPerEpoch));
  const feeds = new BatchFeeds(data, config);
  const startedAt = performance.now();
  const history = [...position.history];
  let pending = { steps: position.pending.steps, sums: { ...position.pending.sums } };
  const save = async (step: number): Promise<Checkpoint> => {
    const elapsedSeconds = position.elapsedSeconds + (performance.now() - startedAt) / 1000;
    const checkpoint = { position: { ...position, step, history, pending, elapsedSeconds }, state: await session.state() };
    requireFiniteState(checkpoint.state, step, out);
    saveCheckpoint(out, checkpoint);
    return checkpoint;
  };
  const speed = new Speed(config.batchSize);
  for (let step = position.step; step < steps; step++) {
    if (signal?.aborted) {
      await save(step);
      throw new Interrupted(`stopped after ${step} of ${steps} steps; go on with: sdim train --out ${out} --resume`);
    }
    const learningRate = learningRateAt(config.schedule, config.learningRate, step, steps);
    const metrics = await session.step(feeds.of(order.batch(step), step, learningRate));
    requireFiniteMetrics(metrics, step, out);
    speed.tick();
    for (const [name, value] of Object.entries(metrics)) pending.sums[name] = (pending.sums[name] ?? 0) + value;
    pending.steps++;
    const now = { step: step + 1, epoch: (step + 1) / order.stepsPerEpoch, learningRate, imagesPerSecond: speed.imagesPerSecond };
    if (pending.steps === recordEvery || step + 1 === steps) {
      const means = Object.entries(pending.sums).map(([name, sum]) => [name, sum / pending.steps] as const);
      history.push({ ...now, ...named(Object.fromEntries(means)) });
      pending = { steps: 0, sums: {} };
    }
    const secondsLeft = ((steps - step - 1) * config.batchSize) / speed.imagesPerSecond;
    onProgress?.({ ...now, ...named(metrics), steps, epochs: config.epochs, secondsLeft });
    if ((step + 1) % checkpointEverySteps === 0 && step + 1 < steps) await save(step + 1);
    // Lets signals and timers be served: a step keeps the thread busy.
    await new Promise((resolve) => setImmediate(resolve));
  }
  return save(steps);
}

/** The step's metrics with the parts of the loss apart from the loss itself. */
function named({
  loss,
  trainAccuracy,
  ...parts
}: Readonly<Record<string, number>>): Pick<HistoryRecord, "loss" | "parts" | "trainAccuracy"> {
  return { loss: loss!, parts, trainAccuracy: trainAccuracy! };
}

const advice = (out: string): string => `The last good checkpoint stays in ${out}. Try a lower --learning-rate or a --log-sigma-floor.`;

function requireFiniteMetrics(metrics: Readonly<Record<string, number>>, step: number, out: string): void {
  const wrong = Object.entries(metrics).filter(([, value]) => !Number.isFinite(value));
  if (wrong.length === 0) return;
  throw new UserError(
    `training stopped at step ${step + 1}: ${wrong.map(([name, value]) => `${name} = ${value}`).join(", ")}. ${advice(out)}`,
  );
}

/** A step with a finite loss may still have broken the weights: such a state must not replace a good checkpoint. */
function requireFiniteState(state: ReadonlyMap<string, StateTensor>, step: number, out: string): void {
  for (const [name, { data }] of state) {
    const wrong = data.find((value) => !Number.isFinite(value));
    if (wrong !== undefined) throw new UserError(`training stopped at step ${step}: ${name} holds ${wrong}. ${advice(out)}`);
  }
}

/** The inputs of a step, in buffers that are used again. */
class BatchFeeds {
  private readonly data: ImageSet;
  private readonly config: TrainConfig;
  private readonly images: Uint8Array;
  private readonly labels: BigInt64Array;
  private readonly shape: readonly number[];

  constructor(data: ImageSet, config: TrainConfig) {
    this.data = data;
    this.config = config;
    this.shape = [config.batchSize, data.height, data.width, data.channels];
    this.images = new Uint8Array(this.shape.reduce((a, b) => a * b, 1));
    this.labels = new BigInt64Array(config.batchSize);
  }

  of(indices: Int32Array, step: number, learningRate: number): Record<string, Tensor> {
    gatherAugmented(this.data, indices, this.config, { seed: this.config.seed, step }, this.images);
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
