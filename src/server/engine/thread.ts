import { parentPort } from "node:worker_threads";
import { Classifier, type ClassifyOptions, type ImageBatch } from "../../classify/classifier.ts";
import { decodeModelFile } from "../../classify/model-file.ts";
import { InternalError, messageOf, UserError } from "../../core/errors.ts";
import { failureOf } from "../../core/worker.ts";
import type { Answer, Inferred, LoadRequest, NumberedRequest, Request, Value } from "./messages.ts";

// An inference thread: holds a classifier of every model, with one thread of ONNX Runtime, and answers one request after another.

if (!parentPort) throw new InternalError("inference thread: expected to run as a worker thread");
const port = parentPort;
const classifiers = new Map<number, Classifier>();

async function load({ generation, bytes, source }: LoadRequest): Promise<Value> {
  const known = classifiers.get(generation);
  if (known) return known.card;
  const file = decodeModelFile(bytes, source);
  let classifier: Classifier;
  try {
    classifier = await Classifier.load(file, { threads: 1 });
  } catch (error) {
    throw new UserError(`${source}: ${messageOf(error)}`, { cause: error });
  }
  await tryOut(classifier, source);
  classifiers.set(generation, classifier);
  return classifier.card;
}

/** A file that loads may still fail when it runs, or not have our outputs: that is found out here, not by the first request. */
async function tryOut(classifier: Classifier, source: string): Promise<void> {
  const { imageSize, channels } = classifier.card.model;
  const pixels = new Uint8Array(imageSize * imageSize * channels);
  try {
    await classifier.classify({ pixels, count: 1, height: imageSize, width: imageSize, channels });
  } catch (error) {
    await classifier.release();
    throw new UserError(`${source}: loads, but does not classify: ${messageOf(error)}`, { cause: error });
  }
}

async function classify(generation: number, images: ImageBatch, options: ClassifyOptions): Promise<Inferred> {
  const classifier = classifiers.get(generation);
  if (!classifier) throw new InternalError(`inference thread: no model of generation ${generation}`);
  const start = performance.now();
  const result = await classifier.classify(images, options);
  return { result, inferenceMs: performance.now() - start };
}

async function drop(generation: number): Promise<undefined> {
  const classifier = classifiers.get(generation);
  classifiers.delete(generation);
  await classifier?.release();
  return undefined;
}

async function stop(): Promise<undefined> {
  for (const classifier of classifiers.values()) await classifier.release();
  // Nothing is left to wait for: the thread ends after its answer.
  port.unref();
  return undefined;
}

function handle(request: Request): Promise<Value> {
  switch (request.kind) {
    case "load":
      return load(request);
    case "drop":
      return drop(request.generation);
    case "stop":
      return stop();
    case "classify":
      return classify(request.generation, request.images, { batchSize: request.images.count });
  }
}

async function answer({ id, request }: NumberedRequest): Promise<void> {
  let reply: Answer;
  try {
    reply = { id, value: await handle(request) };
  } catch (error) {
    reply = { id, failure: failureOf(error) };
  }
  port.postMessage(reply);
}

let last = Promise.resolve();
port.on("message", (message: NumberedRequest) => {
  last = last.then(() => answer(message));
});
