import { create } from "@bufbuild/protobuf";
import { InferenceSession } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import {
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  ModelProtoSchema,
  TensorProto_DataType,
} from "../../src/onnx/generated/onnx_pb.ts";
import { encodeModel, tensorProto } from "../../src/onnx/model-file.ts";
import { DOMAINS } from "../../src/onnx/op-table.ts";

const { FLOAT, FLOATS, INT, INTS, STRING, TENSOR } = AttributeProto_AttributeType;

/** An attribute with a value of the type that the table gives. */
const ATTRIBUTES = {
  FLOAT: (name: string) => create(AttributeProtoSchema, { name, type: FLOAT, f: 1 }),
  FLOATS: (name: string) => create(AttributeProtoSchema, { name, type: FLOATS, floats: [1] }),
  INT: (name: string) => create(AttributeProtoSchema, { name, type: INT, i: 1n }),
  INTS: (name: string) => create(AttributeProtoSchema, { name, type: INTS, ints: [1n, 1n] }),
  STRING: (name: string) => create(AttributeProtoSchema, { name, type: STRING, s: new TextEncoder().encode("NOTSET") }),
  TENSOR: (name: string) => create(AttributeProtoSchema, { name, type: TENSOR, t: tensorProto("", "float32", [1], [0]) }),
};

type Attributes = readonly (readonly [name: string, rule: string])[];

const SIGNATURE_ERROR = /Unrecognized attribute: \w+|Required attribute '\w+'|Mismatched attribute type|input size \d+ not in range/;

/** What ONNX Runtime has against the signature of one node: its number of inputs or its attributes. "" where it finds fault with neither. */
async function signatureError(domain: string, opType: string, inputs: number, attributes: Attributes): Promise<string> {
  const value = (name: string) => ({
    name,
    type: { value: { case: "tensorType" as const, value: { elemType: TensorProto_DataType.FLOAT } } },
  });
  const input = Array.from({ length: inputs }, (_, i) => `input${i}`);
  const attribute = attributes.map(([name, rule]) => ATTRIBUTES[rule.replace("!", "") as keyof typeof ATTRIBUTES](name));
  const model = create(ModelProtoSchema, {
    irVersion: 8n,
    opsetImport: Object.entries(DOMAINS).map(([name, { versions }]) => ({ domain: name, version: BigInt(versions[0]) })),
    graph: {
      name: "probe",
      input: input.map(value),
      output: [value("output")],
      node: [{ opType, domain, input, output: ["output"], attribute }],
    },
  });
  try {
    await InferenceSession.create(encodeModel(model), { logSeverityLevel: 4 });
    return "";
  } catch (error) {
    return SIGNATURE_ERROR.exec(String(error))?.[0] ?? "";
  }
}

// ONNX Runtime makes an initializer of a Constant before it looks at the node.
const UNCHECKED = ["Constant"];
const operators = Object.entries(DOMAINS).flatMap(([domain, { ops }]) =>
  Object.entries(ops).map(([opType, rule]) => ({ name: `${domain || "ai.onnx"} ${opType}`, domain, opType, rule })),
);

describe("the operator table agrees with ONNX Runtime", () => {
  it.each(operators.filter(({ opType }) => !UNCHECKED.includes(opType)))("$name", async ({ domain, opType, rule }) => {
    const attributes = Object.entries(rule.attributes);
    const required = attributes.filter(([, type]) => type.endsWith("!"));
    const [least, most] = rule.inputs;

    expect(await signatureError(domain, opType, Math.min(most, 6), attributes)).toBe("");
    expect(await signatureError(domain, opType, least, required)).toBe("");
    expect(await signatureError(domain, opType, least, [...required, ["nonsense", "INT"]])).toBe("Unrecognized attribute: nonsense");
    expect(await signatureError(domain, opType, least - 1, required)).toBe(`input size ${least - 1} not in range`);
    if (Number.isFinite(most)) expect(await signatureError(domain, opType, most + 1, required)).toBe(`input size ${most + 1} not in range`);
    for (const [name, type] of attributes) {
      const others = required.filter(([other]) => other !== name);
      const otherType = type.startsWith("INTS") ? "INT" : "INTS";
      expect(await signatureError(domain, opType, least, [...others, [name, otherType]])).toBe("Mismatched attribute type");
      expect(await signatureError(domain, opType, least, others)).toBe(type.endsWith("!") ? `Required attribute '${name}'` : "");
    }
  });
});
