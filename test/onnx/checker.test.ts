import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { InferenceSession } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { InternalError } from "../../src/core/errors.ts";
import { checkModel } from "../../src/onnx/checker.ts";
import {
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  type GraphProto,
  type ModelProto,
  ModelProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  TensorProto_DataType,
  ValueInfoProtoSchema,
} from "../../src/onnx/generated/onnx_pb.ts";
import { encodeModel, tensorProto } from "../../src/onnx/model-file.ts";

const { INT, INTS, FLOAT, TENSOR } = AttributeProto_AttributeType;

const value = (name: string, elemType: number = TensorProto_DataType.FLOAT) =>
  create(ValueInfoProtoSchema, { name, type: { value: { case: "tensorType", value: { elemType } } } });

const node = (opType: string, input: string[], output: string[], more: MessageInitShape<typeof NodeProtoSchema> = {}): NodeProto =>
  create(NodeProtoSchema, { opType, input, output, ...more });

const attribute = (name: string, type: AttributeProto_AttributeType, content: MessageInitShape<typeof AttributeProtoSchema> = {}) =>
  create(AttributeProtoSchema, { name, type, ...content });

/** images [N, 3] -> relu(images * weight + bias), and the index of its largest element. */
function classifier(): { model: ModelProto; graph: GraphProto } {
  const model = create(ModelProtoSchema, {
    irVersion: 8n,
    opsetImport: [
      { domain: "", version: 18n },
      { domain: "com.microsoft", version: 1n },
    ],
    graph: {
      name: "classifier",
      input: [value("images")],
      output: [value("logits"), value("label", TensorProto_DataType.INT64)],
      initializer: [tensorProto("weight", "float32", [3, 2], [1, 2, 3, 4, 5, 6]), tensorProto("bias", "float32", [2], [0, 1])],
      node: [
        node("FusedMatMul", ["images", "weight"], ["product"], {
          domain: "com.microsoft",
          attribute: [attribute("transA", INT, { i: 0n })],
        }),
        node("Add", ["product", "bias"], ["sum"], { name: "linear" }),
        node("Clip", ["sum", "", "limit"], ["logits"]),
        node("ArgMax", ["logits"], ["label"], { attribute: [attribute("axis", INT, { i: 1n }), attribute("keepdims", INT, { i: 0n })] }),
      ],
    },
  });
  const graph = model.graph!;
  graph.initializer.push(tensorProto("limit", "float32", [], [6]));
  return { model, graph };
}

function violationsAfter(damage: (graph: GraphProto, model: ModelProto) => void): string[] {
  const { model, graph } = classifier();
  damage(graph, model);
  try {
    checkModel(model);
    return [];
  } catch (error) {
    expect(error).toBeInstanceOf(InternalError);
    return (error as Error).message.split("\n- ").slice(1);
  }
}

describe("checkModel", () => {
  it("accepts a good model, which ONNX Runtime loads", async () => {
    const { model } = classifier();
    expect(checkModel(model)).toBeUndefined();
    expect((await InferenceSession.create(encodeModel(model))).outputNames).toEqual(["logits", "label"]);
  });

  it("lists every violation under the model's name", () => {
    const { model, graph } = classifier();
    model.irVersion = 3n;
    graph.node[1]!.input = ["product", "offset"];
    expect(() => checkModel(model)).toThrow(
      new InternalError(
        [
          'ONNX model "classifier" breaks the format (3 violations):',
          "- ir_version: expected 8 to 10, got 3",
          '- node 1 Add "linear": input "offset" is not defined before it',
          '- initializer "bias": no output depends on it',
        ].join("\n"),
      ),
    );
  });

  const cases: [string, (graph: GraphProto, model: ModelProto) => void, string[]][] = [
    ["no graph", (_, model) => delete model.graph, ["the model has no graph"]],
    ["no ir_version", (_, model) => (model.irVersion = 0n), ["ir_version: expected 8 to 10, got 0"]],
    ["an ir_version from the future", (_, model) => (model.irVersion = 11n), ["ir_version: expected 8 to 10, got 11"]],
    [
      "an operator set that is not imported",
      (_, model) => model.opsetImport.pop(),
      ["opset_import: com.microsoft is missing, but nodes use it"],
    ],
    ["no standard operator set", (_, model) => model.opsetImport.shift(), ["opset_import: ai.onnx is missing, but nodes use it"]],
    ["an old operator set", (_, model) => (model.opsetImport[0]!.version = 17n), ["opset_import: expected ai.onnx 18 to 20, got 17"]],
    [
      "an operator set from the future",
      (_, model) => (model.opsetImport[0]!.version = 21n),
      ["opset_import: expected ai.onnx 18 to 20, got 21"],
    ],
    ["a domain twice", (_, model) => model.opsetImport.push(model.opsetImport[0]!), ["opset_import: ai.onnx occurs twice"]],
    [
      "an unknown domain",
      (graph, model) => {
        model.opsetImport[1]!.domain = "org.example";
        graph.node[0]!.domain = "org.example";
      },
      [
        "opset_import: unknown domain org.example, known: ai.onnx, com.microsoft, com.microsoft.nchwc",
        'node 0 FusedMatMul "product": unknown operator of domain org.example',
      ],
    ],
    ["an input twice", (graph) => graph.input.push(value("images")), ['name "images" occurs twice among inputs and initializers']],
    [
      "an initializer twice",
      (graph) => graph.initializer.push(graph.initializer[0]!),
      ['name "weight" occurs twice among inputs and initializers'],
    ],
    [
      "an initializer that is an input",
      (graph) => graph.input.push(value("bias")),
      ['name "bias" occurs twice among inputs and initializers'],
    ],
    ["an input without name", (graph) => graph.input.push(value("")), ["an empty name among inputs and initializers"]],
    ["an output twice", (graph) => graph.output.push(value("label")), ['name "label" occurs twice among outputs']],
    ["an input without type", (graph) => delete graph.input[0]!.type, ['input "images" has no tensor type']],
    ["an output without type", (graph) => delete graph.output[1]!.type, ['output "label" has no tensor type']],
    ["an input of an unknown element type", (graph) => (graph.input[0] = value("images", 16)), ['input "images": unknown elem_type 16']],
    [
      "no output",
      (graph) => {
        graph.output = [];
        graph.node = [];
        graph.initializer = [];
      },
      ["the graph has no output"],
    ],
    [
      "an initializer with too few bytes",
      (graph) => (graph.initializer[0]!.rawData = new Uint8Array(20)),
      ['initializer "weight": expected 24 bytes for float32[3, 2], got 20'],
    ],
    [
      "an initializer of an unknown type",
      (graph) => (graph.initializer[0]!.dataType = TensorProto_DataType.BFLOAT16),
      ['initializer "weight": data type BFLOAT16 is not one of float32, float64, int64, int32, uint8, int8, float16, bool'],
    ],
    ["an unknown operator", (graph) => (graph.node[1]!.opType = "Plus"), ['node 1 Plus "linear": unknown operator of domain ai.onnx']],
    [
      "an operator of another domain",
      (graph) => (graph.node[0]!.domain = ""),
      ['node 0 FusedMatMul "product": unknown operator of domain ai.onnx'],
    ],
    ["too few inputs", (graph) => (graph.node[3]!.input = []), ['node 3 ArgMax "label": inputs: expected 1, got 0']],
    ["too many inputs", (graph) => graph.node[2]!.input.push("sum"), ['node 2 Clip "logits": inputs: expected 1 to 3, got 4']],
    ["too many outputs", (graph) => graph.node[1]!.output.push("more"), ['node 1 Add "linear": outputs: expected 1, got 2']],
    [
      "an omitted input that is required",
      (graph) => (graph.node[1]!.input = ["", "bias"]),
      [
        'node 1 Add "linear": input 0 is required, got an empty name',
        'node 0 FusedMatMul "product": no output depends on it',
        'initializer "weight": no output depends on it',
      ],
    ],
    [
      "an unknown attribute",
      (graph) => graph.node[3]!.attribute.push(attribute("axes", INTS)),
      ['node 3 ArgMax "label": unknown attribute axes, known: axis, keepdims, select_last_index'],
    ],
    [
      "an attribute where there are none",
      (graph) => graph.node[1]!.attribute.push(attribute("axis", INT, { i: 0n })),
      ['node 1 Add "linear": unknown attribute axis, known: none'],
    ],
    [
      "an attribute of another type",
      (graph) => (graph.node[3]!.attribute[0] = attribute("axis", FLOAT, { f: 1 })),
      ['node 3 ArgMax "label": attribute axis: expected type INT, got FLOAT'],
    ],
    [
      "an attribute twice",
      (graph) => graph.node[3]!.attribute.push(graph.node[3]!.attribute[0]!),
      ['node 3 ArgMax "label": name "axis" occurs twice among attributes'],
    ],
    [
      "an attribute without value",
      (graph) => (graph.node[3]!.attribute[0] = attribute("axis", INT)),
      ['node 3 ArgMax "label": attribute axis: its INT value is not set'],
    ],
    [
      "a required attribute that is missing",
      (graph) => (graph.node[1]!.opType = "Concat"),
      ['node 1 Concat "linear": attribute axis is missing'],
    ],
    [
      "an attribute tensor with too few bytes",
      (graph) => {
        const limit = tensorProto("", "float32", [], [6]);
        limit.rawData = new Uint8Array(3);
        graph.initializer.pop();
        graph.node.unshift(node("Constant", [], ["limit"], { attribute: [attribute("value", TENSOR, { t: limit })] }));
      },
      ['node 0 Constant "limit": attribute value: expected 4 bytes for float32[], got 3'],
    ],
    [
      "an input that nothing defines",
      (graph) => (graph.node[2]!.input[0] = "summ"),
      [
        'node 2 Clip "logits": input "summ" is not defined before it',
        'node 0 FusedMatMul "product": no output depends on it',
        'node 1 Add "linear": no output depends on it',
        'initializer "weight": no output depends on it',
        'initializer "bias": no output depends on it',
      ],
    ],
    [
      "nodes out of order",
      (graph) => graph.node.push(graph.node.shift()!),
      ['node 0 Add "linear": input "product" is not defined before it'],
    ],
    [
      "a node that uses its own output",
      (graph) => (graph.node[1]!.input[1] = "sum"),
      ['node 1 Add "linear": input "sum" is not defined before it', 'initializer "bias": no output depends on it'],
    ],
    [
      "a value produced twice",
      (graph) => graph.node.splice(2, 0, node("Relu", ["sum"], ["product"])),
      [
        'node 2 Relu "product": output "product" is already defined',
        'node 0 FusedMatMul "product": no output depends on it',
        'initializer "weight": no output depends on it',
      ],
    ],
    [
      "a value with an input's name",
      (graph) => graph.node[3]!.output.splice(0, 1, "images"),
      ['node 3 ArgMax "images": output "images" is already defined', 'output "label" is not produced by any node'],
    ],
    ["an output that nothing produces", (graph) => graph.output.push(value("score")), ['output "score" is not produced by any node']],
    [
      "dead nodes",
      (graph) => graph.node.push(node("Exp", ["sum"], ["e"]), node("Log", ["e"], ["l"])),
      ['node 4 Exp "e": no output depends on it', 'node 5 Log "l": no output depends on it'],
    ],
    [
      "an unused initializer",
      (graph) => graph.initializer.push(tensorProto("rest", "int64", [1], [1])),
      ['initializer "rest": no output depends on it'],
    ],
  ];
  it.each(cases)("refuses %s", (_, damage, expected) => {
    expect(violationsAfter(damage)).toEqual(expected);
  });

  it("accepts an optional second output that is left out or unused", () => {
    const pool = (output: string[]) => (graph: GraphProto) => {
      graph.node.push(node("MaxPool", ["logits"], output, { attribute: [attribute("kernel_shape", INTS, { ints: [1n, 1n] })] }));
      graph.output.push(value("pooled"));
    };
    expect(violationsAfter(pool(["pooled"]))).toEqual([]);
    expect(violationsAfter(pool(["pooled", ""]))).toEqual([]);
    expect(violationsAfter(pool(["pooled", "indices"]))).toEqual([]);
  });
});
