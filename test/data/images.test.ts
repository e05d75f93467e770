import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, describe, expect, it } from "vitest";
import { UserError } from "../../src/core/errors.ts";
import { encodePng, readPicture, readPictureHeader } from "../../src/data/images.ts";
import { loadDataset } from "../../src/data/registry.ts";
import { pngAnnouncing } from "../support/announcing.ts";
import { bmp } from "../support/pictures.ts";

const folder = mkdtempSync(join(tmpdir(), "sdim-images-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** 3 wide, 2 high; left column red, the rest white. */
const picture = () =>
  sharp(Buffer.from([255, 0, 0, 255, 255, 255, 255, 255, 255, 255, 0, 0, 255, 255, 255, 255, 255, 255]), {
    raw: { width: 3, height: 2, channels: 3 },
  });

/** An uncompressed grey TIFF in one strip; `sampleFormat` 1: unsigned numbers, 3: floats. */
function greyTiff(width: number, height: number, bits: number, sampleFormat: number, values: Uint8Array): Buffer {
  const tags = [
    ...[[256, width] as const, [257, height] as const, [258, bits] as const, [259, 1] as const, [262, 1] as const],
    ...[[273, 8] as const, [277, 1] as const, [278, height] as const, [279, values.length] as const, [339, sampleFormat] as const],
  ];
  const start = 8 + values.length + (values.length % 2);
  const file = Buffer.alloc(start + 2 + 12 * tags.length + 4);
  file.write("II*\0", 0, "latin1");
  file.writeUInt32LE(start, 4);
  file.set(values, 8);
  file.writeUInt16LE(tags.length, start);
  for (const [i, [tag, value]] of tags.entries()) {
    const at = start + 2 + 12 * i;
    file.writeUInt16LE(tag, at);
    file.writeUInt16LE(4, at + 2);
    file.writeUInt32LE(1, at + 4);
    file.writeUInt32LE(value, at + 8);
  }
  return file;
}

describe("readPicture", () => {
  it.each(["png", "webp", "gif", "tiff", "jpeg"] as const)("reads %s, in colour and grey", async (format) => {
    const path = join(folder, `picture.${format}`);
    await picture().toFormat(format, { lossless: true, quality: 100 }).toFile(path);
    const colour = await readPicture(path, 3);
    expect([colour.height, colour.width, colour.channels, colour.pixels.length]).toEqual([2, 3, 3, 18]);
    const grey = await readPicture(path, 1);
    expect(grey.pixels.length).toBe(6);
    expect(grey.pixels[0]).toBeLessThan(grey.pixels[2]!);
  });

  it("turns an image upright by its EXIF rotation", async () => {
    const bytes = await picture().withMetadata({ orientation: 6 }).png().toBuffer();
    const { height, width } = await readPicture(bytes, 3);
    expect([height, width]).toEqual([3, 2]);
  });

  it("shows what is transparent as black, and 16 bits as 8", async () => {
    const clear = await sharp({ create: { width: 1, height: 1, channels: 4, background: { r: 200, g: 200, b: 200, alpha: 0 } } })
      .png()
      .toBuffer();
    expect([...(await readPicture(clear, 1)).pixels]).toEqual([0]);
    const deep = await sharp(Uint16Array.of(65535, 0), { raw: { width: 2, height: 1, channels: 1 } })
      .toColourspace("grey16")
      .png()
      .toBuffer();
    expect([...(await readPicture(deep, 1)).pixels]).toEqual([255, 0]);
  });

  it("gives a grey image's own values, in colour three times each, as the shipped digit shows", async () => {
    const digit = await readPicture("samples/images/digit.png", 1);
    expect([digit.height, digit.width]).toEqual([28, 28]);
    expect([...digit.pixels]).toEqual([...(await loadDataset("mnist", "test")).pixels.subarray(0, 28 * 28)]);
    const colour = await readPicture("samples/images/digit.png", 3);
    expect([...colour.pixels]).toEqual([...digit.pixels].flatMap((value) => [value, value, value]));
    expect([...(await readPicture(await encodePng(digit), 1)).pixels]).toEqual([...digit.pixels]);
  });

  it.each([
    ["a text file", () => Buffer.from("this is no image"), "cannot be read as an image"],
    ["an empty file", () => Buffer.alloc(0), "cannot be read as an image"],
    [
      "a truncated PNG",
      () =>
        encodePng({ height: 64, width: 64, channels: 1, pixels: new Uint8Array(4096).map((_, i) => (i * 97) % 251) }).then((png) =>
          png.subarray(0, 200),
        ),
      "cannot be read as an image",
    ],
  ])("refuses %s", async (_what, bytes, message) => {
    const path = join(folder, "bad.png");
    writeFileSync(path, await bytes());
    await expect(readPicture(path, 1)).rejects.toThrow(UserError);
    await expect(readPicture(path, 1)).rejects.toThrow(`${path}: ${message}`);
  });

  it("shipped shirt is the first of the garments that are shipped too", async () => {
    const garments = await loadDataset("fashion-mnist-sample", "test");
    const start = garments.labels.indexOf(garments.classNames.indexOf("Shirt")) * 28 * 28;
    const shirt = await readPicture("samples/images/shirt.png", 1);
    expect([...shirt.pixels]).toEqual([...garments.pixels.subarray(start, start + 28 * 28)]);
  });

  it("refuses an image of a format that is not promised", async () => {
    const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="2" height="1"><rect width="2" height="1"/></svg>');
    await expect(readPicture(svg, 3, "drawing.svg")).rejects.toThrow("drawing.svg: expected PNG, JPEG, WebP, GIF, TIFF or BMP, got svg");
    const avif = await picture().avif().toBuffer();
    await expect(readPicture(avif, 3, "new.avif")).rejects.toThrow("new.avif: expected PNG, JPEG, WebP, GIF, TIFF or BMP, got heif");
  });

  it("refuses values that no range says of what is white: 32 bits, floats", async () => {
    const values = Buffer.alloc(8);
    values.writeFloatLE(0.5, 0);
    for (const [sampleFormat, depth] of [
      [1, "uint"],
      [3, "float"],
    ] as const) {
      const path = join(folder, `${depth}.tiff`);
      writeFileSync(path, greyTiff(2, 1, 32, sampleFormat, values));
      await expect(readPicture(path, 1)).rejects.toThrow(`${path}: expected 8 or 16 bits per value, got ${depth}`);
      await expect(readPictureHeader(path)).rejects.toThrow("expected 8 or 16 bits per value");
    }
    expect([...(await readPicture(greyTiff(2, 1, 8, 1, Buffer.of(7, 200)), 1)).pixels]).toEqual([7, 200]);
    expect([...(await readPicture(greyTiff(2, 1, 1, 1, Buffer.of(0b01000000)), 1)).pixels]).toEqual([0, 255]);
  });

  it("refuses a file that is not there", async () => {
    await expect(readPicture(join(folder, "none.png"), 1)).rejects.toThrow("none.png: there is no such file");
  });

  it("refuses a decompression bomb by its header", async () => {
    const bomb = await sharp({ create: { width: 11_000, height: 10_000, channels: 3, background: "#000" } })
      .png()
      .toBuffer();
    expect(bomb.length).toBeLessThan(2e6);
    await expect(readPicture(bomb, 1, "bomb.png")).rejects.toThrow(
      new UserError("bomb.png: 11000 x 10000 pixels, more than the 100,000,000 that are read"),
    );
  });

  it("refuses a picture so long that resizing it would take gigabytes, by its header", async () => {
    const message = "thin.png: 65536 x 2 pixels, more on a side than the 65,535 that are read";
    await expect(readPicture(await pngAnnouncing(65_536, 2), 1, "thin.png")).rejects.toThrow(new UserError(message));
    await expect(readPicture(await pngAnnouncing(2, 65_536), 1, "thin.png")).rejects.toThrow("2 x 65536 pixels, more on a side");
  });

  it("refuses so what has hardly more than a header, of a file and of bytes: nothing is unpacked", async () => {
    for (const [name, bytes] of [
      ["huge.png", await pngAnnouncing(40_000, 40_000)],
      ["huge.bmp", bmp({ width: 40_000, height: 40_000, bits: 24, rows: [] })],
    ] as const) {
      const path = join(folder, name);
      writeFileSync(path, bytes);
      for (const source of [path, bytes]) {
        const message = "40000 x 40000 pixels, more than the 100,000,000 that are read";
        await expect(readPicture(source, 1, name)).rejects.toThrow(new UserError(`${name}: ${message}`));
        expect(await readPictureHeader(source)).toMatchObject({ pixelCount: 1.6e9 });
      }
    }
  });
});
