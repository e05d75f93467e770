import { describe, expect, it } from "vitest";
import { centreDigit } from "../../src/browser/drawing.ts";
import { Classifier } from "../../src/classify/classifier.ts";
import type { Picture } from "../../src/data/picture.ts";
import { loadDataset } from "../../src/data/registry.ts";
import { resizePicture } from "../../src/data/resize.ts";

const size = 280;

/** `part` on a black board, its upper left corner at (left, top). */
function onBoard({ width, height, pixels }: Picture, left: number, top: number): Picture {
  const board = new Uint8Array(size * size);
  for (let y = 0; y < height; y++) board.set(pixels.subarray(y * width, (y + 1) * width), (top + y) * size + left);
  return { width: size, height: size, channels: 1, pixels: board };
}
const solid = (width: number, height: number): Picture => ({
  width,
  height,
  channels: 1,
  pixels: new Uint8Array(width * height).fill(255),
});

/** First and last row and column with ink; resizing spreads a little of it beyond them. */
function boxOf({ width, pixels }: Picture) {
  const inked = [...pixels.entries()].filter(([, value]) => value >= 128).map(([i]) => [i % width, Math.floor(i / width)] as const);
  const [xs, ys] = [inked.map(([x]) => x), inked.map(([, y]) => y)];
  return { left: Math.min(...xs), right: Math.max(...xs), top: Math.min(...ys), bottom: Math.max(...ys) };
}

describe("centreDigit", () => {
  it("scales the longer side to 20 pixels, keeps proportions and centres the mass", () => {
    expect(boxOf(centreDigit(onBoard(solid(100, 50), 30, 200))!)).toEqual({ left: 4, right: 23, top: 9, bottom: 18 });
    expect(boxOf(centreDigit(onBoard(solid(10, 10), 0, 0))!)).toEqual({ left: 4, right: 23, top: 4, bottom: 23 });
    // An L: most of its mass is at the lower left, which goes to the middle.
    const corner = solid(100, 100);
    for (let y = 0; y < 80; y++) corner.pixels.fill(0, y * 100 + 20, (y + 1) * 100);
    const { left, top, right, bottom } = boxOf(centreDigit(onBoard(corner, 90, 90))!);
    expect([right - left, bottom - top]).toEqual([19, 19]);
    expect(left).toBeGreaterThan(5);
    expect(top).toBeLessThan(4);
  });

  it("does not depend on where on the board it is drawn, and knows an empty board", () => {
    const [near, far] = [onBoard(solid(90, 120), 0, 0), onBoard(solid(90, 120), 190, 160)];
    expect(centreDigit(near)).toEqual(centreDigit(far));
    expect(centreDigit(onBoard(solid(0, 0), 0, 0))).toBeUndefined();
  });

  it("gives digits that were enlarged and moved their label back, accepted", async () => {
    const digits = await loadDataset("mnist", "test");
    const count = 40;
    const pixels = new Uint8Array(count * 784);
    for (let i = 0; i < count; i++) {
      const digit = { width: 28, height: 28, channels: 1, pixels: digits.pixels.subarray(i * 784, (i + 1) * 784) };
      pixels.set(centreDigit(onBoard(resizePicture(digit, 168), 10 + i, 90 - i))!.pixels, i * 784);
    }
    const classifier = await Classifier.load("models/mnist/model.onnx", { threads: 1 });
    const { labels, accepted } = await classifier.classify({ pixels, count, height: 28, width: 28, channels: 1 });
    await classifier.release();
    expect([...labels]).toEqual([...digits.labels.subarray(0, count)]);
    expect(accepted.reduce((sum, one) => sum + one, 0)).toBeGreaterThanOrEqual(38);
  });
});
