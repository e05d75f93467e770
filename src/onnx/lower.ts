import { create } from "@bufbuild/protobuf";
import { assertInternal } from "../core/errors.ts";
import { reachable, type Value } from "../graph/graph.ts";
import type { OpKind, OpOf } from "../graph/ops.ts";
import type { TensorType } from "../graph/types.ts";
import { verify } from "../graph/verify.ts";
import { checkModel } from "./checker.ts";
import { Emitter } from "./emitter.ts";
import {
  GraphProtoSchema,
  type ModelProto,
  ModelProtoSchema,
  OperatorSetIdProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from "./generated/onnx_pb.ts";
import { lowerBlocked, lowerFusion } from "./lowering/blocked.ts";
import { Lowering, type Target } from "./lowering/context.ts";
import { planFusions } from "./lowering/fusion.ts";
import { elementTypes, plainRules } from "./lowering/plain.ts";
import { tensorProto } from "./model-file.ts";

export { portable, type Target } from "./lowering/context.ts";

/** ONNX IR version 10 and operator set 20: read by every runtime since mid-2024. */
const irVersion = 10n;
const opsets = { "": 20n, "com.microsoft": 1n, "com.microsoft.nchwc": 1n } as const;

export interface LowerOptions {
  readonly target: Target;
  /** Values of the parameters that become initializers of the model; the others are inputs, fed at each run. */
  readonly weights?: ReadonlyMap<string, Float32Array>;
}

function valueInfo(name: string, type: TensorType): ValueInfoProto {
  const dim = type.shape.map((size) => ({
    value: typeof size === "number" ? { case: "dimValue" as const, value: BigInt(size) } : { case: "dimParam" as const, value: size },
  }));
  return create(ValueInfoProtoSchema, {
    name,
    type: { value: { case: "tensorType", value: { elemType: elementTypes[type.dtype], shape: { dim } } } },
  });
}

function lowerPlain<K extends OpKind>(op: OpOf<K>, value: Value, to: Lowering): string {
  const rule: (typeof plainRules)[K] = plainRules[op.kind as K];
  return rule(
    op,
    value.inputs.map((input) => to.plain(input)),
    to,
    value,
  );
}

/**
 * Lowers a graph to a checked ONNX model with the given named outputs. Parameters keep their names, as inputs or initializers.
 * Errors: InternalError when the graph or the model is not sound.
 */
export function lower(outputs: Readonly<Record<string, Value>>, { target, weights = new Map() }: LowerOptions): ModelProto {
  const results = Object.values(outputs);
  verify(results);
  const emitter = new Emitter();
  const to = new Lowering(emitter, target, new Set(weights.keys()));
  const values = reachable(results);
  const { fusions, absorbed } = planFusions(values, results, to);
  const inputs: ValueInfoProto[] = [];
  for (const value of values) {
    if (absorbed.has(value)) continue;
    emitter.prefix = value.name;
    if (value.op.kind === "input" || value.op.kind === "parameter") {
      const data = weights.get(value.op.name);
      if (data) emitter.initializers.push(tensorProto(value.op.name, "float32", value.op.shape as readonly number[], data));
      else inputs.push(valueInfo(value.op.name, value.type));
    }
    const fusion = fusions.get(value);
    if (fusion) {
      assertInternal(
        lowerFusion(value, fusion, to),
        `lowering: ${fusion.base.name} was planned into ${value.name} but has no blocked form`,
      );
    } else if (!lowerBlocked(value, to)) {
      to.setPlain(value, lowerPlain(value.op, value, to));
    }
  }
  const model = create(ModelProtoSchema, {
    irVersion,
    producerName: "sdim",
    graph: create(GraphProtoSchema, {
      name: "sdim",
      input: inputs,
      output: Object.entries(outputs).map(([name, value]) => valueInfo(name, value.type)),
    }),
  });
  nameOutputs(outputs, to);
  model.graph!.node = emitter.nodes;
  model.graph!.initializer = emitter.initializers;
  model.opsetImport = [...emitter.domains].map((domain) => create(OperatorSetIdProtoSchema, { domain, version: opsets[domain] }));
  removeUnused(model);
  checkModel(model);
  return model;
}

/** Gives the outputs their names: a node's own output is renamed, anything else is passed through an Identity. */
function nameOutputs(outputs: Readonly<Record<string, Value>>, to: Lowering): void {
  const { emitter } = to;
  const renamed = new Map<string, string>();
  for (const [name, value] of Object.entries(outputs)) {
    emitter.prefix = name;
    const made = to.plain(value);
    const isNodeOutput = emitter.nodes.some((node) => node.output[0] === made);
    renamed.set(isNodeOutput && !renamed.has(made) ? made : emitter.node("Identity", [made]), name);
  }
  for (const node of emitter.nodes) {
    node.input = node.input.map((input) => renamed.get(input) ?? input);
    node.output = node.output.map((output) => renamed.get(output) ?? output);
  }
}

/** A value that another formulation made unnecessary leaves its node behind; take such nodes and constants out. */
function removeUnused({ graph }: ModelProto): void {
  assertInternal(graph, "lowering: no graph");
  const needed = new Set(graph.output.map((output) => output.name));
  graph.node = graph.node
    .reverse()
    .filter((node) => {
      const isNeeded = node.output.some((output) => needed.has(output));
      if (isNeeded) for (const input of node.input) needed.add(input);
      return isNeeded;
    })
    .reverse();
  graph.initializer = graph.initializer.filter((tensor) => needed.has(tensor.name));
}
