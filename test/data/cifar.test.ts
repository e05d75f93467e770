import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { UserError } from "../../src/core/errors.ts";
import { parseCifar } from "../../src/data/cifar.ts";
import { cifarRecord, cifarRecords } from "../support/records.ts";

describe("parseCifar", () => {
  it("turns planes into pixels, row by row", () => {
    // Red tells the row, green the column, blue is constant.
    const bytes = Buffer.concat([cifarRecord(3, (c, y, x) => [y, x, 200][c]!), cifarRecord(9, (c, y, x) => [x, y, 100][c]!)]);
    const { height, width, channels, pixels, labels } = parseCifar(bytes, "f");
    expect([height, width, channels, pixels.length]).toEqual([32, 32, 3, 2 * 3072]);
    expect([...labels]).toEqual([3, 9]);
    const pixel = (n: number, y: number, x: number) => [...pixels.subarray(n * 3072 + (y * 32 + x) * 3).subarray(0, 3)];
    expect(pixel(0, 5, 17)).toEqual([5, 17, 200]);
    expect(pixel(0, 31, 0)).toEqual([31, 0, 200]);
    expect(pixel(1, 5, 17)).toEqual([17, 5, 100]);
  });

  it.each([
    ["nothing", Buffer.alloc(0), "f: expected records of 3073 bytes", "got 0 bytes: 0 records and 0 bytes to spare"],
    ["half a record", cifarRecords([1]).subarray(0, 1500), "f: expected records", "got 1500 bytes: 0 records and 1500 bytes to spare"],
    ["a truncated last record", cifarRecords([1, 2]).subarray(0, -1), "f: expected records", "1 records and 3072 bytes to spare"],
    ["bytes after the last record", Buffer.concat([cifarRecords([1]), Buffer.from([0])]), "f: expected", "1 records and 1 bytes to spare"],
    ["a label that is no class", cifarRecords([1, 0, 10]), "f: label 10 of record 2", "expected 0 to 9"],
  ])("refuses %s", (_what, bytes, ...messages) => {
    expect(() => parseCifar(bytes, "f")).toThrow(UserError);
    for (const message of messages) expect(() => parseCifar(bytes, "f")).toThrow(message);
  });

  it("answers any bytes with images of known classes or a UserError", () => {
    const mutated = fc.tuple(fc.array(fc.nat(11), { maxLength: 3 }), fc.nat(10_000), fc.nat(255), fc.integer({ min: 0, max: 4 }));
    fc.assert(
      fc.property(mutated, ([given, at, byte, cut]) => {
        const whole = cifarRecords(given);
        if (whole.length > 0) whole[at % whole.length] = byte;
        const bytes = whole.subarray(0, Math.max(0, whole.length - cut));
        const isGood = bytes.length > 0 && bytes.length % 3073 === 0 && given.every((_, n) => bytes[n * 3073]! < 10);
        if (!isGood) {
          expect(() => parseCifar(bytes, "f")).toThrow(UserError);
          return;
        }
        const { labels, pixels } = parseCifar(bytes, "f");
        expect([...labels]).toEqual(given.map((_, n) => bytes[n * 3073]));
        expect(pixels.length).toBe(given.length * 3072);
      }),
      { seed: 1, numRuns: 200 },
    );
  });
});
