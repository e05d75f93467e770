import type { ModelCard } from "../classify/card.ts";
import { type ClassGaussians, classGaussiansOf } from "../classify/class-gaussians.ts";
import {
  type Classification,
  classifyWith,
  type DecisionOptions,
  deciding,
  joinClassifications,
  type RunOptions,
} from "../classify/classification.ts";
import { decodeModelFile, type ModelFile } from "../classify/model-bytes.ts";
import { WebSession, type WebSessionOptions } from "../runtime/web-session.ts";
import { type FetchProgress, fetchModel } from "./fetch-model.ts";
import { type BrowserImage, pictureOf } from "./pictures.ts";

export interface LoadClassifierOptions extends WebSessionOptions {
  readonly onProgress?: FetchProgress;
  /** Stops the download. */
  readonly signal?: AbortSignal;
}

export interface BrowserClassifyOptions extends DecisionOptions, Pick<RunOptions, "onProgress"> {}

/** A trained classifier in a browser; make one with `loadClassifier`. */
export class BrowserClassifier {
  readonly card: ModelCard;
  /** Undefined for the softmax head, which has none. */
  readonly gaussians: ClassGaussians | undefined;
  private readonly session: WebSession;

  constructor(file: ModelFile, session: WebSession) {
    this.card = file.card;
    this.gaussians = classGaussiansOf(file);
    this.session = session;
  }

  /**
   * One image or several, of any sizes: the verdicts that Node gives. Errors: UserError when one cannot be read, or when the card has no
   * thresholds at the percentile asked for.
   */
  async classify(
    images: BrowserImage | readonly BrowserImage[],
    { onProgress, ...decision }: BrowserClassifyOptions = {},
  ): Promise<Classification> {
    const all = Array.isArray(images) ? (images as readonly BrowserImage[]) : [images as BrowserImage];
    const decide = deciding(this.card, decision);
    const parts: Classification[] = [];
    for (const image of all) {
      const picture = await pictureOf(image, this.card.model.channels);
      parts.push(await classifyWith((pixels, shape) => this.session.run(pixels, shape), this.card, { ...picture, count: 1 }));
      onProgress?.(parts.length, all.length);
    }
    return decide(joinClassifications(parts));
  }

  async release(): Promise<void> {
    await this.session.release();
  }
}

/**
 * Loads a model file from its URL or its bytes. Errors: UserError when it cannot be fetched, is not a model of ours or is damaged, or when the
 * device asked for is not there.
 */
export async function loadClassifier(
  model: string | URL | Uint8Array | ArrayBuffer | Blob,
  { onProgress, signal, ...options }: LoadClassifierOptions = {},
): Promise<BrowserClassifier> {
  const { bytes, source } = await fetchModel(model, onProgress, signal);
  const file = decodeModelFile(bytes, source);
  return new BrowserClassifier(file, await WebSession.create(bytes, options));
}
