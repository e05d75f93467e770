import { create } from "@bufbuild/protobuf";
import type { DType } from "../graph/types.ts";
import type { TensorProto } from "./generated/onnx_pb.ts";
import {
  type AttributeProto,
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  type NodeProto,
  NodeProtoSchema,
} from "./generated/onnx_pb.ts";
import { tensorProto } from "./model-file.ts";

/** An attribute of an ONNX node with its type said, since 1 may be an int or a float. */
export type Attribute =
  | { readonly int: number }
  | { readonly ints: readonly number[] }
  | { readonly float: number }
  | { readonly string: string };

export const int = (value: number): Attribute => ({ int: value });
export const ints = (values: readonly number[]): Attribute => ({ ints: values });
export const float = (value: number): Attribute => ({ float: value });
export const string = (value: string): Attribute => ({ string: value });

export type Domain = "" | "com.microsoft" | "com.microsoft.nchwc";

const encoder = new TextEncoder();

function attributeProto(name: string, attribute: Attribute): AttributeProto {
  const { INT, INTS, FLOAT, STRING } = AttributeProto_AttributeType;
  if ("int" in attribute) return create(AttributeProtoSchema, { name, type: INT, i: BigInt(attribute.int) });
  if ("ints" in attribute) return create(AttributeProtoSchema, { name, type: INTS, ints: attribute.ints.map(BigInt) });
  if ("float" in attribute) return create(AttributeProtoSchema, { name, type: FLOAT, f: attribute.float });
  return create(AttributeProtoSchema, { name, type: STRING, s: encoder.encode(attribute.string) });
}

/** Collects the nodes and constants of an ONNX graph in the order they are emitted; tensors are their names. */
export class Emitter {
  readonly nodes: NodeProto[] = [];
  readonly initializers: TensorProto[] = [];
  readonly domains = new Set<Domain>([""]);
  private readonly constants = new Map<string, string>();
  private count = 0;
  /** Put in front of the names that follow, so that a profile tells where a node comes from. */
  prefix = "";

  /** Emits one node with one output and returns that output's name. An empty input name is an omitted optional input. */
  node(opType: string, inputs: readonly string[], attributes: Readonly<Record<string, Attribute>> = {}, domain: Domain = ""): string {
    const output = `${this.prefix}/${opType}_${this.count++}`;
    this.domains.add(domain);
    const attribute = Object.entries(attributes).map(([name, value]) => attributeProto(name, value));
    this.nodes.push(create(NodeProtoSchema, { opType, domain, name: output, input: [...inputs], output: [output], attribute }));
    return output;
  }

  /** The name of a small constant; equal constants are one initializer. */
  constant(dtype: DType, shape: readonly number[], data: readonly number[]): string {
    const key = `${dtype} ${shape} ${data}`;
    const known = this.constants.get(key);
    if (known) return known;
    const name = `constant_${this.constants.size}`;
    this.constants.set(key, name);
    this.initializers.push(tensorProto(name, dtype, shape, data));
    return name;
  }

  /** An int64 vector, as axes, shapes and pads are given. */
  indices(values: readonly number[]): string {
    return this.constant("int64", [values.length], values);
  }
}
