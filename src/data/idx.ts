import { gunzipSync } from "node:zlib";
import { messageOf, UserError } from "../core/errors.ts";

/** A tensor of unsigned bytes as IDX files hold it (LeCun et al., the MNIST format). */
export interface IdxTensor {
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

const unsignedByte = 0x08;
/** More than any data set of this format; a header that asks for more is damaged, or hostile. */
const largestFile = 2 ** 30;

/** Unpacks gzip where the bytes are gzipped. Errors: UserError when damaged, or larger than 1 GiB unpacked. */
export function gunzipIfNeeded(bytes: Uint8Array, source: string): Uint8Array {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  try {
    return gunzipSync(bytes, { maxOutputLength: largestFile });
  } catch (error) {
    throw new UserError(`${source}: a damaged gzip file: ${messageOf(error)}`, { cause: error });
  }
}

/**
 * Reads an IDX file of `rank` axes: magic 00 00 08 rank, sizes as big-endian 32-bit numbers, then the bytes.
 * Errors: UserError that names the file, what was expected and what came.
 */
export function parseIdx(bytes: Uint8Array, rank: number, source: string): IdxTensor {
  const header = 4 + 4 * rank;
  const expected = `expected an IDX file of ${rank} axes (it starts with 00 00 08 0${rank})`;
  if (bytes.length < header) throw new UserError(`${source}: ${expected}, got only ${bytes.length} bytes`);
  const magic = [...bytes.subarray(0, 4)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
  if (bytes[0] !== 0 || bytes[1] !== 0 || bytes[2] !== unsignedByte || bytes[3] !== rank) {
    throw new UserError(`${source}: ${expected}, got ${magic}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const shape = Array.from({ length: rank }, (_, axis) => view.getUint32(4 + 4 * axis));
  const size = shape.reduce((product, dim) => product * dim, 1);
  const got = bytes.length - header;
  if (got !== size) {
    const problem = got < size ? "is truncated" : "has bytes to spare";
    throw new UserError(`${source} ${problem}: expected ${size} bytes for [${shape.join(", ")}], got ${got}`);
  }
  return { shape, data: bytes.subarray(header) };
}
