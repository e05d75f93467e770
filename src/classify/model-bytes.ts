import { InternalError, UserError } from "../core/errors.ts";
import { logPriorsName, thresholdsName } from "../nn/scorer.ts";
import type { ModelProto } from "../onnx/generated/onnx_pb.ts";
import { copyModel, decodeModel, encodeModel, metadata, readTensor, replaceInitializer, setMetadata } from "../onnx/model-file.ts";
import { type ModelCard, parseCard } from "./card.ts";

// Model files in memory, with nothing of Node: what the library and the browser share.

/** A model file in memory. */
export interface ModelFile {
  readonly card: ModelCard;
  readonly proto: ModelProto;
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

export const encodeModelFile = ({ proto }: ModelFile): Uint8Array => encodeModel(proto);

/** Errors: UserError when the bytes are not ONNX or were not written by sdim. */
export function decodeModelFile(bytes: Uint8Array, source: string): ModelFile {
  const proto = decodeModel(bytes, source);
  const text = metadata(proto).get("sdim");
  if (text === undefined) {
    throw new UserError(`${source}: an ONNX model, but not one of ours: expected metadata "sdim". Make one with: sdim train`);
  }
  const card = parseCard(text, source);
  if (card.classNames.length !== card.model.classes) {
    throw new UserError(`${source}: expected ${card.model.classes} class names, got ${card.classNames.length}`);
  }
  return { card, proto };
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
