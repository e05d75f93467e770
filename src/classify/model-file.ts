import { readFileSync } from "node:fs";
import { InternalError, messageOf, UserError } from "../core/errors.ts";
import { foldNorms } from "../nn/network.ts";
import { buildInference, describeNetwork, logPriorsName, thresholdsName } from "../nn/scorer.ts";
import { lower, portable } from "../onnx/lower.ts";
import { setMetadata } from "../onnx/model-file.ts";
import type { ModelCard } from "./card.ts";
import { decodeModelFile, type ModelFile, thresholdsInForce } from "./model-bytes.ts";

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
  const { net, outputs } = buildInference(card.model, logPriors !== undefined);
  const { norms } = describeNetwork(card.model);
  const tensors = foldNorms(norms, weights);
  tensors.set(thresholdsName, thresholdsInForce(card));
  if (logPriors) tensors.set(logPriorsName, logPriors);
  const missing = net.graph.parameters().filter(({ name }) => !tensors.has(name));
  if (missing.length > 0) throw new InternalError(`model file: no weights for ${missing.map(({ name }) => name).join(", ")}`);
  const proto = lower(outputs, { target: portable, weights: tensors });
  setMetadata(proto, { sdim: JSON.stringify(card) });
  return { card, proto };
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
