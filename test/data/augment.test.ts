import { describe, expect, it } from "vitest";
import { gatherAugmented } from "../../src/data/augment.ts";
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

const gather = (augmentation: { cropPadding: number; flip: boolean }, step: number, indices = [4, 0, 2], seed = 1) => {
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
  it("without crop and flip is a plain copy", () => {
    const plain = new Uint8Array(3 * 36);
    gatherImages(set, [4, 0, 2], plain);
    expect(gather({ cropPadding: 0, flip: false }, 3)).toEqual(plain);
  });

  it("gives a shifted window of the padded image, mirrored or not, and every one of them in time", () => {
    const seen = new Set<string>();
    for (let step = 0; step < 400; step++) {
      const got = [...gather({ cropPadding: 1, flip: true }, step, [2])];
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

  it("depends on seed and step alone", () => {
    const augmentation = { cropPadding: 2, flip: true };
    expect(gather(augmentation, 7)).toEqual(gather(augmentation, 7));
    expect(gather(augmentation, 7)).not.toEqual(gather(augmentation, 8));
    expect(gather(augmentation, 7)).not.toEqual(gather(augmentation, 7, [4, 0, 2], 2));
  });
});
