import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { UserError } from "../../src/core/errors.ts";
import { parseIdx } from "../../src/data/idx.ts";

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
    const bytes = idx([2, 1, 2], [1, 2, 3, 4]);
    const expected = { shape: [2, 1, 2], data: Buffer.from([1, 2, 3, 4]), content: bytes };
    expect(parseIdx(bytes, 3, "f")).toEqual(expected);
    expect(parseIdx(gzipSync(bytes), 3, "f")).toEqual(expected);
  });

  it.each([
    ["truncated data", idx([2, 3], [1, 2, 3]), 2, "f is truncated: expected 6 bytes for [2, 3], got 3"],
    ["bytes to spare", idx([2], [1, 2, 3]), 1, "f has bytes to spare: expected 2 bytes for [2], got 3"],
    ["a truncated header", Buffer.from([0, 0, 8]), 1, "f: expected an IDX file of 1 axes (it starts with 00 00 08 01), got only 3 bytes"],
    ["another magic", idx([2], [1, 2], [137, 80, 78, 71]), 1, "got 89 50 4e 47"],
    ["another element type", idx([2], [1, 2], [0, 0, 13, 1]), 1, "got 00 00 0d 01"],
    ["another rank", idx([2], [1, 2]), 3, "expected an IDX file of 3 axes"],
    ["a header that asks for far too much", idx([0xffffffff, 0xffffffff, 0xffffffff], [1]), 3, "damaged header?"],
    ["a header that asks for more items than any set has", idx([2 ** 24 + 1], [1]), 1, "of 16777217 items, more than the 16777216"],
    [
      "the same, gzipped",
      gzipSync(idx([2 ** 30], [1])),
      1,
      "f: expected 1073741824 bytes for [1073741824], of 1073741824 items, more than",
    ],
    [
      "a header that asks for more than gzip can hold",
      gzipSync(idx([2 ** 20], [1])),
      1,
      /f: expected 1048576 bytes for \[1048576\], got \d+ packed/,
    ],
    ["gzipped truncated data", gzipSync(idx([2, 3], [1, 2, 3])), 2, "f is truncated: expected 6 bytes for [2, 3], got 3"],
    ["gzipped bytes of another kind", gzipSync(Buffer.from("not an IDX file")), 1, "got 6e 6f 74 20"],
    ["gzip that ends too early", gzipSync(idx([4], [1, 2, 3, 4])).subarray(0, -6), 1, "f: a damaged gzip file"],
    ["gzip that is none", Buffer.from([0x1f, 0x8b, 1, 2, 3]), 1, "f: a damaged gzip file"],
  ])("refuses %s", (_what, bytes, rank, message) => {
    expect(() => parseIdx(bytes, rank, "f")).toThrow(UserError);
    expect(() => parseIdx(bytes, rank, "f")).toThrow(message);
  });

  it("does not unpack a gzip file beyond what its header announces", () => {
    // Gzip members one after another unpack to one stream, so making the bomb takes no memory that would hide unpacking it.
    const zeros = gzipSync(Buffer.alloc(1e6));
    const bomb = Buffer.concat([gzipSync(idx([2], [1, 2])), ...Array.from({ length: 300 }, () => zeros)]);
    const before = process.resourceUsage().maxRSS;
    expect(() => parseIdx(bomb, 1, "f")).toThrow("f has bytes to spare: expected 2 bytes for [2], got more");
    expect(process.resourceUsage().maxRSS - before).toBeLessThan(50 * 1024);
  });

  it("unpacks what is allowed once, not twice", () => {
    const zeros = gzipSync(Buffer.alloc(1e6));
    const packed = Buffer.concat([gzipSync(idx([100, 1000, 1000], [])), ...Array.from({ length: 100 }, () => zeros)]);
    const before = process.resourceUsage().maxRSS;
    expect(parseIdx(packed, 3, "f").data.length).toBe(1e8);
    expect(process.resourceUsage().maxRSS - before).toBeLessThan(150 * 1024);
  });

  it("answers any bytes with a tensor or a UserError", () => {
    const mutated = fc.tuple(fc.uint8Array({ maxLength: 40 }), fc.nat(60), fc.nat(255), fc.boolean()).map(([data, at, byte, pack]) => {
      const plain = idx([data.length], [...data]);
      const bytes = pack ? gzipSync(plain) : plain;
      bytes[at % bytes.length] = byte;
      return bytes;
    });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 64 }), mutated), fc.integer({ min: 1, max: 4 }), (bytes, rank) => {
        try {
          const { shape, data } = parseIdx(bytes, rank, "f");
          expect(data.length).toBe(shape.reduce((a, b) => a * b, 1));
        } catch (error) {
          expect(error).toBeInstanceOf(UserError);
        }
      }),
      { seed: 1, numRuns: 2000 },
    );
  });
});
