import { mkdtempSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { InternalError, UserError } from "../../src/core/errors.ts";
import { Random } from "../../src/core/random.ts";
import { decodeSafetensors, encodeSafetensors, readSafetensorsMetadata, type Safetensor } from "../../src/core/safetensors.ts";

const tiny = new Map<string, Safetensor>([
  ["bias", { dtype: "F32", shape: [1], data: new Float32Array([1.5]) }],
  ["step", { dtype: "I64", shape: [], data: new BigInt64Array([7n]) }],
]);

/** A file of the given header and data bytes, right or wrong. */
function fileOf(header: unknown, dataBytes: number): Uint8Array {
  const json = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, Buffer.alloc(dataBytes)]);
}

const refuse = (bytes: Uint8Array, message: string) => {
  expect(() => decodeSafetensors(bytes, "a.safetensors")).toThrow(UserError);
  expect(() => decodeSafetensors(bytes, "a.safetensors")).toThrow(`a.safetensors: not a whole safetensors file: ${message}`);
};

describe("encodeSafetensors", () => {
  it("writes the very bytes that Python's safetensors 0.8.0 writes for the same tensors", () => {
    const header =
      '{"__metadata__":{"format":"sdim"},"step":{"dtype":"I64","shape":[],"data_offsets":[0,8]},"bias":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}      ';
    const expected = Buffer.from(`\x98\0\0\0\0\0\0\0${header}\x07\0\0\0\0\0\0\0\0\0\xc0\x3f`, "latin1");
    expect(Buffer.from(encodeSafetensors(tiny, { format: "sdim" }))).toEqual(expected);
  });

  it("refuses data of another type or size, and the reserved name, as our own failure", () => {
    const encode = (name: string, tensor: Safetensor) => () => encodeSafetensors(new Map([[name, tensor]]), {});
    expect(encode("w", { dtype: "F32", shape: [2, 3], data: new Float32Array(5) })).toThrow(
      new InternalError('tensor "w": expected 24 bytes of F32 for shape [2, 3], got 20 of Float32Array'),
    );
    expect(encode("w", { dtype: "F32", shape: [2], data: new Int32Array(2) } as unknown as Safetensor)).toThrow(
      new InternalError('tensor "w": expected 8 bytes of F32 for shape [2], got 8 of Int32Array'),
    );
    expect(encode("__metadata__", tiny.get("bias")!)).toThrow(InternalError);
  });
});

describe("decodeSafetensors", () => {
  const tensor: fc.Arbitrary<Safetensor> = fc.oneof(
    fc.float32Array().map((data): Safetensor => ({ dtype: "F32", shape: [data.length], data })),
    fc.float64Array().map((data): Safetensor => ({ dtype: "F64", shape: [1, data.length], data })),
    fc.bigInt64Array().map((data): Safetensor => ({ dtype: "I64", shape: [data.length, 1], data })),
    fc.int32Array({ minLength: 1, maxLength: 1 }).map((data): Safetensor => ({ dtype: "I32", shape: [], data })),
    fc.uint8Array({ minLength: 6, maxLength: 6 }).map((data): Safetensor => ({ dtype: "U8", shape: [2, 3], data })),
  );
  const name = fc.string({ unit: "grapheme" }).filter((text) => text !== "__metadata__");

  it("gives back any tensors and metadata, from a file that starts at any byte of its buffer", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(name, tensor)), fc.dictionary(fc.string(), fc.string()), fc.nat(7), (list, metadata, offset) => {
        const tensors = new Map(list);
        const file = Buffer.concat([Buffer.alloc(offset), encodeSafetensors(tensors, metadata)]).subarray(offset);
        const read = decodeSafetensors(file, "a.safetensors");
        expect(new Map([...read.tensors].sort())).toEqual(new Map([...tensors].sort()));
        expect(Object.entries(read.metadata)).toEqual(Object.entries(metadata));
      }),
      { seed: 1 },
    );
  });

  it("keeps names that mean something to JavaScript", () => {
    const metadata = JSON.parse('{"__proto__":"a","constructor":"b"}') as Record<string, string>;
    const read = decodeSafetensors(encodeSafetensors(new Map([["__proto__", tiny.get("bias")!]]), metadata), "a.safetensors");
    expect([...read.tensors]).toEqual([["__proto__", tiny.get("bias")]]);
    expect(Object.entries(read.metadata)).toEqual([
      ["__proto__", "a"],
      ["constructor", "b"],
    ]);
  });

  it("copies: writing into a tensor does not change the file", () => {
    const file = encodeSafetensors(tiny, {});
    const { tensors } = decodeSafetensors(file, "a.safetensors");
    tensors.get("bias")!.data[0] = 9;
    expect(Buffer.from(file)).toEqual(Buffer.from(encodeSafetensors(tiny, {})));
  });

  it("accepts a file without metadata and without padding", () => {
    expect(decodeSafetensors(fileOf({}, 0), "a.safetensors")).toEqual({ tensors: new Map(), metadata: {} });
  });

  it("names what is damaged", () => {
    const entry = { dtype: "F32", shape: [2], data_offsets: [0, 8] };
    refuse(new Uint8Array(7), "it has 7 bytes, less than the 8 of the header's length");
    refuse(new Uint8Array(8).fill(0xff), "its header should end at byte 18446744073709552000, the file at 8");
    refuse(fileOf("{", 0), "its header is not JSON");
    refuse(Buffer.concat([Buffer.from([1, 0, 0, 0, 0, 0, 0, 0, 0xff])]), "its header is not JSON");
    refuse(fileOf([], 0), "its header is not a JSON object");
    refuse(fileOf("null", 0), "its header is not a JSON object");
    refuse(fileOf({ __metadata__: { epoch: 1 } }, 0), "its __metadata__ is not an object of strings");
    refuse(
      fileOf({ w: { ...entry, dtype: "BF16" } }, 8),
      'tensor "w" in its header: dtype: expected "F64" or "I64" or "F32" or "I32" or "U8", got "BF16"',
    );
    refuse(fileOf({ w: { ...entry, shape: [-2] } }, 8), 'tensor "w" in its header: shape[0]: expected at least 0, got -2');
    refuse(fileOf({ w: { dtype: "F32", shape: [2] } }, 8), 'tensor "w" in its header: data_offsets: expected a list, but there is none');
    refuse(fileOf({ w: { ...entry, data_offsets: [4, 12] } }, 12), 'tensor "w" starts at byte 4 of the data, expected 0');
    refuse(fileOf({ v: entry, w: entry }, 8), 'tensor "w" starts at byte 0 of the data, expected 8');
    refuse(fileOf({ w: { ...entry, shape: [3] } }, 8), 'tensor "w" ends at byte 8 of the data, expected 12 for F32 [3]');
    refuse(
      fileOf({ w: { ...entry, shape: [1e15], data_offsets: [0, 4e15] } }, 8),
      'tensor "w" ends at byte 4000000000000000 of the data, which has 8',
    );
    refuse(fileOf({ w: entry }, 7), 'tensor "w" ends at byte 8 of the data, which has 7');
    refuse(fileOf({ w: entry }, 9), "its tensors end at byte 8 of the data, which has 9");
  });

  it("refuses every truncation, and throws nothing but UserError on changed bytes", () => {
    const file = encodeSafetensors(tiny, { format: "sdim" });
    for (let length = 0; length < file.length; length++) refuse(file.subarray(0, length), "");

    const random = new Random(1);
    const dataStart = file.length - 12;
    let refused = 0;
    for (let trial = 0; trial < 2000; trial++) {
      const changed = file.slice();
      changed[random.below(dataStart)] = random.below(256);
      try {
        decodeSafetensors(changed, "a.safetensors");
      } catch (error) {
        expect(error).toBeInstanceOf(UserError);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(1000);
  });
});

describe("readSafetensorsMetadata", () => {
  const path = join(mkdtempSync(join(tmpdir(), "sdim-safetensors-")), "a.safetensors");

  it("gives the metadata, tensors unread", () => {
    writeFileSync(path, encodeSafetensors(tiny, { sdim: "größe" }).subarray(0, -12));
    expect(readSafetensorsMetadata(path)).toEqual({ sdim: "größe" });
    writeFileSync(path, fileOf({}, 0));
    expect(readSafetensorsMetadata(path)).toEqual({});
  });

  it("says of a folder that it is no file", () => {
    expect(() => readSafetensorsMetadata(tmpdir())).toThrow(UserError);
    expect(() => readSafetensorsMetadata(tmpdir())).toThrow(`cannot read ${tmpdir()}: not a file`);
  });

  it("says what is damaged, and takes no more memory for it than a header may have", () => {
    const refusePath = (message: string) => {
      expect(() => readSafetensorsMetadata(path)).toThrow(UserError);
      expect(() => readSafetensorsMetadata(path)).toThrow(message);
    };
    writeFileSync(path, "1234");
    refusePath("its header should end at byte 8, the file at 4");
    writeFileSync(path, fileOf("{", 0));
    refusePath("its header is not JSON");
    writeFileSync(path, fileOf({ __metadata__: { step: 1 } }, 0));
    refusePath("its __metadata__ is not an object of strings");
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(200_000_000n);
    writeFileSync(path, length);
    // A file with a hole: it has the size, not the bytes.
    truncateSync(path, 300_000_000);
    refusePath("its header has 200000000 bytes, expected at most 100000000");
  });
});
