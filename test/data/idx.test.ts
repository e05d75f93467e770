import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { UserError } from "../../src/core/errors.ts";
import { gunzipIfNeeded, parseIdx } from "../../src/data/idx.ts";

const idx = (shape: readonly number[], data: readonly number[], magic = [0, 0, 8, shape.length]): Uint8Array => {
  const header = Buffer.alloc(4 + 4 * shape.length);
  header.set(magic);
  shape.forEach((size, axis) => {
    header.writeUInt32BE(size, 4 + 4 * axis);
  });
  return Buffer.concat([header, Buffer.from(data)]);
};

describe("parseIdx", () => {
  it("reads sizes and bytes", () => {
    expect(parseIdx(idx([2, 1, 2], [1, 2, 3, 4]), 3, "f")).toEqual({ shape: [2, 1, 2], data: Buffer.from([1, 2, 3, 4]) });
  });

  it.each([
    ["truncated data", idx([2, 3], [1, 2, 3]), 2, "f is truncated: expected 6 bytes for [2, 3], got 3"],
    ["bytes to spare", idx([2], [1, 2, 3]), 1, "f has bytes to spare: expected 2 bytes for [2], got 3"],
    ["a truncated header", Buffer.from([0, 0, 8]), 1, "f: expected an IDX file of 1 axes (it starts with 00 00 08 01), got only 3 bytes"],
    ["another magic", idx([2], [1, 2], [137, 80, 78, 71]), 1, "got 89 50 4e 47"],
    ["another element type", idx([2], [1, 2], [0, 0, 13, 1]), 1, "got 00 00 0d 01"],
    ["another rank", idx([2], [1, 2]), 3, "expected an IDX file of 3 axes"],
    ["a header that asks for far too much", idx([0xffffffff, 0xffffffff, 0xffffffff], [1]), 3, "is truncated"],
  ])("refuses %s", (_what, bytes, rank, message) => {
    expect(() => parseIdx(bytes, rank, "f")).toThrow(UserError);
    expect(() => parseIdx(bytes, rank, "f")).toThrow(message);
  });

  it("answers any bytes with a tensor or a UserError", () => {
    const mutated = fc.tuple(fc.uint8Array({ maxLength: 40 }), fc.nat(20), fc.nat(255)).map(([data, at, byte]) => {
      const bytes = idx([data.length], [...data]);
      bytes[at % bytes.length] = byte;
      return bytes;
    });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 64 }), mutated), fc.integer({ min: 1, max: 4 }), (bytes, rank) => {
        try {
          const { shape, data } = parseIdx(gunzipIfNeeded(bytes, "f"), rank, "f");
          expect(data.length).toBe(shape.reduce((a, b) => a * b, 1));
        } catch (error) {
          expect(error).toBeInstanceOf(UserError);
        }
      }),
      { seed: 1, numRuns: 2000 },
    );
  });
});

describe("gunzipIfNeeded", () => {
  it("unpacks gzip and leaves the rest alone", () => {
    const bytes = Buffer.from([1, 2, 3]);
    expect(gunzipIfNeeded(bytes, "f")).toBe(bytes);
    expect([...gunzipIfNeeded(gzipSync(bytes), "f")]).toEqual([1, 2, 3]);
  });

  it("refuses damaged gzip", () => {
    const packed = gzipSync(Buffer.alloc(1000, 7));
    expect(() => gunzipIfNeeded(packed.subarray(0, packed.length - 6), "f.gz")).toThrow("f.gz: a damaged gzip file");
  });
});
