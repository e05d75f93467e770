import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { UserError } from "../../src/core/errors.ts";
import { contactSheet } from "../../src/data/contact-sheet.ts";
import { imageSet } from "../../src/data/image-set.ts";

const setOf = (height: number, width: number, channels: number, pixels: readonly number[], classNames: readonly string[]) => {
  const perImage = height * width * channels;
  const labels = Int32Array.from({ length: pixels.length / perImage }, (_, i) => i % classNames.length);
  return imageSet({ name: "s", split: "test", height, width, channels, pixels: Uint8Array.from(pixels), labels, classNames });
};

async function drawn(set: ReturnType<typeof setOf>, count: number) {
  const { data, info } = await sharp(await contactSheet(set, count))
    .raw()
    .toBuffer({ resolveWithObject: true });
  const at = (x: number, y: number) => [...data.subarray((y * info.width + x) * info.channels).subarray(0, 3)];
  /** Pixels that are not white in the strip below a cell. */
  const ink = (x: number, y: number) => {
    let dark = 0;
    for (let dy = 0; dy < 16; dy++) for (let dx = 0; dx < 64; dx++) if (at(x + dx, y + dy)[0]! < 200) dark++;
    return dark;
  };
  return { width: info.width, height: info.height, at, ink };
}

describe("contactSheet", () => {
  it("enlarges small images by whole pixels, row by row, each with its label", async () => {
    const colours = [255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 8, 7];
    const pixels = [...colours, ...Array(12).fill(50), ...Array(12).fill(90)];
    const { width, height, at, ink } = await drawn(setOf(2, 2, 3, pixels, ["M", "MMMMMM", " "]), 3);
    expect([width, height]).toEqual([2 * 68 + 4, 2 * 84 + 4]);
    expect([at(4, 4), at(35, 35), at(36, 4), at(4, 36), at(67, 67)]).toEqual([
      [255, 0, 0],
      [255, 0, 0],
      [0, 255, 0],
      [0, 0, 255],
      [9, 8, 7],
    ]);
    expect([at(3, 4), at(68, 4), at(72, 4), at(4, 88)]).toEqual([
      [255, 255, 255],
      [255, 255, 255],
      [50, 50, 50],
      [90, 90, 90],
    ]);
    expect(ink(4, 68)).toBeGreaterThan(5);
    expect(ink(72, 68)).toBeGreaterThan(3 * ink(4, 68));
    expect(ink(4, 152)).toBe(0);
  });

  it("draws grey as grey, large images smaller, and no more images than there are", async () => {
    const { width, height, at } = await drawn(setOf(128, 64, 1, Array(128 * 64).fill(77), ["a", "b"]), 100);
    expect([width, height]).toEqual([68 + 4, 84 + 4]);
    expect([at(4, 4), at(35, 67), at(36, 4)]).toEqual([
      [77, 77, 77],
      [77, 77, 77],
      [255, 255, 255],
    ]);
  });

  it("draws any class name", async () => {
    const names = ["<b>&\"'", "\u0000\u0007", "]]>", "a very long name indeed", "\ud800"];
    const { ink } = await drawn(setOf(1, 1, 1, [1, 2, 3, 4, 5], names), 5);
    expect(ink(4, 68)).toBeGreaterThan(10);
  });

  it.each([0, 2501, 1.5])("refuses %d images", async (count) => {
    const set = setOf(1, 1, 1, [1], ["a"]);
    await expect(contactSheet(set, count)).rejects.toThrow(UserError);
    await expect(contactSheet(set, count)).rejects.toThrow(`expected 1 to 2500 images on a sheet, got ${count}`);
  });
});
