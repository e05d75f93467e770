import { describe, expect, it } from "vitest";
import { type Augmentation, gatherAugmented } from "../../src/data/augment.ts";
import { gatherImages, imageSet } from "../../src/data/image-set.ts";

const pixelsOf = (count: number) => Uint8Array.from({ length: count * 3 * 4 * 3 }, (_, i) => 1 + (i % 250));
const set = imageSet({
  name: "x",
  split: "train",
  height: 3,
  width: 4,
  channels: 3,
  pixels: pixelsOf(5),
  labels: new Int32Array(5),
  classNames: ["a", "b"],
});

const gather = (augmentation: Augmentation, step: number, indices = [4, 0, 2], seed = 1) => {
  const into = new Uint8Array(indices.length * 36).fill(99);
  gatherAugmented(set, indices, augmentation, { seed, step }, into);
  return into;
};

/** The image at `index` moved by (down, right) with zeros coming in, then or not mirrored before. */
function expected(index: number, down: number, right: number, mirrored: boolean): number[] {
  const at = (y: number, x: number, c: number) => (y < 0 || y > 2 || x < 0 || x > 3 ? 0 : set.pixels[index * 36 + (y * 4 + x) * 3 + c]!);
  return Array.from({ length: 36 }, (_, i) => {
    const [y, x, c] = [Math.floor(i / 12), Math.floor(i / 3) % 4, i % 3];
    return at(y + down, (mirrored ? 3 - x : x) + right, c);
  });
}

describe("augmentation", () => {
  it("without crop, flip and erasing is a plain copy", () => {
    const plain = new Uint8Array(3 * 36);
    gatherImages(set, [4, 0, 2], plain);
    expect(gather({ cropPadding: 0, flip: false, randomErasing: 0 }, 3)).toEqual(plain);
  });

  it("gives a shifted window of the padded image, mirrored or not, and every one of them in time", () => {
    const seen = new Set<string>();
    for (let step = 0; step < 400; step++) {
      const got = [...gather({ cropPadding: 1, flip: true, randomErasing: 0 }, step, [2])];
      const found = [-1, 0, 1].flatMap((down) =>
        [-1, 0, 1].flatMap((right) =>
          [false, true].flatMap((mirrored) =>
            JSON.stringify(expected(2, down, right, mirrored)) === JSON.stringify(got) ? [`${down} ${right} ${mirrored}`] : [],
          ),
        ),
      );
      expect(found).toHaveLength(1);
      seen.add(found[0]!);
    }
    expect(seen.size).toBe(18);
  });

  describe("random erasing", () => {
    const side = 32;
    const picture = imageSet({
      name: "black",
      split: "train",
      height: side,
      width: side,
      channels: 1,
      pixels: new Uint8Array(side * side),
      labels: new Int32Array(1),
      classNames: ["a", "b"],
    });
    const black = Array.from({ length: 2000 }, () => 0);
    const erased = (randomErasing: number, of = picture) => {
      const into = new Uint8Array(black.length * of.pixels.length);
      gatherAugmented(of, black, { cropPadding: 0, flip: false, randomErasing }, { seed: 5, step: 3 }, into);
      return black.map((_, i) => into.subarray(i * of.pixels.length, (i + 1) * of.pixels.length));
    };

    /** The smallest rectangle that holds all noise, and what is in it; undefined where there is none. */
    function noiseOf(image: Uint8Array) {
      const lit = [...image.keys()].filter((at) => image[at]! > 0);
      if (lit.length === 0) return undefined;
      const rows = lit.map((at) => Math.floor(at / side));
      const columns = lit.map((at) => at % side);
      const [top, left] = [Math.min(...rows), Math.min(...columns)];
      const [tall, wide] = [Math.max(...rows) - top + 1, Math.max(...columns) - left + 1];
      return { top, left, tall, wide, lit: lit.length, mean: lit.reduce((sum, at) => sum + image[at]!, 0) / lit.length };
    }

    it("fills one rectangle of noise, 2 to 40% of the area and 0.3 to 3.3 in shape, in the share of images asked for", () => {
      const noise = erased(0.25).map(noiseOf);
      const found = noise.filter((rectangle) => rectangle !== undefined);
      // Two thousand draws at 0.25: a standard deviation of 19.
      expect(Math.abs(found.length - 500)).toBeLessThan(80);
      for (const { tall, wide, lit } of found) {
        // Sides are whole pixels: half a pixel off at most, each. Noise is 0 in one pixel of 256.
        expect((tall + 0.5) * (wide + 0.5)).toBeGreaterThan(0.02 * side * side);
        expect((tall - 0.5) * (wide - 0.5)).toBeLessThan(0.4 * side * side);
        expect((tall + 0.5) / (wide - 0.5)).toBeGreaterThan(0.3);
        expect((tall - 0.5) / (wide + 0.5)).toBeLessThan(1 / 0.3);
        expect(lit / (tall * wide)).toBeGreaterThan(0.85);
      }
      const shares = found.map(({ tall, wide }) => (tall * wide) / (side * side));
      expect(Math.min(...shares)).toBeLessThan(0.04);
      expect(Math.max(...shares)).toBeGreaterThan(0.35);
      const means = found.map(({ mean }) => mean);
      expect(means.reduce((sum, mean) => sum + mean, 0) / means.length).toBeCloseTo(128, -1);
      // Everywhere in the image, and to its very edges.
      expect(Math.min(...found.map(({ top }) => top))).toBe(0);
      expect(Math.max(...found.map(({ top, tall }) => top + tall))).toBe(side);
      expect(Math.min(...found.map(({ left }) => left))).toBe(0);
      expect(Math.max(...found.map(({ left, wide }) => left + wide))).toBe(side);
    });

    it("at probability 1 spares no image", () => {
      expect(erased(1).filter((image) => noiseOf(image) === undefined)).toEqual([]);
    });

    it("leaves crops and flips as they would be without it", () => {
      const plain = gather({ cropPadding: 2, flip: true, randomErasing: 0 }, 7);
      const some = gather({ cropPadding: 2, flip: true, randomErasing: 1 }, 7);
      expect(some).not.toEqual(plain);
      expect([...some].filter((value, i) => value === plain[i]).length).toBeGreaterThan(36);
    });

    it("ends on images that no rectangle fits into", () => {
      const dot = imageSet({ ...picture, height: 1, width: 1, pixels: Uint8Array.of(7) });
      for (const image of erased(1, dot)) expect(image).toHaveLength(1);
    });
  });

  it("depends on seed and step alone", () => {
    const augmentation = { cropPadding: 2, flip: true, randomErasing: 0.5 };
    expect(gather(augmentation, 7)).toEqual(gather(augmentation, 7));
    expect(gather(augmentation, 7)).not.toEqual(gather(augmentation, 8));
    expect(gather(augmentation, 7)).not.toEqual(gather(augmentation, 7, [4, 0, 2], 2));
  });
});
