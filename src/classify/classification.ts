import { Interrupted, UserError } from "../core/errors.ts";
import { isOfKind, requireObject, unexpected } from "../core/kinds.ts";
import { representationSize } from "../nn/classifier.ts";
import { thresholdsAt } from "./calibrations.ts";
import type { CalibrationSource, ModelCard } from "./card.ts";

// What every runtime has in common: images to batches, outputs to verdicts.

/** Images of one size: uint8 [count, height, width, channels]. */
export interface ImageBatch {
  readonly pixels: Uint8Array;
  readonly count: number;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

/** Verdicts over `count` images. */
export interface Classification {
  readonly count: number;
  /** Class index of each image, [N]. */
  readonly labels: Int32Array;
  /** 1 where the winning class's log-likelihood is not below its threshold, [N]. */
  readonly accepted: Uint8Array;
  /** Of the winning class, nats, [N]. */
  readonly logLikelihoods: Float32Array;
  /** Of the winning class, [N]. */
  readonly thresholds: Float32Array;
  /** Raw, nats, [N, C]. */
  readonly classLogLikelihoods: Float32Array;
  /** [N, d] */
  readonly representations: Float32Array;
  /** Channel statistics, [N, S], of a model that has them as an output (`withStatistics`). */
  readonly statistics?: Float32Array;
}

export interface RunOptions {
  /** Images per run; the default suits the caches of a CPU. */
  readonly batchSize?: number;
  readonly onProgress?: (done: number, total: number) => void;
  /** Stops between two batches. */
  readonly signal?: AbortSignal;
}

/** Which of the thresholds that the card has decide. */
export interface DecisionOptions {
  /** Default: the percentile in force. */
  readonly percentile?: number;
  /** Where they were taken from; default: the calibration in force. */
  readonly thresholdsFrom?: CalibrationSource;
}

export interface ClassifyOptions extends RunOptions, DecisionOptions {}

/** Runs a model file on uint8 images of `shape` [n, height, width, channels]: its outputs by name. */
export type RunModel = (pixels: Uint8Array, shape: readonly number[]) => Promise<Readonly<Record<string, { readonly data: unknown }>>>;

/** Errors: UserError when the images have another number of channels than the model, or no pixels; Interrupted when `signal` is aborted. */
export async function classifyWith(
  run: RunModel,
  { model }: ModelCard,
  images: ImageBatch,
  { batchSize = 64, onProgress, signal }: RunOptions = {},
): Promise<Classification> {
  requireObject("images", "pixels with their count, height, width and channels", images);
  const { count, height, width, channels, pixels } = images;
  const { classes } = model;
  if (channels !== model.channels) {
    throw new UserError(`images: the model takes ${model.channels} channel(s), got ${channels}`);
  }
  if (!Number.isInteger(batchSize) || batchSize < 1)
    throw new UserError(`batchSize: expected a whole number of images, at least 1, got ${batchSize}`);
  // Not by instanceof: an array may come from another realm.
  if (!ArrayBuffer.isView(pixels) || pixels.BYTES_PER_ELEMENT !== 1)
    throw new UserError("images: expected pixels as a Uint8Array [count, height, width, channels], from 0 to 255");
  if (signal !== undefined && !isOfKind(signal, "AbortSignal")) throw unexpected("signal", "an AbortSignal", signal);
  if (!Number.isInteger(count)) throw new UserError(`images: expected count, a whole number of images, got ${count}`);
  const perImage = height * width * channels;
  if (perImage === 0 || pixels.length !== count * perImage) {
    throw new UserError(`images: expected ${count} x ${height} x ${width} x ${channels} pixels, got ${pixels.length} values`);
  }
  const dimension = representationSize(model);
  const result = {
    count,
    labels: new Int32Array(count),
    accepted: new Uint8Array(count),
    logLikelihoods: new Float32Array(count),
    thresholds: new Float32Array(count),
    classLogLikelihoods: new Float32Array(count * classes),
    representations: new Float32Array(count * dimension),
  };
  let statistics: Float32Array | undefined;
  for (let start = 0; start < count; start += batchSize) {
    if (signal?.aborted) throw new Interrupted(`classify: stopped after ${start} of ${count} images`);
    const size = Math.min(batchSize, count - start);
    const outputs = await run(pixels.subarray(start * perImage, (start + size) * perImage), [size, height, width, channels]);
    const floats = (name: string) => outputs[name]!.data as Float32Array;
    result.labels.set(Array.from(outputs["label"]!.data as BigInt64Array, Number), start);
    result.accepted.set(outputs["accepted"]!.data as Uint8Array, start);
    result.logLikelihoods.set(floats("log_likelihood"), start);
    result.thresholds.set(floats("threshold"), start);
    result.classLogLikelihoods.set(floats("class_log_likelihoods"), start * classes);
    result.representations.set(floats("representation"), start * dimension);
    if (outputs["statistics"]) {
      const values = floats("statistics");
      const perSample = values.length / size;
      statistics ??= new Float32Array(count * perSample);
      statistics.set(values, start * perSample);
    }
    onProgress?.(start + size, count);
  }
  return statistics ? { ...result, statistics } : result;
}

/** What is decided of. */
type Scored = Pick<Classification, "labels" | "logLikelihoods">;

/**
 * The same scores decided anew by the thresholds at `percentile`, of the calibration in force or of `source`: what a model file says that
 * has them in force, without running it again. Errors: UserError that names what the card has.
 */
export function decideAt<T extends Scored>(
  result: T,
  card: ModelCard,
  percentile: number,
  source?: CalibrationSource,
): T & Pick<Classification, "accepted" | "thresholds"> {
  const { values } = thresholdsAt(card, percentile, source);
  if (!isOfKind((result as T | undefined)?.labels, "Int32Array")) throw unexpected("result", "what classify gives", result);
  return { ...result, thresholds: Float32Array.from(result.labels, (label) => values[label]!), accepted: acceptedBy(result, values) };
}

/**
 * The decision rule (paper, Eq. 9) by the thresholds of the classes, nats, [C]: 1 where the winning score is not strictly below the winning
 * class's, [N]. They are compared as float32, as the model file holds them.
 */
export function acceptedBy({ labels, logLikelihoods }: Scored, thresholds: ArrayLike<number>): Uint8Array {
  return Uint8Array.from(labels, (label, i) => Number(logLikelihoods[i]! >= Math.fround(thresholds[label]!)));
}

/** How the thresholds asked for decide on what a model said. Errors: UserError that names what the card has, before anything is run. */
export function deciding(card: ModelCard, { percentile, thresholdsFrom }: DecisionOptions): (result: Classification) => Classification {
  if (percentile === undefined && thresholdsFrom === undefined) return (result) => result;
  const asked = percentile ?? card.calibration.percentile;
  thresholdsAt(card, asked, thresholdsFrom);
  return (result) => decideAt(result, card, asked, thresholdsFrom);
}

/** What a model says of one image. */
export interface ImageVerdict {
  /** Name of the winning class, also where it is rejected. */
  readonly label: string;
  readonly accepted: boolean;
  /** Of the winning class, nats: what is compared with its threshold. */
  readonly logLikelihood: number;
  readonly threshold: number;
}

/** `result` image by image, with the names of the classes. `card`: of the model that gave it. */
export function verdictsOf(result: Classification, card: Pick<ModelCard, "classNames">): ImageVerdict[] {
  requireObject("card", "the card of a classifier or a model file", card);
  if (!isOfKind((result as Classification | undefined)?.labels, "Int32Array")) throw unexpected("result", "what classify gives", result);
  return Array.from(result.labels, (label, i) => ({
    label: card.classNames[label]!,
    accepted: result.accepted[i] === 1,
    logLikelihood: result.logLikelihoods[i]!,
    threshold: result.thresholds[i]!,
  }));
}

/** The verdicts over several groups of images of one model, as one. */
export function joinClassifications(parts: readonly Classification[]): Classification {
  const floats = (pick: (part: Classification) => Float32Array) => Float32Array.from(parts.flatMap((part) => Array.from(pick(part))));
  return {
    count: parts.reduce((sum, { count }) => sum + count, 0),
    labels: Int32Array.from(parts.flatMap(({ labels }) => Array.from(labels))),
    accepted: Uint8Array.from(parts.flatMap(({ accepted }) => Array.from(accepted))),
    logLikelihoods: floats(({ logLikelihoods }) => logLikelihoods),
    thresholds: floats(({ thresholds }) => thresholds),
    classLogLikelihoods: floats(({ classLogLikelihoods }) => classLogLikelihoods),
    representations: floats(({ representations }) => representations),
  };
}
