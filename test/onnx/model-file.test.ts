import { create } from "@bufbuild/protobuf";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { InternalError, UserError } from "../../src/core/errors.ts";
import { Random } from "../../src/core/random.ts";
import {
  type ModelProto,
  ModelProtoSchema,
  TensorProto_DataLocation,
  TensorProto_DataType,
  TensorProtoSchema,
} from "../../src/onnx/generated/onnx_pb.ts";
import {
  decodeModel,
  encodeModel,
  metadata,
  readTensor,
  replaceInitializer,
  setMetadata,
  tensorProblem,
  tensorProto,
} from "../../src/onnx/model-file.ts";

/** y = x + shift, x float32 [3]. */
function addModel(): ModelProto {
  const value = (name: string) => ({
    name,
    type: {
      value: {
        case: "tensorType" as const,
        value: { elemType: TensorProto_DataType.FLOAT, shape: { dim: [{ value: { case: "dimValue" as const, value: 3n } }] } },
      },
    },
  });
  return create(ModelProtoSchema, {
    irVersion: 8n,
    opsetImport: [{ domain: "", version: 18n }],
    producerName: "test",
    graph: {
      name: "add",
      input: [value("x")],
      output: [value("y")],
      initializer: [tensorProto("shift", "float32", [3], [1, 2, 3])],
      node: [{ opType: "Add", input: ["x", "shift"], output: ["y"] }],
    },
    metadataProps: [
      { key: "classes", value: "zero,one" },
      { key: "version", value: "1" },
    ],
  });
}

describe("tensorProto and readTensor", () => {
  it("write raw_data little-endian", () => {
    expect([...tensorProto("a", "float32", [1], [1.5]).rawData]).toEqual([0x00, 0x00, 0xc0, 0x3f]);
    expect([...tensorProto("a", "float64", [1], [1.5]).rawData]).toEqual([0, 0, 0, 0, 0, 0, 0xf8, 0x3f]);
    expect([...tensorProto("a", "int64", [1], [-2]).rawData]).toEqual([0xfe, 255, 255, 255, 255, 255, 255, 255]);
    expect([...tensorProto("a", "int32", [1], [258]).rawData]).toEqual([2, 1, 0, 0]);
    expect([...tensorProto("a", "uint8", [2], [7, 255]).rawData]).toEqual([7, 255]);
    expect([...tensorProto("a", "bool", [2], [1, 0]).rawData]).toEqual([1, 0]);
  });

  it("give back what was written, for every type, also from a file at an odd offset", () => {
    const written = [
      tensorProto("odd", "uint8", [1], [9]),
      tensorProto("f", "float32", [2, 2], new Float32Array([1, -0.5, Number.NaN, 1e-30])),
      tensorProto("d", "float64", [2], new Float64Array([Math.PI, -0])),
      tensorProto("l", "int64", [2], new BigInt64Array([2n ** 62n, -1n])),
      tensorProto("i", "int32", [2], new Int32Array([-(2 ** 31), 5])),
      tensorProto("b", "bool", [3], new Uint8Array([1, 0, 1])),
      tensorProto("scalar", "float32", [], [4]),
      tensorProto("empty", "int64", [0], []),
    ];
    const model = addModel();
    model.graph!.initializer = written;
    for (let offset = 0; offset < 8; offset++) {
      const file = Buffer.concat([Buffer.alloc(offset), encodeModel(model)]).subarray(offset);
      const read = decodeModel(file, "model.onnx").graph!.initializer.map(readTensor);
      expect(read).toEqual([
        { name: "odd", dtype: "uint8", dims: [1], data: new Uint8Array([9]) },
        { name: "f", dtype: "float32", dims: [2, 2], data: new Float32Array([1, -0.5, Number.NaN, 1e-30]) },
        { name: "d", dtype: "float64", dims: [2], data: new Float64Array([Math.PI, -0]) },
        { name: "l", dtype: "int64", dims: [2], data: new BigInt64Array([2n ** 62n, -1n]) },
        { name: "i", dtype: "int32", dims: [2], data: new Int32Array([-(2 ** 31), 5]) },
        { name: "b", dtype: "bool", dims: [3], data: new Uint8Array([1, 0, 1]) },
        { name: "scalar", dtype: "float32", dims: [], data: new Float32Array([4]) },
        { name: "empty", dtype: "int64", dims: [0], data: new BigInt64Array(0) },
      ]);
    }
  });

  it("read the typed fields that other writers use", () => {
    const read = (dataType: TensorProto_DataType, fields: object) =>
      readTensor(create(TensorProtoSchema, { name: "t", dims: [2n], dataType, ...fields })).data;
    expect(read(TensorProto_DataType.FLOAT, { floatData: [1, 2.5] })).toEqual(new Float32Array([1, 2.5]));
    expect(read(TensorProto_DataType.DOUBLE, { doubleData: [1, 2.1] })).toEqual(new Float64Array([1, 2.1]));
    expect(read(TensorProto_DataType.INT64, { int64Data: [2n ** 60n + 1n, 3n] })).toEqual(new BigInt64Array([2n ** 60n + 1n, 3n]));
    expect(read(TensorProto_DataType.INT32, { int32Data: [1, -2] })).toEqual(new Int32Array([1, -2]));
    expect(read(TensorProto_DataType.UINT8, { int32Data: [1, 255] })).toEqual(new Uint8Array([1, 255]));
    expect(read(TensorProto_DataType.BOOL, { int32Data: [0, 1] })).toEqual(new Uint8Array([0, 1]));
  });

  it("copy: writing into the result does not change the model", () => {
    const tensor = tensorProto("a", "float32", [1], [1]);
    readTensor(tensor).data[0] = 2;
    expect(readTensor(tensor).data).toEqual(new Float32Array([1]));
  });

  it("refuse data of another size or type as our own failure", () => {
    expect(() => tensorProto("w", "float32", [2, 3], [1])).toThrow(
      new InternalError('tensor "w": expected 24 bytes for float32[2, 3], got 4'),
    );
    expect(() => tensorProto("w", "float32", [1], new Float64Array(1))).toThrow(
      new InternalError("tensor data: expected Float32Array or numbers for float32, got Float64Array"),
    );
  });

  it("name every way in which a tensor can be wrong", () => {
    const problem = (fields: object) =>
      tensorProblem(create(TensorProtoSchema, { dims: [2n], dataType: TensorProto_DataType.FLOAT, ...fields }));
    const rawData = new Uint8Array(8);
    expect(problem({ rawData })).toBeUndefined();
    expect(problem({ rawData: new Uint8Array(7) })).toBe("expected 8 bytes for float32[2], got 7");
    expect(problem({ floatData: [1] })).toBe("expected 2 elements for float32[2], got 1");
    expect(problem({ rawData, floatData: [1, 2] })).toBe("has both raw_data and 2 elements in a typed field");
    expect(problem({ rawData, dims: [-1n, -2n] })).toBe("float32[-1, -2] has a negative dimension");
    expect(problem({ rawData, dataType: TensorProto_DataType.BFLOAT16 })).toBe(
      "data type BFLOAT16 is not one of float32, float64, int64, int32, uint8, int8, float16, bool",
    );
    expect(problem({ rawData, dataType: 99 })).toBe(
      "data type 99 is not one of float32, float64, int64, int32, uint8, int8, float16, bool",
    );
    expect(problem({ dataLocation: TensorProto_DataLocation.EXTERNAL })).toBe("its data are in another file, expected them in the model");
  });
});

describe("encodeModel and decodeModel", () => {
  it("are inverse, and ONNX Runtime runs the file", async () => {
    const bytes = encodeModel(addModel());
    expect(Buffer.from(encodeModel(decodeModel(bytes, "model.onnx")))).toEqual(Buffer.from(bytes));
    const session = await InferenceSession.create(bytes);
    const { y } = await session.run({ x: new Tensor("float32", new Float32Array([10, 20, 30]), [3]) });
    expect(y?.data).toEqual(new Float32Array([11, 22, 33]));
  });

  it("name the file that is not a model", () => {
    const expected = "x.onnx: expected an ONNX model file, got one that is damaged, cut short or something else";
    const refuse = (bytes: Uint8Array, reason: string) => {
      expect(() => decodeModel(bytes, "x.onnx")).toThrow(UserError);
      expect(() => decodeModel(bytes, "x.onnx")).toThrow(`${expected} (${reason}`);
    };
    refuse(new Uint8Array(0), "it has no ir_version)");
    refuse(new TextEncoder().encode("a text file, not a model"), "");
    refuse(encodeModel(addModel()).subarray(0, 40), "premature EOF");
    refuse(encodeModel(create(ModelProtoSchema, { irVersion: 8n })), "it has no graph)");
    refuse(encodeModel(create(ModelProtoSchema, { irVersion: 8n, graph: {} })), "it has no opset_import)");
    const short = addModel();
    short.graph!.initializer[0]!.rawData = new Uint8Array(11);
    refuse(encodeModel(short), 'initializer "shift": expected 12 bytes for float32[3], got 11)');
  });

  it("throw nothing but UserError on damaged bytes", () => {
    const bytes = encodeModel(addModel());
    const random = new Random(1);
    let refused = 0;
    for (let trial = 0; trial < 2000; trial++) {
      const damaged = bytes.slice(0, trial % 2 === 0 ? bytes.length : random.below(bytes.length));
      for (let i = 0; i < 3 && damaged.length > 0; i++) damaged[random.below(damaged.length)] = random.below(256);
      try {
        decodeModel(damaged, "x.onnx");
      } catch (error) {
        expect(error).toBeInstanceOf(UserError);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(1000);
  });
});

describe("patching a model", () => {
  it("changes one initializer and the given metadata, and nothing else", () => {
    const model = decodeModel(encodeModel(addModel()), "model.onnx");
    replaceInitializer(model, "shift", new Float32Array([4, 5, 6]));
    setMetadata(model, { version: "2", percentile: "1" });

    const expected = addModel();
    expected.graph!.initializer[0]!.rawData = new Uint8Array(new Float32Array([4, 5, 6]).buffer);
    expected.metadataProps[1]!.value = "2";
    const bytes = Buffer.from(encodeModel(model));
    expect(metadata(decodeModel(bytes, "model.onnx"))).toEqual(
      new Map([
        ["classes", "zero,one"],
        ["version", "2"],
        ["percentile", "1"],
      ]),
    );
    model.metadataProps.pop();
    expect(Buffer.from(encodeModel(model))).toEqual(Buffer.from(encodeModel(expected)));
  });

  it("keeps fields of later versions of the format", () => {
    // Field 999 of the model, wire type varint, value 5.
    const bytes = Buffer.concat([encodeModel(addModel()), Buffer.from([0xb8, 0x3e, 5])]);
    expect(Buffer.from(encodeModel(decodeModel(bytes, "model.onnx")))).toEqual(bytes);
  });

  it("refuses an initializer that is not there, or data of another size", () => {
    expect(() => replaceInitializer(addModel(), "thresholds", [1])).toThrow(
      new UserError('the model has no initializer "thresholds" among its 1: was it made by sdim train?'),
    );
    expect(() => replaceInitializer(addModel(), "shift", [1, 2])).toThrow(
      new InternalError('tensor "shift": expected 12 bytes for float32[3], got 8'),
    );
  });
});
