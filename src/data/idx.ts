import { constants, gunzipSync, type ZlibOptions } from "node:zlib";
import { messageOf, UserError } from "../core/errors.ts";
import { largestRatio, unpackedTo } from "./packed.ts";

/** A tensor of unsigned bytes as IDX files hold it (LeCun et al., the MNIST format). */
export interface IdxTensor {
  readonly shape: readonly number[];
  readonly data: Uint8Array;
  /** The whole file, unpacked: what published checksums are over. */
  readonly content: Uint8Array;
}

const unsignedByte = 0x08;
/** More than any data set of this format; a header that asks for more is damaged, or hostile. */
const largestData = 2 ** 30;
/** More images or labels than any data set of this format has; a label is a byte in the file, and several in memory. */
const mostItems = 2 ** 24;
/** Packed bytes that surely hold the header; they unpack to 4 MiB at most. */
const packedStart = 4096;

/**
 * Reads an IDX file of `rank` axes, gzipped or not: magic 00 00 08 rank, sizes as big-endian 32-bit numbers, then the bytes.
 * A gzipped file is never unpacked beyond what its own header announces (a small file can unpack to gigabytes).
 * Errors: UserError that names the file, what was expected and what came.
 */
export function parseIdx(bytes: Uint8Array, rank: number, source: string): IdxTensor {
  const gzipped = isGzip(bytes);
  const header = 4 + 4 * rank;
  const shape = idxShape(bytes, rank, source);
  const size = shape.reduce((product, dim) => product * dim, 1);
  const expected = `expected ${size} bytes for [${shape.join(", ")}]`;
  const content = gzipped ? gunzip(bytes, source, unpackedTo(header + size), `${source} has bytes to spare: ${expected}, got more`) : bytes;
  const got = content.length - header;
  if (got !== size) {
    const problem = got < size ? "is truncated" : "has bytes to spare";
    throw new UserError(`${source} ${problem}: ${expected}, got ${got}`);
  }
  return { shape, data: content.subarray(header), content };
}

const isGzip = (bytes: Uint8Array): boolean => bytes[0] === 0x1f && bytes[1] === 0x8b;

/** What the header of an IDX file announces; of a gzipped one, no more is unpacked. Errors: as `parseIdx`, for a header that cannot be right. */
export function idxShape(bytes: Uint8Array, rank: number, source: string): readonly number[] {
  const gzipped = isGzip(bytes);
  const start = gzipped ? gunzip(bytes.subarray(0, packedStart), source, { finishFlush: constants.Z_SYNC_FLUSH }) : bytes;
  const shape = parseHeader(start, rank, source);
  const [items = 0] = shape;
  const size = shape.reduce((product, dim) => product * dim, 1);
  const expected = `${source}: expected ${size} bytes for [${shape.join(", ")}]`;
  if (size > largestData) throw new UserError(`${expected}, more than the ${largestData} that are read at most: a damaged header?`);
  if (items > mostItems)
    throw new UserError(`${expected}, of ${items} items, more than the ${mostItems} that are read at most: a damaged header?`);
  if (gzipped && size > bytes.length * largestRatio) throw new UserError(`${expected}, got ${bytes.length} packed: a damaged header?`);
  return shape;
}

function parseHeader(bytes: Uint8Array, rank: number, source: string): number[] {
  const expected = `expected an IDX file of ${rank} axes (it starts with 00 00 08 0${rank})`;
  if (bytes.length < 4 + 4 * rank) throw new UserError(`${source}: ${expected}, got only ${bytes.length} bytes`);
  const magic = [...bytes.subarray(0, 4)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
  if (bytes[0] !== 0 || bytes[1] !== 0 || bytes[2] !== unsignedByte || bytes[3] !== rank) {
    throw new UserError(`${source}: ${expected}, got ${magic}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: rank }, (_, axis) => view.getUint32(4 + 4 * axis));
}

function gunzip(bytes: Uint8Array, source: string, options: ZlibOptions, tooLarge?: string): Uint8Array {
  try {
    return gunzipSync(bytes, options);
  } catch (error) {
    const isTooLarge = error instanceof RangeError && tooLarge !== undefined;
    throw new UserError(isTooLarge ? tooLarge : `${source}: a damaged gzip file: ${messageOf(error)}`, { cause: error });
  }
}
