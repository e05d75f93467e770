import { isFieldSet } from "@bufbuild/protobuf";
import { InternalError } from "../core/errors.ts";
import {
  type AttributeProto,
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  type GraphProto,
  type ModelProto,
  type NodeProto,
} from "./generated/onnx_pb.ts";
import { dtypeOfCode, tensorProblem } from "./model-file.ts";
import { DOMAINS, type OpRule } from "./op-table.ts";

/** The versions of the file format that go with the operator sets of op-table.ts. */
const [OLDEST_IR, NEWEST_IR] = [8n, 10n];

/**
 * Throws an InternalError that lists every violation of the ONNX format, of the operators' signatures (op-table.ts), or of our own rule that
 * a model holds nothing it does not use. Shapes are the graph verifier's concern: they are known before the model is written.
 */
export function checkModel(model: ModelProto): void {
  const violations = [...modelViolations(model)];
  if (violations.length === 0) return;
  const count = `${violations.length} violation${violations.length === 1 ? "" : "s"}`;
  throw new InternalError(`ONNX model "${model.graph?.name ?? ""}" breaks the format (${count}):\n- ${violations.join("\n- ")}`);
}

type Violations = Generator<string, void>;

const showNode = (node: NodeProto, index: number): string => `node ${index} ${node.opType} "${node.name || (node.output[0] ?? "")}"`;

const showDomain = (domain: string): string => domain || "ai.onnx";

function* modelViolations(model: ModelProto): Violations {
  const { graph } = model;
  yield* versionViolations(model);
  if (graph === undefined) return yield "the model has no graph";
  yield* interfaceViolations(graph);
  for (const tensor of graph.initializer) {
    const problem = tensorProblem(tensor);
    if (problem !== undefined) yield `initializer "${tensor.name}": ${problem}`;
  }
  for (const [index, node] of graph.node.entries()) {
    for (const violation of nodeViolations(node)) yield `${showNode(node, index)}: ${violation}`;
  }
  yield* orderViolations(graph);
  yield* useViolations(graph);
}

function* versionViolations({ irVersion, opsetImport, graph }: ModelProto): Violations {
  if (irVersion < OLDEST_IR || irVersion > NEWEST_IR) yield `ir_version: expected ${OLDEST_IR} to ${NEWEST_IR}, got ${irVersion}`;

  const imported = new Set<string>();
  for (const { domain, version } of opsetImport) {
    if (imported.has(domain)) yield `opset_import: ${showDomain(domain)} occurs twice`;
    imported.add(domain);
    const known = DOMAINS[domain];
    if (known === undefined) {
      yield `opset_import: unknown domain ${domain}, known: ${Object.keys(DOMAINS).map(showDomain).join(", ")}`;
    } else if (version < known.versions[0] || version > known.versions[1]) {
      yield `opset_import: expected ${showDomain(domain)} ${known.versions.join(" to ")}, got ${version}`;
    }
  }
  for (const domain of new Set(graph?.node.map((node) => node.domain))) {
    if (!imported.has(domain)) yield `opset_import: ${showDomain(domain)} is missing, but nodes use it`;
  }
}

/** An input that is also an initializer is legal ONNX, but onnxruntime-node ignores what is fed to it: refused. */
function* interfaceViolations(graph: GraphProto): Violations {
  yield* nameViolations([...graph.input, ...graph.initializer], "inputs and initializers");
  yield* nameViolations(graph.output, "outputs");
  const sides = [...graph.input.map((value) => ["input", value] as const), ...graph.output.map((value) => ["output", value] as const)];
  for (const [side, { name, type }] of sides) {
    if (type?.value.case !== "tensorType") yield `${side} "${name}" has no tensor type`;
    else if (dtypeOfCode(type.value.value.elemType) === undefined)
      yield `${side} "${name}": unknown elem_type ${type.value.value.elemType}`;
  }
  if (graph.output.length === 0) yield "the graph has no output";
}

function* nameViolations(named: readonly { readonly name: string }[], where: string): Violations {
  const seen = new Set<string>();
  for (const { name } of named) {
    if (name === "") yield `an empty name among ${where}`;
    else if (seen.has(name)) yield `name "${name}" occurs twice among ${where}`;
    seen.add(name);
  }
}

function* nodeViolations(node: NodeProto): Violations {
  const rule = DOMAINS[node.domain]?.ops[node.opType];
  if (rule === undefined) return yield `unknown operator of domain ${showDomain(node.domain)}`;
  yield* arityViolations("input", node.input, rule.inputs);
  yield* arityViolations("output", node.output, rule.outputs);
  yield* nameViolations(node.attribute, "attributes");
  for (const attribute of node.attribute) yield* attributeViolations(attribute, rule);
  for (const [name, type] of Object.entries(rule.attributes)) {
    const given = node.attribute.some((attribute) => attribute.name === name);
    if (type.endsWith("!") && !given) yield `attribute ${name} is missing`;
  }
}

/** The first `least` must be named; later ones may be left out as "". */
function* arityViolations(side: string, names: readonly string[], [least, most]: readonly [number, number]): Violations {
  if (names.length < least || names.length > most) {
    yield `${side}s: expected ${least === most ? least : `${least} to ${most}`}, got ${names.length}`;
  }
  for (const [position, name] of names.slice(0, least).entries()) {
    if (name === "") yield `${side} ${position} is required, got an empty name`;
  }
}

/** The fields that hold the one value of an attribute; an empty list needs no field. */
const SINGLE_VALUE_FIELDS = new Map([
  [AttributeProto_AttributeType.FLOAT, AttributeProtoSchema.field.f],
  [AttributeProto_AttributeType.INT, AttributeProtoSchema.field.i],
  [AttributeProto_AttributeType.STRING, AttributeProtoSchema.field.s],
  [AttributeProto_AttributeType.TENSOR, AttributeProtoSchema.field.t],
]);

function* attributeViolations(attribute: AttributeProto, rule: OpRule): Violations {
  const { name } = attribute;
  const expected = rule.attributes[name]?.replace("!", "");
  const got = AttributeProto_AttributeType[attribute.type];
  if (expected === undefined) return yield `unknown attribute ${name}, known: ${Object.keys(rule.attributes).join(", ") || "none"}`;
  if (got !== expected) return yield `attribute ${name}: expected type ${expected}, got ${got}`;
  const field = SINGLE_VALUE_FIELDS.get(attribute.type);
  if (field !== undefined && !isFieldSet(attribute, field)) yield `attribute ${name}: its ${got} value is not set`;
  const problem = attribute.t && tensorProblem(attribute.t);
  if (problem !== undefined) yield `attribute ${name}: ${problem}`;
}

/** Single assignment, and every value defined before it is used. */
function* orderViolations(graph: GraphProto): Violations {
  const defined = new Set([...graph.input, ...graph.initializer].map(({ name }) => name));
  for (const [index, node] of graph.node.entries()) {
    for (const name of node.input) {
      if (name !== "" && !defined.has(name)) yield `${showNode(node, index)}: input "${name}" is not defined before it`;
    }
    for (const name of node.output) {
      if (name !== "" && defined.has(name)) yield `${showNode(node, index)}: output "${name}" is already defined`;
      defined.add(name);
    }
  }
  for (const { name } of graph.output) {
    if (!defined.has(name)) yield `output "${name}" is not produced by any node`;
  }
}

/** Everything written must lead to an output: a dead node costs time at each run, a dead initializer makes the file larger. */
function* useViolations(graph: GraphProto): Violations {
  const producers = new Map(graph.node.flatMap((node) => node.output.filter(Boolean).map((name) => [name, node] as const)));
  const used = new Set<string>();
  const live = new Set<NodeProto>();
  const pending = graph.output.map(({ name }) => name);
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    used.add(name);
    const producer = producers.get(name);
    if (producer === undefined || live.has(producer)) continue;
    live.add(producer);
    pending.push(...producer.input);
  }
  for (const [index, node] of graph.node.entries()) {
    if (!live.has(node)) yield `${showNode(node, index)}: no output depends on it`;
  }
  for (const { name } of graph.initializer) {
    if (!used.has(name)) yield `initializer "${name}": no output depends on it`;
  }
}
