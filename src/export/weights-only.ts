import type { ModelFile } from "../classify/model-file.ts";
import { UserError } from "../core/errors.ts";
import { int } from "../onnx/emitter.ts";
import { TensorProto_DataType } from "../onnx/generated/onnx_pb.ts";
import { halves } from "../onnx/half.ts";
import { decodeModel, encodeModel } from "../onnx/model-file.ts";
import { asModelFile, Rewriter } from "./rewrite.ts";

export type Storage = "float16" | "int8";

/** Smaller tensors are not worth it; class Gaussians and the whitening of channel statistics are what scores are made of. */
const fewest = 1024;
const isWeight = (name: string, dims: readonly number[], size: number): boolean =>
  dims.length >= 2 && size >= fewest && !/^(gaussians\.|statistics_)/.test(name);

/**
 * Rows of a weight as whole numbers from -127 to 127, and what they are multiplied by: the largest magnitude of the row becomes 127, unless
 * `least` asks for a larger scale.
 */
export function quantiseRows(
  data: Float32Array,
  rows: number,
  least?: Float32Array,
): { readonly values: Int8Array; readonly scales: Float32Array } {
  const perRow = data.length / rows;
  const scales = Float32Array.from({ length: rows }, (_, row) => {
    const largest = data.subarray(row * perRow, (row + 1) * perRow).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    return Math.max(largest / 127, least?.[row] ?? 0) || 1;
  });
  const values = Int8Array.from(data, (value, i) => Math.max(-127, Math.min(127, Math.round(value / scales[Math.floor(i / perRow)]!))));
  return { values, scales };
}

/** The tensor `name` stored small; the value of that name is made of it when the model is loaded. */
export function storeSmall(to: Rewriter, name: string, storage: Storage): void {
  const { dims, data } = to.floats(name)!;
  const float = { to: int(TensorProto_DataType.FLOAT) };
  if (storage === "float16") {
    to.named(name, "Cast", [to.initializer(`${name}.half`, "float16", dims, halves(name, data))], float);
    return;
  }
  const { values, scales } = quantiseRows(data, dims[0]!);
  const stored = to.initializer(`${name}.int8`, "int8", dims, values);
  const factors = to.initializer(`${name}.scale`, "float32", [dims[0]!, ...dims.slice(1).map(() => 1)], scales);
  to.named(name, "Mul", [to.emitter.node("Cast", [stored], float), factors]);
}

/**
 * A model file whose weights are stored in 16 or 8 bits (int8: a scale per filter) and turned into floats when a runtime loads it: smaller, and
 * as fast as before. Standard operators. Errors: UserError when there is no float weight left to store.
 */
export function storeWeightsSmall(file: ModelFile, storage: Storage): ModelFile {
  const proto = decodeModel(encodeModel(file.proto), "the model");
  const to = new Rewriter(proto, "stored");
  const weights = to.graph.initializer.filter(({ name, dims }) => {
    const floats = to.floats(name);
    return floats !== undefined && isWeight(name, dims.map(Number), floats.data.length);
  });
  if (weights.length === 0) throw new UserError("export: the model has no float32 weights: export the original file, not an export");
  for (const { name } of weights) storeSmall(to, name, storage);
  const made = new Set(weights.map(({ name }) => name));
  to.graph.initializer = to.graph.initializer.filter(({ name }) => !made.has(name));
  for (const node of to.graph.node) to.keep(node);
  return asModelFile(to.finish(proto), file.card);
}
