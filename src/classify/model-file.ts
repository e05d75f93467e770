import { readFileSync } from "node:fs";
import { InternalError, messageOf, UserError } from "../core/errors.ts";
import { foldNorms } from "../nn/network.ts";
import { backgroundLimitName, buildInference, describeNetwork, logPriorsName, thresholdsName } from "../nn/scorer.ts";
import { lower, portable } from "../onnx/lower.ts";
import { setMetadata } from "../onnx/model-file.ts";
import type { ModelCard } from "./card.ts";
import { decodeModelFile, type ModelFile, tensorsOf, thresholdsInForce } from "./model-bytes.ts";

export {
  decodeModelFile,
  encodeModelFile,
  logPriorsOf,
  type ModelFile,
  tensorsOf,
  thresholdsInForce,
  withCard,
} from "./model-bytes.ts";

/**
 * Makes a model file from trained weights (by parameter name, unfolded): preprocessing, encoder with folded batch normalisation, class
 * log-likelihoods and decision, in standard ONNX operators only. `logPriors` [C], where they are not uniform.
 */
export function makeModelFile(weights: ReadonlyMap<string, Float32Array>, card: ModelCard, logPriors?: Float32Array): ModelFile {
  const { norms } = describeNetwork(card.model);
  const tensors = foldNorms(norms, weights);
  tensors.set(thresholdsName, thresholdsInForce(card));
  if (logPriors) tensors.set(logPriorsName, logPriors);
  return fileOf(card, tensors);
}

/** `tensors`: what the graph takes, by name. */
function fileOf(card: ModelCard, tensors: ReadonlyMap<string, Float32Array>): ModelFile {
  const { net, outputs } = buildInference(card.model, tensors.has(logPriorsName));
  const missing = net.graph.parameters().filter(({ name }) => !tensors.has(name));
  if (missing.length > 0) throw new InternalError(`model file: no weights for ${missing.map(({ name }) => name).join(", ")}`);
  const proto = lower(outputs, { target: portable, weights: tensors });
  setMetadata(proto, { sdim: JSON.stringify(card) });
  return { card, proto };
}

/** What a model rejects by, with what the penalty needs: b0 of `src/nn/scorer.ts`, nats. */
export type Rejecting =
  | { readonly rejectBy: "likelihood" }
  | { readonly rejectBy: "penalised-likelihood"; readonly backgroundLimit: number };

/**
 * The same classifier with another score to reject by; the thresholds in it are of the score before, so it must be calibrated anew.
 * Errors: UserError for the softmax head, and for an export, whose weights are no longer floats.
 */
export function rejecting(file: ModelFile, by: Rejecting): ModelFile {
  const { rejectBy: before = "likelihood", ...model } = file.card.model;
  if (by.rejectBy === "likelihood" && before === "likelihood") return file;
  if (model.head === "softmax") throw new UserError(`${by.rejectBy}: the softmax head has no likelihoods, it rejects by log p(c|x)`);
  const tensors = tensorsOf(file);
  if (!describeNetwork(model).norms.every(({ layer }) => tensors.has(`${layer}.weight`)))
    throw new UserError(`${by.rejectBy}: the weights are not stored in float32, as in files of sdim export: change the original file`);
  if (by.rejectBy === "likelihood") return fileOf({ ...file.card, model }, tensors);
  tensors.set(backgroundLimitName, Float32Array.of(by.backgroundLimit));
  return fileOf({ ...file.card, model: { ...model, rejectBy: by.rejectBy } }, tensors);
}

/** Errors: UserError when the file cannot be read, is not ONNX, or was not written by sdim. */
export function readModelFile(path: string): ModelFile {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    throw new UserError(`cannot read the model ${path}: ${messageOf(error)}`, { cause: error });
  }
  return decodeModelFile(bytes, path);
}
