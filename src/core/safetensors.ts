import { closeSync, fstatSync, openSync, readSync, statSync } from "node:fs";
import { z } from "zod";
import { assertInternal, messageOf, UserError } from "./errors.ts";
import { problemsIn } from "./problems.ts";

/** The element types that our checkpoints hold, of those that the format knows. */
interface Arrays {
  F64: Float64Array;
  I64: BigInt64Array;
  F32: Float32Array;
  I32: Int32Array;
  U8: Uint8Array;
}

type SafetensorsDType = keyof Arrays;

export type Safetensor = {
  [D in SafetensorsDType]: { readonly dtype: D; readonly shape: readonly number[]; readonly data: Arrays[D] };
}[SafetensorsDType];

export interface SafetensorsFile {
  readonly tensors: Map<string, Safetensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

const ARRAYS = { F64: Float64Array, I64: BigInt64Array, F32: Float32Array, I32: Int32Array, U8: Uint8Array } as const;

const LENGTH_BYTES = 8;
const METADATA = "__metadata__";
/** As in the format's own reader. */
const LARGEST_HEADER = 100_000_000;

const count = z.int().nonnegative();
const Entry = z.strictObject({
  dtype: z.enum(Object.keys(ARRAYS) as SafetensorsDType[]),
  shape: z.array(count),
  data_offsets: z.tuple([count, count]),
});

const byteLength = (dtype: SafetensorsDType, shape: readonly number[]): number =>
  shape.reduce((product, size) => product * size, ARRAYS[dtype].BYTES_PER_ELEMENT);

/**
 * A file in the safetensors format (https://github.com/huggingface/safetensors#format), which Python reads as well:
 * header length (8 bytes), header (JSON, padded with spaces to a multiple of 8), then the tensors' bytes without holes, all little-endian.
 * Larger elements come first, so that every tensor starts at a multiple of its element size.
 */
export function encodeSafetensors(tensors: ReadonlyMap<string, Safetensor>, metadata: Readonly<Record<string, string>>): Uint8Array {
  const ordered = [...tensors].sort(([, a], [, b]) => b.data.BYTES_PER_ELEMENT - a.data.BYTES_PER_ELEMENT);
  const entries: [string, unknown][] = [[METADATA, metadata]];
  let dataBytes = 0;
  for (const [name, { dtype, shape, data }] of ordered) {
    assertInternal(name !== METADATA, `a tensor cannot be called ${METADATA}: the format keeps that name`);
    assertInternal(
      data instanceof ARRAYS[dtype] && data.byteLength === byteLength(dtype, shape),
      `tensor "${name}": expected ${byteLength(dtype, shape)} bytes of ${dtype} for shape [${shape.join(", ")}], got ${data.byteLength} of ${data.constructor.name}`,
    );
    entries.push([name, { dtype, shape, data_offsets: [dataBytes, dataBytes + data.byteLength] }]);
    dataBytes += data.byteLength;
  }
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
  const headerBytes = Math.ceil(json.length / 8) * 8;

  const file = new Uint8Array(LENGTH_BYTES + headerBytes + dataBytes);
  new DataView(file.buffer).setBigUint64(0, BigInt(headerBytes), true);
  file.fill(0x20, LENGTH_BYTES, LENGTH_BYTES + headerBytes);
  file.set(json, LENGTH_BYTES);
  let offset = LENGTH_BYTES + headerBytes;
  for (const [, { data }] of ordered) {
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), offset);
    offset += data.byteLength;
  }
  return file;
}

/** `source` is the file's name, for the error: UserError where the bytes are not exactly one safetensors file of the types above. */
export function decodeSafetensors(bytes: Uint8Array, source: string): SafetensorsFile {
  const damaged = damagedFile(source);
  if (bytes.length < LENGTH_BYTES) throw damaged(`it has ${bytes.length} bytes, less than the ${LENGTH_BYTES} of the header's length`);
  const headerBytes = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const dataStart = LENGTH_BYTES + headerBytes;
  if (dataStart > bytes.length) throw damaged(`its header should end at byte ${dataStart}, the file at ${bytes.length}`);
  const data = bytes.subarray(dataStart);

  const { [METADATA]: metadata = {}, ...rest } = parseHeader(bytes.subarray(LENGTH_BYTES, dataStart), damaged);
  if (!isStringRecord(metadata)) throw damaged(`its ${METADATA} is not an object of strings`);
  const entries = Object.entries(rest).map(([name, value]) => {
    const entry = Entry.safeParse(value);
    if (!entry.success) throw damaged(problemsIn(`tensor "${name}" in its header`, entry.error, value));
    return { name, ...entry.data };
  });
  // Sorted by place in the file, of which they must fill every byte once.
  entries.sort((a, b) => a.data_offsets[0] - b.data_offsets[0] || a.data_offsets[1] - b.data_offsets[1]);
  const tensors = new Map<string, Safetensor>();
  let position = 0;
  for (const { name, dtype, shape, data_offsets } of entries) {
    const [begin, end] = data_offsets;
    if (begin !== position) throw damaged(`tensor "${name}" starts at byte ${begin} of the data, expected ${position}`);
    position = begin + byteLength(dtype, shape);
    if (end !== position)
      throw damaged(`tensor "${name}" ends at byte ${end} of the data, expected ${position} for ${dtype} [${shape.join(", ")}]`);
    if (end > data.length) throw damaged(`tensor "${name}" ends at byte ${end} of the data, which has ${data.length}`);
    // Copied, because a view would need the data to start at a multiple of the element size.
    const elements = new ARRAYS[dtype](new Uint8Array(data.subarray(begin, end)).buffer);
    tensors.set(name, { dtype, shape, data: elements } as Safetensor);
  }
  if (position !== data.length) throw damaged(`its tensors end at byte ${position} of the data, which has ${data.length}`);
  return { tensors, metadata };
}

type Damaged = (reason: string, cause?: unknown) => UserError;
const damagedFile =
  (source: string): Damaged =>
  (reason, cause) =>
    new UserError(`${source}: not a whole safetensors file: ${reason}`, { cause });

function parseHeader(bytes: Uint8Array, damaged: Damaged): Record<string, unknown> {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw damaged(`its header is not JSON (${messageOf(error)})`, error);
  }
  if (typeof header !== "object" || header === null || Array.isArray(header)) throw damaged("its header is not a JSON object");
  return header as Record<string, unknown>;
}

/**
 * The metadata of the file at `path`, without reading its tensors (nor looking whether they are whole).
 * Errors: UserError when the file cannot be read or has no such header.
 */
export function readSafetensorsMetadata(path: string): Readonly<Record<string, string>> {
  const damaged = damagedFile(path);
  let file: number;
  try {
    // Opening a pipe would wait for someone to write into it.
    if (!statSync(path).isFile()) throw new Error("not a file");
    file = openSync(path, "r");
  } catch (error) {
    throw new UserError(`cannot read ${path}: ${messageOf(error)}`, { cause: error });
  }
  try {
    const length = Buffer.alloc(LENGTH_BYTES);
    const headerBytes = readSync(file, length) === LENGTH_BYTES ? Number(length.readBigUInt64LE()) : 0;
    const { size } = fstatSync(file);
    if (LENGTH_BYTES + headerBytes > size) {
      throw damaged(`its header should end at byte ${LENGTH_BYTES + headerBytes}, the file at ${size}`);
    }
    if (headerBytes > LARGEST_HEADER) throw damaged(`its header has ${headerBytes} bytes, expected at most ${LARGEST_HEADER}`);
    const header = Buffer.alloc(headerBytes);
    readSync(file, header);
    const { [METADATA]: metadata = {} } = parseHeader(header, damaged);
    if (!isStringRecord(metadata)) throw damaged(`its ${METADATA} is not an object of strings`);
    return metadata;
  } finally {
    closeSync(file);
  }
}

const isStringRecord = (value: unknown): value is Record<string, string> =>
  typeof value === "object" && value !== null && !Array.isArray(value) && Object.values(value).every((entry) => typeof entry === "string");
