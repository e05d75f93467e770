import { constants, inflateSync, type ZlibOptions } from "node:zlib";
import { messageOf, UserError } from "../core/errors.ts";
import { largestRatio, unpackedTo } from "./packed.ts";

/** A numeric array of a MATLAB file: real, column-major (the first axis runs fastest). */
export interface MatArray {
  readonly shape: readonly number[];
  readonly values: Uint8Array | Int8Array | Uint16Array | Int16Array | Uint32Array | Int32Array | Float32Array | Float64Array;
}

/** Bytes as they stand in the file, with the byte order it was written in. */
interface Bytes {
  readonly bytes: Uint8Array;
  readonly littleEndian: boolean;
  readonly source: string;
}

interface Element {
  readonly type: number;
  readonly data: Uint8Array;
  /** Where the next element begins. */
  readonly end: number;
}

const headerBytes = 128;
const tagBytes = 8;
/** More than any variable of the data sets read here; an element that asks for more is damaged, or hostile. */
const largestElement = 2 ** 29;
/** Packed bytes that surely hold flags, sizes and name of a variable; they unpack to 1 MiB at most. */
const packedStart = 1024;
const mostAxes = 32;
const longestName = 63;

const types = { int8: 1, int32: 5, uint32: 6, matrix: 14, compressed: 15 } as const;
const complexFlag = 0x08;
/** Classes of MATLAB arrays that hold plain numbers: double, single and the integers of 8 to 64 bits. */
const numericClasses = { first: 6, last: 15 };
/** The others, as MATLAB calls them. */
const otherClasses: Readonly<Record<number, string>> = { 1: "cell", 2: "struct", 3: "object", 4: "char", 5: "sparse", 16: "function" };

/**
 * Reads the numeric arrays named `wanted` from a MATLAB Level 5 file (version 5 to 7.2; MathWorks, "MAT-File Format"), compressed or not, of
 * either byte order. Others are passed over, and nothing is unpacked beyond what it announces.
 * Errors: UserError that names the file and what is wrong, also when a wanted array is missing, there twice, or not plain numbers.
 */
export function parseMat(bytes: Uint8Array, wanted: readonly string[], source: string): Map<string, MatArray> {
  const file: Bytes = { bytes, littleEndian: byteOrder(bytes, source), source };
  const arrays = new Map<string, MatArray>();
  for (let offset = headerBytes; offset < bytes.length; ) {
    const element = readElement(file, offset);
    offset = element.end;
    const matrix = element.type === types.compressed ? unpack({ ...file, bytes: element.data }, wanted) : matrixOf(element);
    if (matrix === undefined) continue;
    const inner: Bytes = { ...file, bytes: matrix };
    const { name } = readHead(inner);
    if (!wanted.includes(name)) continue;
    if (arrays.has(name)) throw new UserError(`${source}: the variable ${name} is there twice`);
    arrays.set(name, readArray(inner));
  }
  const missing = wanted.filter((name) => !arrays.has(name));
  if (missing.length > 0) throw new UserError(`${source}: expected the variables ${wanted.join(" and ")}, got no ${missing.join(", no ")}`);
  return arrays;
}

function byteOrder(bytes: Uint8Array, source: string): boolean {
  const expected = `${source}: expected a MATLAB file of version 5 to 7.2`;
  const [magic, version] = [Buffer.from(bytes.subarray(126, 128)).toString("latin1"), bytes.subarray(124, 126)];
  if (bytes.length < headerBytes || (magic !== "IM" && magic !== "MI")) throw new UserError(`${expected}, got something else`);
  const littleEndian = magic === "IM";
  const major = version[littleEndian ? 1 : 0];
  if (major !== 1) throw new UserError(`${expected}, got version ${major} (7.3 is HDF5: save it again with -v7)`);
  return littleEndian;
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Type, size and where the data begin. A small element has all in 8 bytes: size in the upper half of the first word, data in the second. */
function readTag(
  { bytes, littleEndian, source }: Bytes,
  offset: number,
): { readonly type: number; readonly size: number; readonly start: number } {
  if (offset + tagBytes > bytes.length) throw new UserError(`${source} is truncated: expected an element at byte ${offset}`);
  const view = viewOf(bytes);
  const first = view.getUint32(offset, littleEndian);
  const small = first >>> 16;
  if (small === 0) return { type: first, size: view.getUint32(offset + 4, littleEndian), start: offset + tagBytes };
  if (small > 4) throw new UserError(`${source}: a small element of ${small} bytes at byte ${offset}: expected at most 4`);
  return { type: first & 0xffff, size: small, start: offset + 4 };
}

function readElement(file: Bytes, offset: number): Element {
  const { type, size, start } = readTag(file, offset);
  const end = start + size;
  if (end > file.bytes.length) {
    throw new UserError(
      `${file.source} is truncated: expected ${size} bytes for the element at byte ${offset}, got ${file.bytes.length - start}`,
    );
  }
  // All elements but compressed ones are filled up to 8 bytes; writers leave that out at the very end.
  const padded = type === types.compressed ? end : Math.ceil(end / 8) * 8;
  return { type, data: file.bytes.subarray(start, end), end: padded };
}

const matrixOf = ({ type, data }: Element): Uint8Array | undefined => (type === types.matrix ? data : undefined);

/** The matrix inside a compressed element, if its name is wanted: its head is unpacked first, and then no more than its shape takes. */
function unpack(packed: Bytes, wanted: readonly string[]): Uint8Array | undefined {
  const { source } = packed;
  const start = inflate(packed, packedStart, { finishFlush: constants.Z_SYNC_FLUSH });
  const { type, size, start: head } = readTag({ ...packed, bytes: start }, 0);
  if (type !== types.matrix || head !== tagBytes) return undefined;
  const beginning: Bytes = { ...packed, bytes: start.subarray(head, head + size) };
  const { name, shape } = readHead(beginning);
  if (!wanted.includes(name)) return undefined;
  if (size > largestElement || size > packed.bytes.length * largestRatio) {
    throw new UserError(`${source}: the variable ${name} announces ${size} bytes, ${packed.bytes.length} packed: a damaged header?`);
  }
  const values = findValues(beginning);
  // Filled up to 8 bytes, or not.
  const most = Math.ceil((values.start + values.size) / 8) * 8;
  if (size > most)
    throw new UserError(`${source}: the variable ${name}: expected at most ${most} bytes for [${shape.join(", ")}], got ${size}`);
  const whole = inflate(packed, packed.bytes.length, unpackedTo(tagBytes + size));
  if (whole.length !== tagBytes + size) {
    throw new UserError(`${source} is truncated: expected ${size} bytes for the variable ${name}, got ${whole.length - tagBytes}`);
  }
  return whole.subarray(tagBytes);
}

function inflate({ bytes, source }: Bytes, length: number, options: ZlibOptions): Uint8Array {
  try {
    return inflateSync(bytes.subarray(0, length), options);
  } catch (error) {
    throw new UserError(`${source}: a damaged compressed variable: ${messageOf(error)}`, { cause: error });
  }
}

/** mxOPAQUE_CLASS */
const opaqueClass = 17;

interface Head {
  readonly flags: number;
  readonly arrayClass: number;
  readonly shape: readonly number[];
  readonly name: string;
  /** Where the values begin. */
  readonly end: number;
}

/** Flags, sizes and name: what a matrix begins with. */
function readHead(matrix: Bytes): Head {
  const { source, littleEndian } = matrix;
  const flags = readElement(matrix, 0);
  if (flags.type !== types.uint32 || flags.data.length !== 8) throw new UserError(`${source}: a variable without array flags`);
  const word = viewOf(flags.data).getUint32(0, littleEndian);
  // Tables, strings, dates: no sizes follow, and no name of ours.
  if ((word & 0xff) === opaqueClass) return { flags: 0, arrayClass: opaqueClass, shape: [], name: "", end: flags.end };
  const sizes = readElement(matrix, flags.end);
  const axes = sizes.data.length / 4;
  if (sizes.type !== types.int32 || !Number.isInteger(axes) || axes < 2 || axes > mostAxes) {
    throw new UserError(`${source}: a variable of ${axes} axes: expected 2 to ${mostAxes}`);
  }
  const shape = Array.from({ length: axes }, (_, axis) => viewOf(sizes.data).getInt32(4 * axis, littleEndian));
  if (shape.some((size) => size < 0))
    throw new UserError(`${source}: a variable of shape [${shape.join(", ")}]: expected no negative size`);
  const name = readElement(matrix, sizes.end);
  if (name.type !== types.int8 || name.data.length > longestName) {
    throw new UserError(`${source}: a variable name of ${name.data.length} bytes: expected at most ${longestName}`);
  }
  return { flags: (word >>> 8) & 0xff, arrayClass: word & 0xff, shape, name: Buffer.from(name.data).toString("latin1"), end: name.end };
}

/** How the values of a matrix are stored and where, looked up in its beginning. */
interface Values {
  readonly kind: Storage;
  readonly start: number;
  readonly size: number;
}

/** Errors: UserError when they are not real numbers, as many as the shape says. */
function findValues(matrix: Bytes): Values {
  const { flags, arrayClass, shape, name, end } = readHead(matrix);
  const where = `${matrix.source}: the variable ${name}`;
  if (arrayClass < numericClasses.first || arrayClass > numericClasses.last || (flags & complexFlag) !== 0) {
    const called = otherClasses[arrayClass];
    const got = `class ${arrayClass}${called === undefined ? "" : ` (${called})`}${flags & complexFlag ? ", complex" : ""}`;
    throw new UserError(`${where}: expected real numbers, got ${got}`);
  }
  const { type, size, start } = readTag(matrix, end);
  const kind = storage[type];
  if (kind === undefined) throw new UserError(`${where}: expected numbers, got data of type ${type}`);
  const count = shape.reduce((product, length) => product * length, 1);
  if (size !== count * kind.bytes) {
    throw new UserError(`${where}: expected ${count} values for [${shape.join(", ")}], got ${size / kind.bytes}`);
  }
  return { kind, start, size };
}

function readArray(matrix: Bytes): MatArray {
  const { shape, end } = readHead(matrix);
  const { kind } = findValues(matrix);
  return { shape, values: kind.read(readElement(matrix, end).data, matrix.littleEndian) };
}

interface Storage {
  readonly bytes: number;
  readonly read: (data: Uint8Array, littleEndian: boolean) => MatArray["values"];
}

type Getter = "getInt16" | "getUint16" | "getInt32" | "getUint32" | "getFloat32" | "getFloat64";

/** Values of several bytes: each taken out by itself, for any byte order and alignment. */
const wide = (
  Values: typeof Uint16Array | typeof Int16Array | typeof Uint32Array | typeof Int32Array | typeof Float32Array | typeof Float64Array,
  get: Getter,
): Storage => ({
  bytes: Values.BYTES_PER_ELEMENT,
  read: (data, littleEndian) => {
    const view = viewOf(data);
    const values = new Values(data.length / Values.BYTES_PER_ELEMENT);
    for (let i = 0; i < values.length; i++) values[i] = view[get](i * Values.BYTES_PER_ELEMENT, littleEndian);
    return values;
  },
});

/** Integers of 64 bits as the nearest numbers: exact up to 2^53. */
const long = (get: "getBigInt64" | "getBigUint64"): Storage => ({
  bytes: 8,
  read: (data, littleEndian) => {
    const view = viewOf(data);
    return Float64Array.from({ length: data.length / 8 }, (_, i) => Number(view[get](8 * i, littleEndian)));
  },
});

/** How numbers are stored, by the type of their element: often narrower than the class of the array (a double array of small integers). */
const storage: Readonly<Record<number, Storage>> = {
  1: { bytes: 1, read: (data) => new Int8Array(data.buffer, data.byteOffset, data.length) },
  2: { bytes: 1, read: (data) => new Uint8Array(data.buffer, data.byteOffset, data.length) },
  3: wide(Int16Array, "getInt16"),
  4: wide(Uint16Array, "getUint16"),
  5: wide(Int32Array, "getInt32"),
  6: wide(Uint32Array, "getUint32"),
  7: wide(Float32Array, "getFloat32"),
  9: wide(Float64Array, "getFloat64"),
  12: long("getBigInt64"),
  13: long("getBigUint64"),
};
