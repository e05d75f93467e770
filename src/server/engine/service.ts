import { thresholdsAt } from "../../classify/calibrations.ts";
import { decideAt } from "../../classify/classification.ts";
import { UserError } from "../../core/errors.ts";
import type { Picture } from "../../data/picture.ts";
import { HttpError, overloaded } from "../errors.ts";
import type { Metrics } from "../metrics.ts";
import type { NamedModel } from "../model-names.ts";
import { checkLimits, type Limits, type ServerOptions } from "../options.ts";
import { Batcher, type Verdict } from "./batcher.ts";
import { Budget } from "./budget.ts";
import { decode, type EncodedImage, readHeaders, unpackedPixels } from "./decode.ts";
import { Models, type Reload, type ServedModel } from "./models.ts";
import { ThreadPool } from "./pool.ts";

/** Of one request. */
export interface Classified {
  readonly model: ServedModel;
  readonly verdicts: readonly Verdict[];
  readonly decodeMs: number;
}

export interface ServiceEvents {
  readonly onReload: (reload: Reload) => void;
  readonly onThreadDeath: (error: Error) => void;
}

/** Which of a model file's thresholds decide. */
export interface Decision {
  readonly percentile?: number | undefined;
}

/** Models, threads, queue and limits: everything of the server but HTTP. */
export class InferenceService {
  readonly limits: Limits;
  readonly models: Models;
  readonly pool: ThreadPool;
  readonly batcher: Batcher;
  /** Bytes of bodies and of unpacked pixels. */
  readonly memory: Budget;
  private readonly images: Budget;
  private readonly metrics: Metrics;

  private constructor(options: ServerOptions, models: Models, pool: ThreadPool, metrics: Metrics) {
    this.limits = options.limits;
    this.models = models;
    this.pool = pool;
    this.metrics = metrics;
    this.batcher = new Batcher(pool, { ...options, onBatch: (size) => metrics.batchSize.observe(size) });
    this.memory = new Budget(options.limits.pendingBytes);
    this.images = new Budget(options.limits.queuedImages);
    metrics.watch({
      queued: () => this.batcher.queued,
      pendingImages: () => this.images.used,
      pendingBytes: () => this.memory.used,
      threadsUp: () => pool.upCount,
      threadsBusy: () => pool.busyCount,
    });
  }

  /** Errors: UserError when a model cannot be loaded or limits contradict each other. */
  static async start(
    models: readonly NamedModel[],
    options: ServerOptions,
    metrics: Metrics,
    events: ServiceEvents,
  ): Promise<InferenceService> {
    checkLimits(options);
    const pool = new ThreadPool(options.workers, events.onThreadDeath);
    try {
      const opened = await Models.open(models, pool);
      for (const { name, card } of opened.all()) metrics.addModel(name, card);
      if (options.reloadMs > 0) opened.watch(options.reloadMs, events.onReload);
      return new InferenceService(options, opened, pool, metrics);
    } catch (error) {
      await pool.close();
      throw error;
    }
  }

  /**
   * Decodes and classifies. Errors: HttpError, UserError when the model has no thresholds at the percentile asked for, the signal's reason when it
   * is aborted first.
   */
  async classify(name: string, images: readonly EncodedImage[], decision: Decision, signal: AbortSignal): Promise<Classified> {
    return this.withModel(name, images.length, async (model) => {
      const decide = decidingFor(model, decision);
      const start = performance.now();
      const { channels } = model.card.model;
      const headers = await readHeaders(images, this.limits.pixelsPerImage);
      return this.holding(channels * unpackedPixels(headers), async () => {
        signal.throwIfAborted();
        const pictures = await decode(images, headers, channels);
        const decodeMs = performance.now() - start;
        return { model, verdicts: decide(await this.run(model, pictures, signal)), decodeMs };
      });
    });
  }

  /** Classifies pixels; `picturesFor` makes them of the right number of channels. Errors: as `classify`. */
  async classifyPixels(
    name: string,
    count: number,
    picturesFor: (model: ServedModel) => readonly Picture[],
    decision: Decision,
    signal: AbortSignal,
  ): Promise<Classified> {
    return this.withModel(name, count, async (model) => {
      const decide = decidingFor(model, decision);
      return { model, verdicts: decide(await this.run(model, picturesFor(model), signal)), decodeMs: 0 };
    });
  }

  async close(): Promise<void> {
    this.models.close();
    this.batcher.close();
    await this.pool.close();
  }

  /** Errors: HttpError 503 when the memory is used by others, 413 when there is not so much at all. */
  async holding<T>(bytes: number, work: () => Promise<T>): Promise<T> {
    this.reserve(bytes);
    try {
      return await work();
    } finally {
      this.memory.give(bytes);
    }
  }

  reserve(bytes: number): void {
    if (bytes > this.memory.limit) {
      throw new HttpError(413, "too_large", `the request needs ${bytes} bytes of memory, more than the ${this.memory.limit} of the server`);
    }
    if (!this.memory.take(bytes)) throw overloaded("too much data is being worked on: try again later");
  }

  /** Verdicts by the thresholds in force. They are the ones that are counted: the drift signal compares them with the percentile in force. */
  private async run(model: ServedModel, pictures: readonly Picture[], signal: AbortSignal): Promise<readonly Verdict[]> {
    const verdicts = await allOrFirstError(pictures.map((picture) => this.batcher.classify(model.generation, picture, signal)));
    for (const { classIndex, accepted } of verdicts) {
      this.metrics.countVerdict(model.name, model.card.classNames[classIndex]!, accepted);
    }
    return verdicts;
  }

  private async withModel<T>(name: string, count: number, work: (model: ServedModel) => Promise<T>): Promise<T> {
    this.model(name);
    const { imagesPerRequest } = this.limits;
    if (count === 0) throw new HttpError(400, "no_images", "expected at least one image, got none");
    if (count > imagesPerRequest) throw tooManyImages(imagesPerRequest);
    if (!this.images.take(count)) throw overloaded(`the queue of ${this.images.limit} images is full: try again later`);
    try {
      return await this.models.using(name, work);
    } finally {
      this.images.give(count);
    }
  }

  /** Errors: HttpError 404 that names the nearest. */
  model(name: string): ServedModel {
    try {
      return this.models.get(name);
    } catch (error) {
      if (error instanceof UserError) throw new HttpError(404, "unknown_model", error.message);
      throw error;
    }
  }
}

export const tooManyImages = (limit: number): HttpError =>
  new HttpError(413, "too_many_images", `a request may have ${limit} images at most: send several requests`);

/** Verdicts by the thresholds in force to those asked for; the images of a batch may be of requests that ask for others. Errors: UserError that names what there is. */
function decidingFor({ card }: ServedModel, { percentile }: Decision): (verdicts: readonly Verdict[]) => readonly Verdict[] {
  if (percentile === undefined) return (verdicts) => verdicts;
  thresholdsAt(card, percentile);
  return (verdicts) => {
    const labels = Int32Array.from(verdicts, ({ classIndex }) => classIndex);
    const logLikelihoods = Float32Array.from(verdicts, ({ logLikelihood }) => logLikelihood);
    const { accepted, thresholds } = decideAt({ labels, logLikelihoods }, card, percentile);
    return verdicts.map((verdict, i) => ({ ...verdict, accepted: accepted[i] === 1, threshold: thresholds[i]! }));
  };
}

/** Waits for all, also where one fails: what they hold is given back after that. */
async function allOrFirstError<T>(promises: readonly Promise<T>[]): Promise<readonly T[]> {
  const results = await Promise.allSettled(promises);
  const failed = results.find((result) => result.status === "rejected");
  if (failed) throw failed.reason;
  return results.map((result) => (result as PromiseFulfilledResult<T>).value);
}
