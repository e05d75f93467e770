import { deflateSync } from "node:zlib";

// Writes MATLAB Level 5 files, from the format's description and apart from the reader.

export interface MatOptions {
  readonly littleEndian?: boolean;
  readonly compressed?: boolean;
}

/** Element types: how values are stored. */
export const stored = { int8: 1, uint8: 2, int16: 3, uint16: 4, int32: 5, uint32: 6, single: 7, double: 9, int64: 12, uint64: 13 } as const;
export type StoredAs = keyof typeof stored;
/** Array classes: what values are to MATLAB. */
const classes = { cell: 1, char: 4, double: 6, single: 7, int8: 8, uint8: 9, int64: 14, uint64: 15 } as const;

export interface MatVariable {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: ArrayLike<number>;
  readonly as: StoredAs;
  readonly class?: keyof typeof classes;
  readonly complex?: boolean;
}

const sizes: Readonly<Record<StoredAs, number>> = {
  int8: 1,
  uint8: 1,
  int16: 2,
  uint16: 2,
  int32: 4,
  uint32: 4,
  single: 4,
  double: 8,
  int64: 8,
  uint64: 8,
};

function encode(values: ArrayLike<number>, as: StoredAs, little: boolean): Buffer {
  const bytes = Buffer.alloc(values.length * sizes[as]);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const put: Readonly<Record<StoredAs, (at: number, value: number) => void>> = {
    int8: (at, value) => view.setInt8(at, value),
    uint8: (at, value) => view.setUint8(at, value),
    int16: (at, value) => view.setInt16(at, value, little),
    uint16: (at, value) => view.setUint16(at, value, little),
    int32: (at, value) => view.setInt32(at, value, little),
    uint32: (at, value) => view.setUint32(at, value, little),
    single: (at, value) => view.setFloat32(at, value, little),
    double: (at, value) => view.setFloat64(at, value, little),
    int64: (at, value) => view.setBigInt64(at, BigInt(value), little),
    uint64: (at, value) => view.setBigUint64(at, BigInt(value), little),
  };
  for (let i = 0; i < values.length; i++) put[as](i * sizes[as], values[i]!);
  return bytes;
}

const words = (little: boolean, ...values: readonly number[]): Buffer => encode(values, "uint32", little);

/** An element: small (in 8 bytes) where it can be, as MATLAB writes it. */
export function matElement(type: number, data: Uint8Array, little = true): Buffer {
  if (data.length > 0 && data.length <= 4) {
    const padded = Buffer.alloc(4);
    padded.set(data);
    return Buffer.concat([words(little, (data.length << 16) | type), padded]);
  }
  return Buffer.concat([words(little, type, data.length), data, Buffer.alloc((8 - (data.length % 8)) % 8)]);
}

export function matHeader(little = true, version = 0x0100): Buffer {
  const header = Buffer.alloc(128, " ");
  header.write("MATLAB 5.0 MAT-file, written by a test");
  const versionAndMagic = encode([version, 0x4d49], "uint16", little);
  header.set(versionAndMagic, 124);
  return header;
}

export function matMatrix(variable: MatVariable, little = true): Buffer {
  const { name, shape, values, as, complex = false } = variable;
  const flags = (complex ? 0x0800 : 0) | classes[variable.class ?? (as === "uint8" ? "uint8" : "double")];
  const body = Buffer.concat([
    matElement(stored.uint32, words(little, flags, 0), little),
    matElement(stored.int32, encode(shape, "int32", little), little),
    matElement(stored.int8, Buffer.from(name), little),
    matElement(stored[as], encode(values, as, little), little),
  ]);
  return matElement(14, body, little);
}

export const compressedElement = (element: Uint8Array, little = true): Buffer => {
  const packed = deflateSync(element);
  return Buffer.concat([words(little, 15, packed.length), packed]);
};

export function matFile(variables: readonly MatVariable[], { littleEndian = true, compressed = false }: MatOptions = {}): Buffer {
  const elements = variables.map((variable) => matMatrix(variable, littleEndian));
  return Buffer.concat([matHeader(littleEndian), ...elements.map((e) => (compressed ? compressedElement(e, littleEndian) : e))]);
}

/** X of SVHN's files, column-major [32, 32, 3, N]; `pixel`: the byte of image n at a row, column and channel. */
export function svhnImages(count: number, pixel: (n: number, y: number, x: number, c: number) => number): Uint8Array {
  const values = new Uint8Array(count * 3072);
  for (let n = 0; n < count; n++)
    for (let c = 0; c < 3; c++)
      for (let x = 0; x < 32; x++) for (let y = 0; y < 32; y++) values[y + 32 * x + 1024 * c + 3072 * n] = pixel(n, y, x, c);
  return values;
}

export interface SvhnOptions extends MatOptions {
  readonly labelsAs?: StoredAs;
}

/** A file as SVHN's are; labels as they stand in it, 1 to 10. */
export function svhnFile(labels: readonly number[], { labelsAs = "uint8", ...options }: SvhnOptions = {}): Buffer {
  const values = svhnImages(labels.length, (n, y, x, c) => (100 * c + 3 * y + x + n) % 256);
  return matFile(
    [
      { name: "X", shape: [32, 32, 3, labels.length], values, as: "uint8" },
      { name: "y", shape: [labels.length, 1], values: labels, as: labelsAs },
    ],
    options,
  );
}
