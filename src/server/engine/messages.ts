import type { ModelCard } from "../../classify/card.ts";
import type { Classification, ImageBatch } from "../../classify/classifier.ts";
import type { Failure } from "../../core/worker.ts";

// What the server and its inference threads say to each other. Every request has a number, and gets one answer with that number.

export interface LoadRequest {
  readonly kind: "load";
  /** Of a model file: another content, another generation. */
  readonly generation: number;
  readonly bytes: Uint8Array;
  /** Names the file in errors. */
  readonly source: string;
}

export interface DropRequest {
  readonly kind: "drop";
  readonly generation: number;
}

export interface ClassifyRequest {
  readonly kind: "classify";
  readonly generation: number;
  readonly images: ImageBatch;
}

/** The last one. */
export interface StopRequest {
  readonly kind: "stop";
}

export type Request = LoadRequest | DropRequest | ClassifyRequest | StopRequest;

/** What one inference gives. */
export interface Inferred {
  readonly result: Classification;
  readonly inferenceMs: number;
}

/** Of `load` the model's card, of `classify` the verdicts, of `drop` and `stop` nothing. */
export type Value = ModelCard | Inferred | undefined;

export interface NumberedRequest {
  readonly id: number;
  readonly request: Request;
}

/** A mistake is the model file's. */
export type Answer = { readonly id: number; readonly value: Value } | { readonly id: number; readonly failure: Failure };
