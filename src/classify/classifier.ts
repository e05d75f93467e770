import { messageOf, UserError } from "../core/errors.ts";
import { type Provider, Session, tensor } from "../runtime/session.ts";
import type { ModelCard } from "./card.ts";
import { encodeModelFile, logPriorsOf, type ModelFile, readModelFile } from "./model-file.ts";

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
}

export interface ClassifierOptions {
  readonly provider?: Provider;
  readonly threads?: number;
}

export interface ClassifyOptions {
  /** Images per run; the default suits the caches of a CPU. */
  readonly batchSize?: number;
  readonly onProgress?: (done: number, total: number) => void;
}

/** A trained classifier that can say "I don't know": images in, verdicts out. */
export class Classifier {
  readonly card: ModelCard;
  /** log p(c) of the classes, [C]; undefined where the model takes it for uniform. */
  readonly logPriors: Float32Array | undefined;
  private readonly session: Session;

  private constructor(file: ModelFile, session: Session) {
    this.card = file.card;
    this.logPriors = logPriorsOf(file);
    this.session = session;
  }

  /** From a path or a file in memory. Errors: UserError when it is not a model of ours or is damaged. */
  static async load(model: string | ModelFile, options: ClassifierOptions = {}): Promise<Classifier> {
    const file = typeof model === "string" ? readModelFile(model) : model;
    try {
      return new Classifier(file, await Session.create(encodeModelFile(file), options));
    } catch (error) {
      throw typeof model === "string" ? new UserError(`${model}: ${messageOf(error)}`, { cause: error }) : error;
    }
  }

  /** Errors: UserError when the images have another number of channels than the model, or no pixels. */
  async classify(images: ImageBatch, { batchSize = 64, onProgress }: ClassifyOptions = {}): Promise<Classification> {
    const { count, height, width, channels, pixels } = images;
    const { classes } = this.card.model;
    if (channels !== this.card.model.channels) {
      throw new UserError(`images: the model takes ${this.card.model.channels} channel(s), got ${channels}`);
    }
    const perImage = height * width * channels;
    if (perImage === 0 || pixels.length !== count * perImage) {
      throw new UserError(`images: expected ${count} x ${height} x ${width} x ${channels} pixels, got ${pixels.length} values`);
    }
    const representationSize = this.card.model.head === "sdim" ? this.card.model.dimension : classes;
    const result = {
      count,
      labels: new Int32Array(count),
      accepted: new Uint8Array(count),
      logLikelihoods: new Float32Array(count),
      thresholds: new Float32Array(count),
      classLogLikelihoods: new Float32Array(count * classes),
      representations: new Float32Array(count * representationSize),
    };
    for (let start = 0; start < count; start += batchSize) {
      const size = Math.min(batchSize, count - start);
      const part = pixels.subarray(start * perImage, (start + size) * perImage);
      const outputs = await this.session.run({ images: tensor("uint8", part, [size, height, width, channels]) });
      const floats = (name: string) => outputs[name]!.data as Float32Array;
      result.labels.set(Array.from(outputs["label"]!.data as BigInt64Array, Number), start);
      result.accepted.set(outputs["accepted"]!.data as Uint8Array, start);
      result.logLikelihoods.set(floats("log_likelihood"), start);
      result.thresholds.set(floats("threshold"), start);
      result.classLogLikelihoods.set(floats("class_log_likelihoods"), start * classes);
      result.representations.set(floats("representation"), start * representationSize);
      onProgress?.(start + size, count);
    }
    return result;
  }

  async release(): Promise<void> {
    await this.session.release();
  }
}
