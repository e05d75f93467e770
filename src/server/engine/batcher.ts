import type { Classification } from "../../classify/classifier.ts";
import { InternalError } from "../../core/errors.ts";
import type { Picture } from "../../data/picture.ts";
import type { ClaimedThread, ThreadPool } from "./pool.ts";

/** What the model says of one image. */
export interface Verdict {
  readonly classIndex: number;
  readonly accepted: boolean;
  /** Of the winning class, nats. */
  readonly logLikelihood: number;
  readonly threshold: number;
  /** [C], nats. */
  readonly classLogLikelihoods: Float32Array;
  /** [d] */
  readonly representation: Float32Array;
  /** From being given in to the start of its batch. */
  readonly queueMs: number;
  /** Of its whole batch. */
  readonly inferenceMs: number;
}

export interface BatcherOptions {
  /** Images of a batch at most. */
  readonly maxBatch: number;
  /** How long an image waits for others while a thread is free. */
  readonly maxWaitMs: number;
  readonly onBatch?: (size: number) => void;
}

interface Waiting {
  readonly picture: Picture;
  readonly since: number;
  readonly resolve: (verdict: Verdict) => void;
  readonly reject: (reason: unknown) => void;
  readonly signal: AbortSignal;
  readonly onAbort: () => void;
}

/** Images that may share a batch: for one model file, of one size. The first has waited longest. */
interface Group {
  readonly generation: number;
  readonly limit: number;
  readonly images: Waiting[];
}

/** What is needed of a pool. */
export type Threads = Pick<ThreadPool, "claim" | "giveBack" | "onFree">;

/** A batch of large images is cut short here: it is copied once, and the model needs many times as much. */
const mostBatchBytes = 16 * 2 ** 20;
/** Copied without a pause, so that the event loop is held up for a few milliseconds at most. */
const copiedAtOnce = 4 * 2 ** 20;

/**
 * Dynamic batching: images wait until as many are there as make a batch, or one of them has waited long enough, and a thread is free. While
 * all threads are busy they gather. An image whose request has given up leaves the queue.
 */
export class Batcher {
  private readonly groups = new Map<string, Group>();
  private readonly pool: Threads;
  private readonly options: BatcherOptions;
  private timer: NodeJS.Timeout | undefined;

  constructor(pool: Threads, options: BatcherOptions) {
    this.pool = pool;
    this.options = options;
    pool.onFree = () => this.pump();
  }

  /** Images that wait for their batch. */
  get queued(): number {
    return [...this.groups.values()].reduce((total, { images }) => total + images.length, 0);
  }

  /** Errors: the signal's reason when it is aborted first, InternalError when the inference fails. */
  classify(generation: number, picture: Picture, signal: AbortSignal): Promise<Verdict> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const { height, width, pixels } = picture;
      const key = `${generation} ${height} ${width}`;
      const limit = Math.max(1, Math.min(this.options.maxBatch, Math.floor(mostBatchBytes / pixels.length)));
      const group: Group = this.groups.get(key) ?? { generation, limit, images: [] };
      this.groups.set(key, group);
      const onAbort = () => {
        group.images.splice(group.images.indexOf(waiting), 1);
        if (group.images.length === 0) this.groups.delete(key);
        reject(signal.reason);
      };
      const waiting: Waiting = { picture, since: performance.now(), resolve, reject, signal, onAbort };
      signal.addEventListener("abort", onAbort, { once: true });
      group.images.push(waiting);
      this.pump();
    });
  }

  close(): void {
    clearTimeout(this.timer);
  }

  /** Gives free threads what is ready, the longest wait first. */
  private pump(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    for (;;) {
      const next = this.longestWaiting();
      if (!next) return;
      const [key, group, waitsStill] = next;
      if (waitsStill > 0) {
        this.timer = setTimeout(() => this.pump(), Math.ceil(waitsStill));
        return;
      }
      const thread = this.pool.claim();
      if (!thread) return;
      const batch = group.images.splice(0, group.limit);
      if (group.images.length === 0) this.groups.delete(key);
      for (const { signal, onAbort } of batch) signal.removeEventListener("abort", onAbort);
      void this.run(thread, group.generation, batch);
    }
  }

  /** The group to run next and how long it waits for more, ms: full ones wait no longer. */
  private longestWaiting(): readonly [string, Group, number] | undefined {
    const now = performance.now();
    let best: readonly [string, Group, number] | undefined;
    for (const [key, group] of this.groups) {
      const isFull = group.images.length >= group.limit;
      const waitsStill = isFull ? 0 : Math.max(0, group.images[0]!.since + this.options.maxWaitMs - now);
      const isBetter =
        best === undefined || waitsStill < best[2] || (waitsStill === best[2] && group.images[0]!.since < best[1].images[0]!.since);
      if (isBetter) best = [key, group, waitsStill];
    }
    return best;
  }

  private async run(thread: ClaimedThread, generation: number, batch: readonly Waiting[]): Promise<void> {
    const start = performance.now();
    try {
      const { height, width, channels } = batch[0]!.picture;
      const pixels = await gather(batch.map(({ picture }) => picture.pixels));
      this.options.onBatch?.(batch.length);
      const { result, inferenceMs } = await thread.classify(generation, { pixels, count: batch.length, height, width, channels });
      batch.forEach(({ resolve, reject, since }, i) => {
        try {
          resolve({ ...verdictOf(result, i), queueMs: start - since, inferenceMs });
        } catch (error) {
          // Of this image alone: others of the batch may be of other clients.
          reject(error);
        }
      });
    } catch (error) {
      for (const { reject } of batch) reject(error);
    } finally {
      this.pool.giveBack(thread);
    }
  }
}

/** One after another in a buffer of its own, which can be handed to a thread. */
async function gather(parts: readonly Uint8Array[]): Promise<Uint8Array> {
  const all = new Uint8Array(parts.reduce((total, { length }) => total + length, 0));
  let [offset, sincePause] = [0, 0];
  for (const part of parts) {
    for (let start = 0; start < part.length; start += copiedAtOnce) {
      const piece = part.subarray(start, start + copiedAtOnce);
      if (sincePause + piece.length > copiedAtOnce) {
        await new Promise(setImmediate);
        sincePause = 0;
      }
      all.set(piece, offset);
      offset += piece.length;
      sincePause += piece.length;
    }
  }
  return all;
}

function verdictOf(result: Classification, i: number): Omit<Verdict, "queueMs" | "inferenceMs"> {
  const row = (values: Float32Array) => values.slice((i * values.length) / result.count, ((i + 1) * values.length) / result.count);
  const verdict = {
    classIndex: result.labels[i]!,
    accepted: result.accepted[i] === 1,
    logLikelihood: result.logLikelihoods[i]!,
    threshold: result.thresholds[i]!,
    classLogLikelihoods: row(result.classLogLikelihoods),
    representation: row(result.representations),
  };
  // JSON has no word for them, and a threshold compared with them decides nothing.
  if (!verdict.classLogLikelihoods.every(Number.isFinite)) throw new InternalError("the model gave a log-likelihood that is not finite");
  return verdict;
}
