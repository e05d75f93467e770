import type { ModelFile } from "../classify/model-file.ts";
import { int } from "../onnx/emitter.ts";
import type { NodeProto } from "../onnx/generated/onnx_pb.ts";
import { type Range, rangesOf } from "./ranges.ts";
import { asModelFile, encoderNodes, Rewriter, writtenAnew } from "./rewrite.ts";
import { quantiseRows, storeSmall } from "./weights-only.ts";

export interface QuantiseOptions {
  /** uint8 [N, H, W, channels] of one size, like those the model will see. */
  readonly images: { readonly pixels: Uint8Array; readonly count: number; readonly height: number; readonly width: number };
  readonly threads?: number;
  readonly onProgress?: (done: number, total: number) => void;
}

/**
 * A model file whose convolutions work on 8-bit numbers, in ONNX's QDQ form: activations uint8 with one scale and zero point per tensor,
 * taken from their ranges over `images`; weights int8 with a scale per filter; biases int32. The head's matrices are stored in int8 and
 * multiplied in float32; resizing, channel statistics, class log-likelihoods and the decision stay in float32. Standard operators.
 * Errors: UserError when the file is an export itself.
 */
export async function quantise(file: ModelFile, { images, threads, onProgress }: QuantiseOptions): Promise<ModelFile> {
  const proto = writtenAnew(file);
  const to = new Rewriter(proto, "quantised");
  const encoder = encoderNodes(to.graph);
  const values = activations(to.graph.node, encoder, to);
  const ranges = await rangesOf(proto, values, { ...images, channels: file.card.model.channels }, { threads, onProgress });
  const scales = new Map<string, number>();
  const rounded = new Map<string, string>();
  /** value -> QuantizeLinear -> DequantizeLinear: what a runtime makes 8-bit operators of. */
  const round = (name: string) => {
    const { scale, zeroPoint } = uint8Scale(ranges.get(name)!);
    const given = [to.initializer(`${name}.scale`, "float32", [], [scale]), to.initializer(`${name}.zero_point`, "uint8", [], [zeroPoint])];
    scales.set(name, scale);
    rounded.set(name, to.emitter.node("DequantizeLinear", [to.emitter.node("QuantizeLinear", [name, ...given]), ...given]));
  };
  const matrices = to.graph.initializer.filter(({ name }) => /^encoder\.head\.linear\d\.weight$/.test(name)).map(({ name }) => name);
  for (const name of matrices) storeSmall(to, name, "int8");
  to.graph.initializer = to.graph.initializer.filter(({ name }) => !matrices.includes(name));
  for (const node of to.graph.node) {
    const input = node.input[0];
    if (encoder.has(node)) {
      if (node.opType === "Conv") quantiseWeights(node, scales.get(input!)!, to);
      node.input = node.input.map((name) => rounded.get(name) ?? name);
    }
    to.keep(node);
    for (const name of node.output) if (values.has(name)) round(name);
  }
  return asModelFile(to.finish(proto), file.card);
}

/**
 * What is rounded to 8 bits: what goes into convolutions and additions, and what comes out of them - after the ReLU, where one follows, so
 * that the rounding takes its place.
 */
function activations(nodes: readonly NodeProto[], encoder: ReadonlySet<NodeProto>, to: Rewriter): ReadonlySet<string> {
  const found = new Set<string>();
  for (const node of nodes) {
    const isAddition = node.opType === "Add" && !node.input.some((name) => to.isInitializer(name));
    if (!encoder.has(node) || !(node.opType === "Conv" || isAddition)) continue;
    for (const name of node.opType === "Conv" ? node.input.slice(0, 1) : node.input) found.add(name);
    const output = node.output[0]!;
    const users = nodes.filter(({ input }) => input.includes(output));
    found.add(users.length === 1 && users[0]!.opType === "Relu" ? users[0]!.output[0]! : output);
  }
  return found;
}

/** scale and zero point for which [low, high], widened to hold 0, is 0 to 255 and 0 is a whole number. */
export function uint8Scale({ low, high }: Range): { readonly scale: number; readonly zeroPoint: number } {
  const [from, to] = [Math.min(0, low), Math.max(0, high)];
  const scale = Math.fround((to - from) / 255) || 1;
  return { scale, zeroPoint: Math.max(0, Math.min(255, Math.round(-from / scale))) };
}

/** int8 with a scale per filter; the bias in units of input scale times filter scale, which is what the sums are in. */
function quantiseWeights(conv: NodeProto, inputScale: number, to: Rewriter): void {
  const [, weight, bias] = conv.input as [string, string, string | undefined];
  const { dims, data } = to.floats(weight)!;
  const filters = dims[0]!;
  const biases = bias ? to.floats(bias)!.data : undefined;
  // A filter of tiny weights with a large bias gets a larger scale, so that its bias fits 32 bits.
  const least = biases?.map((value) => Math.abs(value) / (inputScale * 2 ** 30));
  const { values, scales } = quantiseRows(data, filters, least);
  const scale = to.initializer(`${weight}.scale`, "float32", [filters], scales);
  const axis = { axis: int(0) };
  conv.input[1] = to.emitter.node("DequantizeLinear", [to.initializer(`${weight}.int8`, "int8", dims, values), scale], axis);
  if (!bias || !biases) return;
  const biasScales = scales.map((one) => one * inputScale);
  const whole = Int32Array.from(biases, (value, i) => Math.round(value / biasScales[i]!));
  const biasScale = to.initializer(`${bias}.scale`, "float32", [filters], biasScales);
  conv.input[2] = to.emitter.node("DequantizeLinear", [to.initializer(`${bias}.int32`, "int32", [filters], whole), biasScale], axis);
}
