import { parentPort, workerData } from "node:worker_threads";
import type { DecisionOptions } from "../classify/classification.ts";
import { Classifier, type ClassifierOptions, type ImageBatch } from "../classify/classifier.ts";
import { decodeModelFile } from "../classify/model-file.ts";
import { InternalError } from "../core/errors.ts";
import { type Failure, failureOf } from "../core/worker.ts";

// The thread that classifies: ONNX Runtime keeps the thread that calls it busy, and files are read meanwhile.

/** What the thread is started with. */
export interface ClassifyWork {
  readonly model: Uint8Array;
  readonly source: string;
  readonly options: ClassifierOptions;
  readonly decision: DecisionOptions;
}

export interface Verdicts {
  readonly labels: Int32Array;
  readonly accepted: Uint8Array;
  readonly logLikelihoods: Float32Array;
  readonly thresholds: Float32Array;
  readonly classLogLikelihoods: Float32Array;
}

export type ClassifyAnswer = { readonly verdicts: Verdicts } | { readonly failure: Failure };

if (!parentPort) throw new InternalError("classify-worker: expected to run as a worker thread");
const port = parentPort;
const { model, source, options, decision } = workerData as ClassifyWork;
const loading = Classifier.load(decodeModelFile(model, source), options);

async function answer(batch: ImageBatch): Promise<ClassifyAnswer> {
  try {
    const { labels, accepted, logLikelihoods, thresholds, classLogLikelihoods } = await (await loading).classify(batch, {
      batchSize: batch.count,
      ...decision,
    });
    return { verdicts: { labels, accepted, logLikelihoods, thresholds, classLogLikelihoods } };
  } catch (error) {
    return { failure: failureOf(error) };
  }
}

// Its error is the answer to the first batch.
loading.catch(() => undefined);
port.on("message", (batch: ImageBatch | "end") => {
  if (batch !== "end") answer(batch).then((reply) => port.postMessage(reply));
  else
    loading
      .then((classifier) => classifier.release())
      .catch(() => undefined)
      .finally(() => port.close());
});
