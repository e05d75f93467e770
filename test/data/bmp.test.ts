import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { UserError } from "../../src/core/errors.ts";
import { decodeBmp } from "../../src/data/bmp.ts";
import { readPicture, readPictureHeader } from "../../src/data/images.ts";
import { bmp } from "../support/pictures.ts";

const folder = mkdtempSync(join(tmpdir(), "sdim-bmp-"));
afterAll(() => rmSync(folder, { recursive: true }));

const most = 1e6;
const decoded = (bytes: Uint8Array) => decodeBmp(bytes, most, "f.bmp");
const masks = (...bytes: number[]) => [0, 0, 0xff, 0, 0, 0xff, 0, 0, 0xff, 0, 0, 0, ...bytes];

describe("decodeBmp", () => {
  it.each([false, true])("reads 24 bits, top down: %s", (topDown) => {
    const bytes = bmp({
      width: 2,
      height: 2,
      bits: 24,
      topDown,
      rows: [
        [3, 2, 1, 6, 5, 4],
        [9, 8, 7, 12, 11, 10],
      ],
    });
    expect(decoded(bytes)).toEqual({ width: 2, height: 2, channels: 3, pixels: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12) });
  });

  it("reads 8, 4 and 1 bits through their palette", () => {
    const palette = [0, 0, 255, 0, 0, 255, 0, 0];
    const red = [255, 0, 0];
    const green = [0, 255, 0];
    const expected = Uint8Array.from([...green, ...red, ...green]);
    expect(decoded(bmp({ width: 3, height: 1, bits: 8, palette, rows: [[1, 0, 1]] })).pixels).toEqual(expected);
    expect(decoded(bmp({ width: 3, height: 1, bits: 4, palette, rows: [[0x10, 0x10]] })).pixels).toEqual(expected);
    expect(decoded(bmp({ width: 3, height: 1, bits: 1, palette, rows: [[0b10100000]] })).pixels).toEqual(expected);
  });

  it("shows an entry that the palette does not have as black", () => {
    expect([...decoded(bmp({ width: 1, height: 1, bits: 8, palette: [9, 9, 9, 0], rows: [[200]] })).pixels]).toEqual([0, 0, 0]);
  });

  it("reads 32 bits, with opacity only where the header has a mask for it", () => {
    const rows = [[3, 2, 1, 77]];
    const plain = decoded(bmp({ width: 1, height: 1, bits: 32, rows }));
    expect([plain.channels, ...plain.pixels]).toEqual([3, 1, 2, 3]);
    const clear = decoded(bmp({ width: 1, height: 1, bits: 32, rows, compression: 3, extension: masks(0, 0, 0, 0xff) }));
    expect([clear.channels, ...clear.pixels]).toEqual([4, 1, 2, 3, 77]);
    const masked = decoded(bmp({ width: 1, height: 1, bits: 32, rows, compression: 3, extension: masks(0, 0, 0, 0) }));
    expect([masked.channels, ...masked.pixels]).toEqual([3, 1, 2, 3]);
  });

  const good = {
    width: 2,
    height: 2,
    bits: 24,
    rows: [
      [0, 0, 0, 0, 0, 0],
      [0, 0, 0, 0, 0, 0],
    ],
  };
  it.each([
    ["a header cut short", bmp(good).subarray(0, 40), "f.bmp: a truncated BMP: its header takes 54 bytes, got 40"],
    ["pixels cut short", bmp(good).subarray(0, 60), "f.bmp: a truncated BMP: expected 70 bytes for 2 x 2 pixels, got 60"],
    ["no pixels", bmp({ ...good, width: 0 }), "f.bmp: a BMP of 0 x 2 pixels: nothing to see"],
    ["a bomb", bmp({ ...good, width: 1001, height: 1000 }), "f.bmp: a BMP of 1001 x 1000 pixels: more than the 1000000"],
    ["16 bits", bmp({ ...good, bits: 16 }), "f.bmp: a BMP of 16 bits per pixel: expected 1, 4, 8, 24 or 32"],
    ["run lengths", bmp({ ...good, bits: 8, compression: 1 }), "f.bmp: a compressed BMP (kind 1)"],
    [
      "unusual masks",
      bmp({ ...good, bits: 32, compression: 3, extension: masks(0, 0, 0, 1) }),
      "f.bmp: a BMP with its colours in unusual bits",
    ],
  ])("refuses %s", (_what, bytes, message) => {
    expect(() => decoded(bytes)).toThrow(UserError);
    expect(() => decoded(bytes)).toThrow(message);
  });

  it("gives back any 24-bit picture, and refuses every part of its file", () => {
    const picture = fc
      .tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 }), fc.boolean())
      .chain(([width, height, topDown]) =>
        fc.record({
          width: fc.constant(width),
          height: fc.constant(height),
          topDown: fc.constant(topDown),
          rgb: fc.uint8Array({ minLength: 3 * width * height, maxLength: 3 * width * height }),
          cut: fc.double({ min: 0, max: 0.999, noNaN: true }),
        }),
      );
    fc.assert(
      fc.property(picture, ({ width, height, topDown, rgb, cut }) => {
        const rows = Array.from({ length: height }, (_, y) =>
          Array.from({ length: 3 * width }, (_, i) => rgb[y * 3 * width + i + 2 - 2 * (i % 3)]!),
        );
        const bytes = bmp({ width, height, bits: 24, topDown, rows });
        expect(decoded(bytes).pixels).toEqual(rgb);
        expect(() => decoded(bytes.subarray(0, Math.floor(cut * bytes.length)))).toThrow(UserError);
      }),
    );
  });

  it("decodes or refuses whatever follows the first two bytes", () => {
    const header = bmp({
      width: 2,
      height: 2,
      bits: 32,
      rows: [
        [1, 2, 3, 4, 5, 6, 7, 8],
        [1, 2, 3, 4, 5, 6, 7, 8],
      ],
    });
    const damage = fc.array(fc.tuple(fc.integer({ min: 2, max: header.length - 1 }), fc.integer({ min: 0, max: 255 })), { maxLength: 6 });
    fc.assert(
      fc.property(damage, (changes) => {
        const bytes = Uint8Array.from(header);
        for (const [at, value] of changes) bytes[at] = value;
        try {
          const { width, height, channels, pixels } = decoded(bytes);
          expect(pixels.length).toBe(width * height * channels);
        } catch (error) {
          expect(error).toBeInstanceOf(UserError);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe("a BMP file", () => {
  const path = join(folder, "picture.bmp");

  it("is read like any other picture, in colour and grey", async () => {
    writeFileSync(path, bmp({ width: 2, height: 1, bits: 24, rows: [[0, 0, 255, 255, 255, 255]] }));
    expect([...(await readPicture(path, 3)).pixels]).toEqual([255, 0, 0, 255, 255, 255]);
    const grey = (await readPicture(path, 1)).pixels;
    expect(grey.length).toBe(2);
    expect(grey[0]).toBeLessThan(grey[1]!);
    expect(await readPictureHeader(path)).toEqual({ pixelCount: 2, isStoredGrey: false });
  });

  it("shows what is transparent as black", async () => {
    const bytes = bmp({ width: 1, height: 1, bits: 32, rows: [[200, 200, 200, 0]], compression: 3, extension: masks(0, 0, 0, 0xff) });
    expect([...(await readPicture(bytes, 1)).pixels]).toEqual([0]);
  });

  it("that asks for more than 100 megapixels is refused by its header", async () => {
    writeFileSync(path, bmp({ width: 20_000, height: 20_000, bits: 24, rows: [] }));
    await expect(readPicture(path, 3)).rejects.toThrow(`${path}: 20000 x 20000 pixels, more than the 100,000,000 that are read`);
    expect(await readPictureHeader(path)).toEqual({ pixelCount: 4e8, isStoredGrey: false });
  });

  it.each([
    ["24", "Qk1QAAAAAAAAADYAAAAoAAAAAwAAAAIAAAABABgAAAAAABoAAAAAAAAAAAAAAAAAAAAAAAAAAwIBBgUECQgHAQEBHhQKPDIoWlBGAQEBAQE="],
    ["32", "Qk1QAAAAAAAAADYAAAAoAAAAAwAAAAIAAAABACAAAAAAABoAAAAAAAAAAAAAAAAAAAAAAAAAAwIB/wYFBP8JCAf/HhQK/zwyKP9aUEaAAQE="],
  ])("of %s bits as bmp-ts 1.0.9 writes it is what went in", async (_bits, content) => {
    const { height, width, pixels } = await readPicture(Buffer.from(content, "base64"), 3);
    expect([height, width, ...pixels]).toEqual([2, 3, 10, 20, 30, 40, 50, 60, 70, 80, 90, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });
});
