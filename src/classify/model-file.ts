import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { InternalError, messageOf, UserError } from "../core/errors.ts";
import { requireRegularFile } from "../core/files.ts";
import { foldNorms } from "../nn/network.ts";
import type { RejectScore } from "../nn/reject-score.ts";
import { buildInference, describeNetwork, logPriorsName, type Penalty, penaltyTensors, thresholdsName } from "../nn/scorer.ts";
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
function fileOf(card: ModelCard, tensors: ReadonlyMap<string, Float32Array>, options: { withStatistics?: boolean } = {}): ModelFile {
  const { net, outputs } = buildInference(card.model, tensors.has(logPriorsName), options);
  const missing = net.graph.parameters().filter(({ name }) => !tensors.has(name));
  if (missing.length > 0) throw new InternalError(`model file: no weights for ${missing.map(({ name }) => name).join(", ")}`);
  const proto = lower(outputs, { target: portable, weights: tensors });
  setMetadata(proto, { sdim: JSON.stringify(card) });
  return { card, proto };
}

/** What a model rejects by, with what the penalties of `src/nn/scorer.ts` need. */
export type Rejecting = { readonly rejectBy: "likelihood" } | { readonly rejectBy: "penalised-likelihood"; readonly penalty: Penalty };

/**
 * The same classifier with another score to reject by; the thresholds in it are of the score before, so it must be calibrated anew.
 * Errors: UserError for the softmax head, and for an export, whose weights are no longer floats.
 */
export function rejecting(file: ModelFile, by: Rejecting): ModelFile {
  const { rejectBy: before = "likelihood", ...model } = file.card.model;
  if (by.rejectBy === "likelihood" && before === "likelihood") return file;
  const tensors = floatTensors(file, by.rejectBy);
  if (by.rejectBy === "likelihood") return fileOf({ ...file.card, model }, tensors);
  const card = { ...file.card, model: { ...model, rejectBy: by.rejectBy } };
  return fileOf(card, new Map([...tensors, ...penaltyTensors(by.penalty)]));
}

/**
 * The same classifier that looks at mirror images too, or no longer does: its thresholds and penalties are those of before, so it must be calibrated anew, and
 * what was measured goes. Errors: UserError for an export, whose weights are no longer floats.
 */
export function withTestTimeFlip(file: ModelFile, testTimeFlip: boolean): ModelFile {
  const { testTimeFlip: before = false, ...model } = file.card.model;
  if (testTimeFlip === before) return file;
  const card = { ...file.card, model: testTimeFlip ? { ...model, testTimeFlip } : model, measured: {} };
  return fileOf(card, floatWeights(file, "test-time flip"));
}

/**
 * The same model with one more output, the channel statistics: a penalty is made of these. It is there to be run, not to be written.
 * Errors: as `rejecting`.
 */
export const withStatistics = (file: ModelFile): ModelFile =>
  fileOf(file.card, floatTensors(file, "penalised-likelihood"), { withStatistics: true });

function floatTensors(file: ModelFile, rejectBy: RejectScore): ReadonlyMap<string, Float32Array> {
  const { model } = file.card;
  if (model.head === "softmax") throw new UserError(`${rejectBy}: the softmax head has no likelihoods, it rejects by log p(c|x)`);
  return floatWeights(file, rejectBy);
}

/** The file's tensors, its weights among them. Errors: UserError, begun with `doing`, for an export, whose weights are no longer floats. */
export function floatWeights(file: ModelFile, doing: string): Map<string, Float32Array> {
  const tensors = tensorsOf(file);
  if (describeNetwork(file.card.model).norms.every(({ layer }) => tensors.has(`${layer}.weight`))) return tensors;
  throw new UserError(`${doing}: the weights are not stored in float32, as in files of sdim export; take the original file`);
}

/** Errors: UserError when the file cannot be read, is not ONNX, or was not written by sdim. */
export const readModelFile = (path: string): ModelFile => decodeModelFile(readModelBytes(path), path);

/** Errors: UserError with the path and the reason, also for what is no regular file. */
export function readModelBytes(path: string): Buffer {
  try {
    requireRegularFile(path);
    return readFileSync(path);
  } catch (error) {
    const inside = join(path, "model.onnx");
    const reason = existsSync(inside) ? `it is a folder; did you mean ${inside}?` : messageOf(error);
    throw new UserError(`cannot read the model ${path}: ${reason}`, { cause: error });
  }
}
