import type { ModelCard } from "../classify/card.ts";
import { floatWeights, logPriorsOf, type ModelFile, withCard } from "../classify/model-file.ts";
import { InternalError } from "../core/errors.ts";
import { buildInference, thresholdsName } from "../nn/scorer.ts";
import { checkModel } from "../onnx/checker.ts";
import { type Attribute, Emitter } from "../onnx/emitter.ts";
import type { GraphProto, ModelProto, NodeProto, TensorProto } from "../onnx/generated/onnx_pb.ts";
import { lower } from "../onnx/lower.ts";
import { readTensor, tensorProto } from "../onnx/model-file.ts";

/** Convolutions whole, as other runtimes and quantisers expect them: no choice made for a CPU's cache. */
const anyMachine = { provider: "webgpu", block: 0 } as const;

/**
 * The model's graph written anew, every convolution one node.
 * Errors: UserError when the file's weights are no longer floats, because it is an export itself.
 */
export function writtenAnew(file: ModelFile): ModelProto {
  const { outputs } = buildInference(file.card.model, logPriorsOf(file) !== undefined);
  return lower(outputs, { target: anyMachine, weights: floatWeights(file, "export") });
}

/** What has been put in front of the nodes that are written, in the order of the graph. */
export class Rewriter {
  readonly emitter = new Emitter();
  readonly graph: GraphProto;
  private readonly byName: ReadonlyMap<string, TensorProto>;

  constructor({ graph }: ModelProto, prefix: string) {
    if (!graph) throw new InternalError("export: no graph");
    this.graph = graph;
    this.byName = new Map(graph.initializer.map((tensor) => [tensor.name, tensor]));
    this.emitter.prefix = prefix;
  }

  /** The elements of a float initializer; undefined for what is none. */
  floats(name: string): { readonly dims: readonly number[]; readonly data: Float32Array } | undefined {
    const tensor = this.byName.get(name);
    const read = tensor && readTensor(tensor);
    return read?.dtype === "float32" ? read : undefined;
  }

  isInitializer(name: string): boolean {
    return this.byName.has(name);
  }

  initializer(...[name, dtype, dims, data]: Parameters<typeof tensorProto>): string {
    this.emitter.initializers.push(tensorProto(name, dtype, dims, data));
    return name;
  }

  /** A node whose result has a given name. */
  named(output: string, opType: string, inputs: readonly string[], attributes: Readonly<Record<string, Attribute>> = {}): void {
    this.emitter.node(opType, inputs, attributes);
    const node = this.emitter.nodes.at(-1)!;
    [node.name, node.output] = [output, [output]];
  }

  keep(node: NodeProto): void {
    this.emitter.nodes.push(node);
  }

  /** Puts what was written in the graph's place, without initializers that nothing uses any more. Errors: InternalError when it is not sound. */
  finish(model: ModelProto): ModelProto {
    const used = new Set(this.emitter.nodes.flatMap((node) => node.input));
    this.graph.node = this.emitter.nodes;
    this.graph.initializer = [...this.graph.initializer, ...this.emitter.initializers].filter(({ name }) => used.has(name));
    checkModel(model);
    return model;
  }
}

/** The nodes that lead from a convolution to the representation: the encoder. */
export function encoderNodes({ node: nodes }: GraphProto): Set<NodeProto> {
  const leads = new Set(["representation"]);
  const ancestors = new Set<NodeProto>();
  for (const node of [...nodes].reverse()) {
    if (!node.output.some((name) => leads.has(name))) continue;
    ancestors.add(node);
    for (const name of node.input) leads.add(name);
  }
  const made = new Set<string>();
  const found = new Set<NodeProto>();
  for (const node of nodes) {
    if (!ancestors.has(node) || !(node.opType === "Conv" || node.input.some((name) => made.has(name)))) continue;
    found.add(node);
    for (const name of node.output) made.add(name);
  }
  return found;
}

/** The rewritten graph as a model file: the same classes, thresholds and training; measured numbers are those of another file and go. */
export function asModelFile(proto: ModelProto, card: ModelCard): ModelFile {
  if (!proto.graph?.initializer.some(({ name }) => name === thresholdsName)) throw new InternalError("export: the thresholds got lost");
  return withCard({ card, proto }, { ...card, measured: {} });
}
