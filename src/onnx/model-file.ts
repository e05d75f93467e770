import { clone, create, fromBinary, isFieldSet, toBinary } from "@bufbuild/protobuf";
import { assertInternal, InternalError, messageOf, UserError } from "../core/errors.ts";
import {
  type ModelProto,
  ModelProtoSchema,
  StringStringEntryProtoSchema,
  type TensorProto,
  TensorProto_DataLocation,
  TensorProto_DataType,
  TensorProtoSchema,
  ValueInfoProtoSchema,
} from "./generated/onnx_pb.ts";

/** How each of our element types is held in memory, which is also how raw_data holds it (bool: one byte, 0 or 1). */
interface Storage {
  float32: Float32Array;
  float64: Float64Array;
  int64: BigInt64Array;
  int32: Int32Array;
  uint8: Uint8Array;
  int8: Int8Array;
  /** The bits: see half.ts. */
  float16: Uint16Array;
  bool: Uint8Array;
}

export type TensorDType = keyof Storage;
export type TensorData = Storage[TensorDType];

/** A tensor read from a model: `data` is the array that belongs to `dtype`. */
export type TensorValue = {
  [D in TensorDType]: { readonly name: string; readonly dtype: D; readonly dims: readonly number[]; readonly data: Storage[D] };
}[TensorDType];

const ELEMENTS = {
  float32: { code: TensorProto_DataType.FLOAT, array: Float32Array, typedField: "floatData" },
  float64: { code: TensorProto_DataType.DOUBLE, array: Float64Array, typedField: "doubleData" },
  int64: { code: TensorProto_DataType.INT64, array: BigInt64Array, typedField: "int64Data" },
  int32: { code: TensorProto_DataType.INT32, array: Int32Array, typedField: "int32Data" },
  uint8: { code: TensorProto_DataType.UINT8, array: Uint8Array, typedField: "int32Data" },
  int8: { code: TensorProto_DataType.INT8, array: Int8Array, typedField: "int32Data" },
  float16: { code: TensorProto_DataType.FLOAT16, array: Uint16Array, typedField: "int32Data" },
  bool: { code: TensorProto_DataType.BOOL, array: Uint8Array, typedField: "int32Data" },
} as const;

const DTYPES = Object.keys(ELEMENTS) as TensorDType[];

/** ONNX's number for an element type, as in `elem_type` and `data_type`. */
const dataTypeCode = (dtype: TensorDType): TensorProto_DataType => ELEMENTS[dtype].code;

/** Our name for ONNX's number; undefined for the types that our models never hold. */
export const dtypeOfCode = (code: number): TensorDType | undefined => DTYPES.find((dtype) => ELEMENTS[dtype].code === code);

const bytesOf = (data: TensorData): Uint8Array => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

const elementCount = (dims: readonly number[]): number => dims.reduce((product, dim) => product * dim, 1);

function toStorage(dtype: TensorDType, data: TensorData | readonly number[] | readonly bigint[]): TensorData {
  const { array } = ELEMENTS[dtype];
  if (data instanceof array) return data;
  assertInternal(
    Array.isArray(data) && dtype !== "float16",
    `tensor data: expected ${array.name} or numbers for ${dtype}, got ${data.constructor.name}`,
  );
  return dtype === "int64" ? BigInt64Array.from(data, BigInt) : ELEMENTS[dtype].array.from(data.map(Number));
}

/**
 * A tensor for an initializer or an attribute. The bytes are not copied where `data` is already the array of the type.
 * raw_data is little-endian, as is every machine that ONNX Runtime's Node package runs on.
 */
export function tensorProto(name: string, dtype: TensorDType, dims: readonly number[], data: TensorData | readonly number[]): TensorProto {
  const tensor = create(TensorProtoSchema, {
    name,
    dataType: dataTypeCode(dtype),
    dims: dims.map(BigInt),
    rawData: bytesOf(toStorage(dtype, data)),
  });
  const problem = tensorProblem(tensor);
  assertInternal(problem === undefined, `tensor "${name}": ${problem}`);
  return tensor;
}

/** What is wrong with a tensor in itself: its type, its dimensions, or data that do not fill them. */
export function tensorProblem(tensor: TensorProto): string | undefined {
  const dtype = dtypeOfCode(tensor.dataType);
  if (dtype === undefined)
    return `data type ${TensorProto_DataType[tensor.dataType] ?? tensor.dataType} is not one of ${DTYPES.join(", ")}`;
  const dims = tensor.dims.map(Number);
  const shown = `${dtype}[${dims.join(", ")}]`;
  if (dims.some((dim) => dim < 0)) return `${shown} has a negative dimension`;
  if (tensor.dataLocation === TensorProto_DataLocation.EXTERNAL) return "its data are in another file, expected them in the model";

  const { array, typedField } = ELEMENTS[dtype];
  const typedCount = tensor[typedField].length;
  if (!isFieldSet(tensor, TensorProtoSchema.field.rawData)) {
    return typedCount === elementCount(dims) ? undefined : `expected ${elementCount(dims)} elements for ${shown}, got ${typedCount}`;
  }
  if (typedCount > 0) return `has both raw_data and ${typedCount} elements in a typed field`;
  const expectedBytes = elementCount(dims) * array.BYTES_PER_ELEMENT;
  return tensor.rawData.length === expectedBytes ? undefined : `expected ${expectedBytes} bytes for ${shown}, got ${tensor.rawData.length}`;
}

/** The tensor's elements, copied, from raw_data or from the field of its type. */
export function readTensor(tensor: TensorProto): TensorValue {
  const problem = tensorProblem(tensor);
  const dtype = dtypeOfCode(tensor.dataType);
  if (problem !== undefined || dtype === undefined) throw new InternalError(`tensor "${tensor.name}": ${problem}`);
  const { array, typedField } = ELEMENTS[dtype];
  const typed = tensor[typedField];
  // raw_data is copied, because a view of the file would have to start at a multiple of the element size.
  const data = typed.length > 0 ? toStorage(dtype, typed) : new array(new Uint8Array(tensor.rawData).buffer);
  return { name: tensor.name, dtype, dims: tensor.dims.map(Number), data } as TensorValue;
}

export function encodeModel(model: ModelProto): Uint8Array {
  return toBinary(ModelProtoSchema, model);
}

/** `source` is the file's name, for the error: UserError where the bytes are not an ONNX model or a part of one. */
export function decodeModel(bytes: Uint8Array, source: string): ModelProto {
  let model: ModelProto;
  try {
    model = fromBinary(ModelProtoSchema, bytes);
  } catch (error) {
    throw notAModel(source, messageOf(error), error);
  }
  if (model.irVersion < 1n) throw notAModel(source, "it has no ir_version");
  if (model.graph === undefined) throw notAModel(source, "it has no graph");
  if (model.opsetImport.length === 0) throw notAModel(source, "it has no opset_import");
  for (const tensor of model.graph.initializer) {
    const problem = tensorProblem(tensor);
    if (problem !== undefined) throw notAModel(source, `initializer "${tensor.name}": ${problem}`);
  }
  return model;
}

function notAModel(source: string, reason: string, cause?: unknown): UserError {
  return new UserError(`${source}: expected an ONNX model file, got one that is damaged, cut short or something else (${reason})`, {
    cause,
  });
}

/** A graph's input or output: a dimension is a number, a name, or nothing known ("?"). */
export interface DescribedValue {
  readonly name: string;
  /** Undefined for what our models never hold. */
  readonly dtype: TensorDType | undefined;
  readonly dims: readonly (number | string)[];
}

/** What the graph takes or gives, in its order. */
export function describeValues({ graph }: ModelProto, kind: "input" | "output"): DescribedValue[] {
  return (graph?.[kind] ?? []).map(({ name, type }) => {
    const tensor = type?.value.case === "tensorType" ? type.value.value : undefined;
    const dims = (tensor?.shape?.dim ?? []).map(({ value }) =>
      value.case === "dimValue" ? Number(value.value) : value.case === "dimParam" ? value.value : "?",
    );
    return { name, dtype: tensor && dtypeOfCode(tensor.elemType), dims };
  });
}

export function metadata(model: ModelProto): Map<string, string> {
  return new Map(model.metadataProps.map(({ key, value }) => [key, value]));
}

/** Sets the given keys in place; the others stay as they are. */
export function setMetadata(model: ModelProto, entries: Readonly<Record<string, string>>): void {
  for (const [key, value] of Object.entries(entries)) {
    const known = model.metadataProps.find((entry) => entry.key === key);
    if (known === undefined) model.metadataProps.push(create(StringStringEntryProtoSchema, { key, value }));
    else known.value = value;
  }
}

export const copyModel = (model: ModelProto): ModelProto => clone(ModelProtoSchema, model);

/** The same model with float32 tensors that it computes on the way as its outputs, in place of its own. */
export function withOutputs(model: ModelProto, names: readonly string[]): ModelProto {
  const copy = copyModel(model);
  assertInternal(copy.graph, "withOutputs: no graph");
  copy.graph.output = names.map((name) =>
    create(ValueInfoProtoSchema, { name, type: { value: { case: "tensorType", value: { elemType: TensorProto_DataType.FLOAT } } } }),
  );
  return copy;
}

/** Gives an initializer new elements in place: same name, type and shape. */
export function replaceInitializer(model: ModelProto, name: string, data: TensorData | readonly number[]): void {
  const initializers = model.graph?.initializer ?? [];
  const index = initializers.findIndex((tensor) => tensor.name === name);
  const old = initializers[index];
  if (old === undefined)
    throw new UserError(`the model has no initializer "${name}" among its ${initializers.length}: was it made by sdim train?`);
  const dtype = dtypeOfCode(old.dataType);
  assertInternal(dtype !== undefined, `initializer "${name}": ${tensorProblem(old)}`);
  initializers[index] = tensorProto(name, dtype, old.dims.map(Number), data);
}
