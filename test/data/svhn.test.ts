import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { createDeflate } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { UserError } from "../../src/core/errors.ts";
import { parseMat } from "../../src/data/mat.ts";
import { parseSvhn } from "../../src/data/svhn.ts";
import {
  compressedElement,
  type MatVariable,
  matElement,
  matFile,
  matHeader,
  matMatrix,
  type StoredAs,
  stored,
  svhnFile,
  svhnImages,
} from "../support/mat.ts";

const kinds = [true, false].flatMap((littleEndian) => [false, true].map((compressed) => ({ littleEndian, compressed })));
const x: MatVariable = { name: "X", shape: [32, 32, 3, 2], values: svhnImages(2, () => 7), as: "uint8" };
const long: MatVariable = { name: "y", shape: [2, 1], values: [1, 10], as: "double" };
const y: MatVariable = { name: "y", shape: [2, 1], values: [1, 10], as: "uint8" };

describe("parseMat", () => {
  it.each(kinds)("reads small and large elements (%o)", (options) => {
    const names: readonly StoredAs[] = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "single", "double"];
    const variables = names.flatMap((as): MatVariable[] => [
      // One value is a small element wherever it has 4 bytes or fewer.
      { name: `${as}One`, shape: [1, 1], values: [as.startsWith("u") ? 200 : -100], as, class: "double" },
      { name: `${as}Many`, shape: [3, 2], values: [1, 2, 3, 4, 5, 100], as, class: "double" },
    ]);
    const arrays = parseMat(
      matFile(variables, options),
      variables.map(({ name }) => name),
      "f",
    );
    for (const { name, shape, values } of variables) {
      expect([name, arrays.get(name)!.shape, [...arrays.get(name)!.values]]).toEqual([name, shape, Array.from(values)]);
    }
  });

  it.each(kinds)("passes over what is not asked for, whatever it is (%o)", (options) => {
    const others: MatVariable[] = [
      { name: "text", shape: [1, 4], values: [65, 66, 67, 68], as: "uint16", class: "char" },
      { name: "z", shape: [1, 1], values: [1], as: "double", complex: true },
    ];
    expect([...parseMat(matFile([...others, y], options), ["y"], "f").get("y")!.values]).toEqual([1, 10]);
  });

  it.each([false, true])("passes over a table, which has no sizes (compressed: %s)", (compressed) => {
    const flags = Buffer.alloc(8);
    flags.writeUInt32LE(17);
    const table = matElement(14, Buffer.concat([matElement(stored.uint32, flags), matElement(stored.int8, Buffer.from("t"))]));
    const bytes = Buffer.concat([matHeader(), compressed ? compressedElement(table) : table, matMatrix(y)]);
    expect([...parseMat(bytes, ["y"], "f").get("y")!.values]).toEqual([1, 10]);
  });

  it("takes values from any alignment, and an end that is not filled up", () => {
    const bytes = matFile([{ name: "v", shape: [1, 3], values: [1, 2, 3], as: "int16", class: "double" }]);
    const shifted = Buffer.concat([Buffer.from([0]), bytes.subarray(0, -2)]).subarray(1);
    // The matrix announces the filling; without it, its own size is two less.
    shifted.writeUInt32LE(shifted.readUInt32LE(132) - 2, 132);
    expect([...parseMat(shifted, ["v"], "f").get("v")!.values]).toEqual([1, 2, 3]);
  });

  const patched = (bytes: Buffer, change: (copy: Buffer) => void): Buffer => {
    const copy = Buffer.from(bytes);
    change(copy);
    return copy;
  };
  const whole = matFile([y]);
  const inside = (element: Buffer): Buffer => Buffer.concat([matHeader(), compressedElement(element)]);

  it.each([
    ["an empty file", Buffer.alloc(0), "expected a MATLAB file of version 5 to 7.2, got something else"],
    ["something else", Buffer.alloc(500, 1), "expected a MATLAB file of version 5 to 7.2, got something else"],
    ["HDF5", Buffer.concat([matHeader(true, 0x0200), Buffer.alloc(600)]), "got version 2 (7.3 is HDF5: save it again with -v7)"],
    ["a file without it", matFile([x]), "expected the variables y, got no y"],
    ["it twice", matFile([y, y]), "the variable y is there twice"],
    ["a cut off tag", whole.subarray(0, 132), "is truncated: expected an element at byte 128"],
    ["a cut off element", whole.subarray(0, 150), "is truncated: expected 48 bytes for the element at byte 128, got 14"],
    ["a size beyond the file", patched(whole, (b) => b.writeUInt32LE(0xfffffff0, 132)), "is truncated: expected 4294967280 bytes"],
    ["a small element of 5 bytes", patched(whole, (b) => b.writeUInt32LE((5 << 16) | 2, 176)), "a small element of 5 bytes at byte 40"],
    ["more values than sizes say", patched(whole, (b) => b.writeInt32LE(1, 160)), "the variable y: expected 1 values for [1, 1], got 2"],
    ["a negative size", patched(whole, (b) => b.writeInt32LE(-2, 160)), "a variable of shape [-2, 1]: expected no negative size"],
    [
      "one axis",
      Buffer.concat([matHeader(), matElement(14, Buffer.concat([matElement(6, Buffer.alloc(8)), matElement(5, Buffer.alloc(4))]))]),
      "a variable of 1 axes",
    ],
    ["no flags", Buffer.concat([matHeader(), matElement(14, matElement(5, Buffer.alloc(8)))]), "a variable without array flags"],
    ["a long name", matFile([{ ...y, name: "n".repeat(64) }]), "a variable name of 64 bytes: expected at most 63"],
    ["text", matFile([{ ...y, class: "char" }]), "the variable y: expected real numbers, got class 4 (char)"],
    ["complex numbers", matFile([{ ...y, complex: true }]), "the variable y: expected real numbers, got class 9, complex"],
    [
      "a matrix for values",
      patched(whole, (b) => b.writeUInt32LE((2 << 16) | 14, 176)),
      "the variable y: expected numbers, got data of type 14",
    ],
    ["damaged packing", patched(matFile([x], { compressed: true }), (b) => b.fill(255, 140)), "a damaged compressed variable"],
    ["packing cut short", inside(matMatrix(long).subarray(0, -8)), "is truncated: expected 64 bytes for the variable y, got 56"],
    ["packing cut shorter", inside(matMatrix(y).subarray(0, -8)), "is truncated: expected an element at byte 40"],
    ["more packed than announced", inside(Buffer.concat([matMatrix(y), Buffer.alloc(2e6)])), "a damaged compressed variable"],
  ])("refuses %s", (_what, bytes, message) => {
    expect(() => parseMat(bytes, ["y"], "f")).toThrow(UserError);
    expect(() => parseMat(bytes, ["y"], "f")).toThrow(message);
  });

  it("does not unpack a variable beyond what it announces, or one that is not asked for", async () => {
    const other = patched(matMatrix({ ...y, name: "other" }), (b) => b.writeUInt32LE(120e6, 4));
    const lying = patched(matMatrix(y), (b) => b.writeUInt32LE(120e6, 4));
    const bombs = [await withZeros(matMatrix(y), 120), await withZeros(other, 120), await withZeros(lying, 120)];
    const before = process.resourceUsage().maxRSS;
    expect(() => parseMat(Buffer.concat([matHeader(), bombs[0]!]), ["y"], "f")).toThrow("a damaged compressed variable");
    const passed = parseMat(Buffer.concat([matHeader(), bombs[1]!, matMatrix(y)]), ["y"], "f");
    expect([...passed.get("y")!.values]).toEqual([1, 10]);
    expect(() => parseMat(Buffer.concat([matHeader(), bombs[2]!]), ["y"], "f")).toThrow(
      "f: the variable y: expected at most 48 bytes for [2, 1], got 120000000",
    );
    expect(process.resourceUsage().maxRSS - before).toBeLessThan(50 * 1024);
  });

  it("refuses a packed size that cannot be before making room for it", () => {
    const huge = patched(matMatrix(y), (b) => b.writeUInt32LE(0x3fffffff, 4));
    expect(() => parseMat(inside(huge), ["y"], "f")).toThrow(/the variable y announces 1073741823 bytes, \d+ packed: a damaged header\?/);
  });
});

/** A compressed element with megabytes of zeros after `start`, made piece by piece: memory taken here would hide what unpacking takes. */
async function withZeros(start: Buffer, megabytes: number): Promise<Buffer> {
  async function* pieces() {
    yield start;
    for (let i = 0; i < megabytes; i++) yield Buffer.alloc(1e6);
  }
  const packed = await buffer(Readable.from(pieces()).pipe(createDeflate({ level: 1 })));
  const tag = Buffer.alloc(8);
  tag.writeUInt32LE(15, 0);
  tag.writeUInt32LE(packed.length, 4);
  return Buffer.concat([tag, packed]);
}

describe("parseSvhn", () => {
  it.each(kinds)("turns columns into rows and label 10 into the digit 0 (%o)", (options) => {
    const images = svhnImages(3, (n, row, column, c) => [row, column, 50 * n][c]!);
    const labels: MatVariable = { name: "y", shape: [3, 1], values: [1, 10, 9], as: "double" };
    const set = parseSvhn(matFile([labels, { ...x, shape: [32, 32, 3, 3], values: images }], options), "f");
    expect([set.height, set.width, set.channels]).toEqual([32, 32, 3]);
    expect([...set.labels]).toEqual([1, 0, 9]);
    const pixel = (n: number, row: number, column: number) => [...set.pixels.subarray(n * 3072 + (row * 32 + column) * 3).subarray(0, 3)];
    expect(pixel(0, 4, 30)).toEqual([4, 30, 0]);
    expect(pixel(2, 31, 0)).toEqual([31, 0, 100]);
  });

  it.each(["int64", "uint64"] as const)("reads labels of %s", (as) => {
    expect([...parseSvhn(matFile([x, { ...y, as, class: as }]), "f").labels]).toEqual([1, 0]);
  });

  it("reads a single image, whose last axis MATLAB leaves out", () => {
    const one = matFile([
      { ...x, shape: [32, 32, 3], values: svhnImages(1, () => 9) },
      { ...y, shape: [1, 1], values: [4] },
    ]);
    expect([...parseSvhn(one, "f").labels]).toEqual([4]);
  });

  it.each([
    ["label 0", svhnFile([1, 0]), "f: label 0 of image 1: expected 1 to 10 (10 is the digit 0)"],
    ["label 11", svhnFile([11]), "f: label 11 of image 0: expected 1 to 10"],
    ["half a label", svhnFile([1, 2.5], { labelsAs: "double" }), "f: label 2.5 of image 1"],
    ["no number for a label", svhnFile([Number.NaN], { labelsAs: "double" }), "f: label NaN of image 0"],
    ["too few labels", matFile([x, { ...y, shape: [1, 1], values: [1] }]), "f: y: expected 2 labels for X [32, 32, 3, 2], got 1"],
    ["other images", matFile([{ ...x, shape: [32, 64, 3, 1] }, y]), "f: X: expected bytes [32, 32, 3, N], got Uint8Array [32, 64, 3, 1]"],
    ["no images", matFile([{ ...x, shape: [32, 32, 3, 0], values: [] }, y]), "got Uint8Array [32, 32, 3, 0]"],
    ["numbers for bytes", matFile([{ ...x, as: "uint16", class: "double" }, y]), "got Uint16Array [32, 32, 3, 2]"],
    ["images without labels", matFile([x]), "f: expected the variables X and y, got no y"],
  ])("refuses %s", (_what, bytes, message) => {
    expect(() => parseSvhn(bytes, "f")).toThrow(UserError);
    expect(() => parseSvhn(bytes, "f")).toThrow(message);
  });

  it("answers any change of a file with a set of digits or a UserError", () => {
    const files = kinds.map((options) => svhnFile([1, 10], { ...options, labelsAs: "double" }));
    const change = fc.record({
      file: fc.nat(files.length - 1),
      // Most bytes are pixels: headers, tags and the end are where it is worth looking.
      edits: fc.array(fc.tuple(fc.oneof(fc.nat(260), fc.nat(10_000), fc.integer({ min: -130, max: -1 })), fc.nat(255)), { maxLength: 4 }),
      cut: fc.oneof(fc.constant(0), fc.nat(7000)),
    });
    fc.assert(
      fc.property(change, ({ file, edits, cut }) => {
        const whole = Buffer.from(files[file]!);
        for (const [at, byte] of edits) whole[(at + whole.length) % whole.length] = byte;
        answersWell(whole.subarray(0, Math.max(0, whole.length - cut)));
      }),
      { seed: 1, numRuns: 1500 },
    );
  });

  it("answers any packed matrix with a set of digits or a UserError", () => {
    const plain = [matMatrix(x), matMatrix(y)];
    fc.assert(
      fc.property(fc.nat(1), fc.array(fc.tuple(fc.nat(80), fc.nat(255)), { minLength: 1, maxLength: 3 }), (which, edits) => {
        const elements = plain.map((element) => Buffer.from(element));
        for (const [at, byte] of edits) elements[which]![at % elements[which]!.length] = byte;
        answersWell(Buffer.concat([matHeader(), ...elements.map((element) => compressedElement(element))]));
      }),
      { seed: 1, numRuns: 500 },
    );
  });

  function answersWell(bytes: Uint8Array): void {
    try {
      const { labels, pixels } = parseSvhn(bytes, "f");
      expect(pixels.length).toBe(labels.length * 3072);
      expect(labels.every((label) => label >= 0 && label < 10)).toBe(true);
    } catch (error) {
      expect(error).toBeInstanceOf(UserError);
    }
  }
});

it("the test's writer and the format agree on a small element", () => {
  // From "MAT-File Format", 1-9: two bytes of type and two of size in one word, then the data.
  expect([...matElement(stored.uint8, Buffer.from([1, 2]))]).toEqual([2, 0, 2, 0, 1, 2, 0, 0]);
});
