import { fileURLToPath } from "node:url";
import { messageOf, UserError } from "../core/errors.ts";
import { requireKnownKeys } from "../core/names.ts";
import { type Provider, requireMachine, Session, tensor } from "../runtime/session.ts";
import type { ModelCard } from "./card.ts";
import { type Classification, type ClassifyOptions, classifyWith, deciding, type ImageBatch } from "./classification.ts";
import { requireModelFile } from "./model-bytes.ts";
import { decodeModelFile, encodeModelFile, logPriorsOf, type ModelFile, readModelFile } from "./model-file.ts";

export type { Classification, ClassifyOptions, ImageBatch } from "./classification.ts";

export interface ClassifierOptions {
  readonly provider?: Provider;
  /** Of the CPU provider, 1 to 512; default: the cores that are there. */
  readonly threads?: number;
}

/** Errors: UserError for what is neither, or cannot be read. */
export function modelFileOf(model: string | Uint8Array | ModelFile): ModelFile {
  if (typeof model === "string") return readModelFile(model);
  if (ArrayBuffer.isView(model)) return decodeModelFile(model, "the model's bytes");
  requireModelFile(model, "a path, a file: URL, a file's bytes or ");
  return model;
}

function pathOf(url: URL): string {
  if (url.protocol === "file:") return fileURLToPath(url);
  throw new UserError(`model: expected a file: URL, got ${url.href}; fetch the file and give its bytes`);
}

/** A trained classifier that can say "I don't know": images in, verdicts out. */
export class Classifier {
  readonly card: ModelCard;
  /** log p(c) of the classes, [C]; undefined where the model takes it for uniform. */
  readonly logPriors: Float32Array | undefined;
  private readonly session: Session;
  private readonly running = new Set<Promise<Classification>>();
  private released: Promise<void> | undefined;

  private constructor(file: ModelFile, session: Session) {
    this.card = file.card;
    this.logPriors = logPriorsOf(file);
    this.session = session;
  }

  /** From a path, a file: URL (as such or as text), the bytes of a file, or a file that was read. Errors: UserError when it is not a model of ours or is damaged. */
  static async load(model: string | URL | Uint8Array | ModelFile, options: ClassifierOptions = {}): Promise<Classifier> {
    requireKnownKeys("Classifier.load", options, ["provider", "threads"]);
    requireMachine(options);
    const isAddress = model instanceof URL || (typeof model === "string" && model.startsWith("file:"));
    const path = isAddress ? pathOf(new URL(model)) : model;
    const file = modelFileOf(path);
    try {
      return new Classifier(file, await Session.create(encodeModelFile(file), options));
    } catch (error) {
      throw typeof path === "string" ? new UserError(`${path}: ${messageOf(error)}`, { cause: error }) : error;
    }
  }

  /**
   * Errors: UserError when the images have another number of channels than the model, or no pixels, or the card lacks the thresholds asked for, or after
   * `release`; Interrupted when `signal` is aborted.
   */
  async classify(images: ImageBatch, options: ClassifyOptions = {}): Promise<Classification> {
    requireKnownKeys("classify", options, ["batchSize", "onProgress", "signal", "percentile", "thresholdsFrom"]);
    if (this.released) throw new UserError("classify: this classifier was released; load another");
    const decide = deciding(this.card, options);
    const run = (pixels: Uint8Array, shape: readonly number[]) => this.session.run({ images: tensor("uint8", pixels, shape) });
    const work = classifyWith(run, this.card, images, options);
    this.running.add(work);
    try {
      return decide(await work);
    } finally {
      this.running.delete(work);
    }
  }

  /** Frees what the runtime holds, once what is being classified is done; a second time does nothing. */
  release(): Promise<void> {
    this.released ??= Promise.allSettled(this.running).then(() => this.session.release());
    return this.released;
  }
}
