import { InternalError, UserError } from "../core/errors.ts";
import { unexpected } from "../core/kinds.ts";
import { representationSize } from "../nn/classifier.ts";
import { logPriorsName, thresholdsName } from "../nn/scorer.ts";
import type { ModelProto } from "../onnx/generated/onnx_pb.ts";
import {
  copyModel,
  decodeModel,
  describeValues,
  encodeModel,
  metadata,
  readTensor,
  replaceInitializer,
  setMetadata,
  type TensorDType,
} from "../onnx/model-file.ts";
import { type ModelCard, parseCard } from "./card.ts";

// Model files in memory, with nothing of Node: what the library and the browser share.

/** A model file in memory. */
export interface ModelFile {
  readonly card: ModelCard;
  readonly proto: ModelProto;
}

/** Errors: UserError for anything else, which only callers without a compiler give. `others`: what may be given as well. */
export function requireModelFile(model: unknown, others = ""): asserts model is ModelFile {
  if (typeof model === "object" && model !== null && "card" in model && "proto" in model) return;
  throw unexpected("model", `${others}what readModelFile gives`, model);
}

export function thresholdsInForce({ calibration }: ModelCard): Float32Array {
  const set = calibration.thresholds.find(({ percentile }) => percentile === calibration.percentile);
  if (!set) throw new InternalError(`model file: no thresholds at the percentile in force, ${calibration.percentile}`);
  return Float32Array.from(set.values);
}

/** A copy of the file with another card, and its thresholds in force in the `thresholds` tensor; all else is the same. */
export function withCard(file: ModelFile, card: ModelCard): ModelFile {
  const proto = copyModel(file.proto);
  replaceInitializer(proto, thresholdsName, thresholdsInForce(card));
  setMetadata(proto, { sdim: JSON.stringify(card) });
  return { card, proto };
}

export function encodeModelFile(file: ModelFile): Uint8Array {
  requireModelFile(file);
  return encodeModel(file.proto);
}

/** Errors: UserError when the bytes are not ONNX or were not written by sdim. */
export function decodeModelFile(bytes: Uint8Array, source: string): ModelFile {
  const proto = decodeModel(bytes, source);
  const text = metadata(proto).get("sdim");
  if (text === undefined) {
    throw new UserError(`${source}: an ONNX model, but not one of ours: expected metadata "sdim". Make one with: sdim train`);
  }
  const file = { card: parseCard(text, source), proto };
  const problem = interfaceProblem(file) ?? tensorsProblem(file);
  if (problem !== undefined) throw new UserError(`${source}: damaged, or changed by another program: ${problem}`);
  return file;
}

/** What a model file takes and gives, by name: element type and size of the last dimension, where it is not free. */
function expectedInterface({
  model,
}: ModelCard): Readonly<Record<"input" | "output", readonly (readonly [string, TensorDType, number?])[]>> {
  return {
    input: [["images", "uint8", model.channels]],
    output: [
      ["label", "int64"],
      ["accepted", "bool"],
      ["log_likelihood", "float32"],
      ["threshold", "float32"],
      ["class_log_likelihoods", "float32", model.classes],
      ["representation", "float32", representationSize(model)],
    ],
  };
}

function interfaceProblem({ card, proto }: ModelFile): string | undefined {
  for (const [kind, values] of Object.entries(expectedInterface(card))) {
    for (const [name, dtype, size] of values) {
      const found = describeValues(proto, kind as "input" | "output").find((value) => value.name === name);
      const wanted = `${dtype}${size === undefined ? "" : ` [..., ${size}]`}`;
      if (found === undefined) return `its graph has no ${kind} "${name}"`;
      if (found.dtype !== dtype || (size !== undefined && found.dims.at(-1) !== size))
        return `expected the ${kind} "${name}" to be ${wanted}, by its card, got ${found.dtype} [${found.dims.join(", ")}]`;
    }
  }
  return undefined;
}

/** Weights must be numbers: with others every image is refused, by a score that is none. Thresholds must be the card's, or its percentile is not the one in force. */
function tensorsProblem(file: ModelFile): string | undefined {
  const tensors = tensorsOf(file);
  const thresholds = tensors.get(thresholdsName);
  const inForce = thresholdsInForce(file.card);
  if (thresholds === undefined) return `it has no tensor "${thresholdsName}"`;
  if (thresholds.length !== inForce.length || thresholds.some((value, c) => value !== inForce[c]))
    return "its thresholds are not those that its card has in force";
  for (const [name, values] of tensors) {
    // A loop by hand: findIndex takes several times as long, and files are read often.
    for (let i = 0; i < values.length && name !== thresholdsName; i++)
      if (!Number.isFinite(values[i])) return `weight ${i} of "${name}" is ${values[i]}`;
  }
  return undefined;
}

/** The file's float tensors by name: folded weights, `thresholds`, `log_priors`. */
export function tensorsOf({ proto }: ModelFile): Map<string, Float32Array> {
  const tensors = new Map<string, Float32Array>();
  for (const initializer of proto.graph?.initializer ?? []) {
    const { name, dtype, data } = readTensor(initializer);
    if (dtype === "float32") tensors.set(name, data);
  }
  return tensors;
}

/** log p(c) of the classes, [C], where the model does not take it for uniform. */
export function logPriorsOf({ proto }: ModelFile): Float32Array | undefined {
  const found = proto.graph?.initializer.find(({ name }) => name === logPriorsName);
  return found && (readTensor(found).data as Float32Array);
}
