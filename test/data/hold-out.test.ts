import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { UserError } from "../../src/core/errors.ts";
import { holdOut, spread } from "../../src/data/hold-out.ts";
import { imageSet } from "../../src/data/image-set.ts";

const classNames = ["a", "b", "c"];
const setOf = (labels: readonly number[]) =>
  imageSet({
    name: "x",
    split: "train",
    height: 1,
    width: 2,
    channels: 1,
    // Every image says which one it is.
    pixels: Uint8Array.from(labels.flatMap((_, i) => [i >> 8, i & 255])),
    labels: Int32Array.from(labels),
    classNames,
  });
const idsOf = ({ pixels }: { pixels: Uint8Array }) =>
  Array.from({ length: pixels.length / 2 }, (_, i) => pixels[2 * i]! * 256 + pixels[2 * i + 1]!);

describe("holdOut", () => {
  it("puts every image on one side, the wanted share of every class on the other, by seed and labels alone", () => {
    const labels = fc
      .array(fc.integer({ min: 0, max: 2 }), { minLength: 2, maxLength: 300 })
      .filter((all) => [0, 1, 2].every((c) => all.filter((label) => label === c).length !== 1));
    fc.assert(
      fc.property(labels, fc.double({ min: 0.01, max: 0.99, noNaN: true }), fc.integer({ min: 0, max: 1000 }), (all, share, seed) => {
        const set = setOf(all);
        const { training, validation } = holdOut(set, share, seed);
        expect([...idsOf(training), ...idsOf(validation)].sort((a, b) => a - b)).toEqual(all.map((_, i) => i));
        for (const c of [0, 1, 2]) {
          const n = all.filter((label) => label === c).length;
          const held = validation.labels.filter((label) => label === c).length;
          expect(held).toBe(n === 0 ? 0 : Math.min(n - 1, Math.max(1, Math.round(share * n))));
        }
        expect(holdOut(set, share, seed).validation.fingerprint).toBe(validation.fingerprint);
        expect(validation.split).toBe("validation");
        expect(validation.labels).toEqual(Int32Array.from(idsOf(validation), (i) => all[i]!));
      }),
      { numRuns: 50 },
    );
  });

  it("depends on the seed", () => {
    const set = setOf(Array.from({ length: 90 }, (_, i) => i % 3));
    expect(idsOf(holdOut(set, 0.5, 1).validation)).not.toEqual(idsOf(holdOut(set, 0.5, 2).validation));
  });

  it("refuses a class of one image", () => {
    expect(() => holdOut(setOf([0, 0, 1]), 0.5, 1)).toThrow(UserError);
    expect(() => holdOut(setOf([0, 0, 1]), 0.5, 1)).toThrow('class "b" of x (train) has a single image, expected at least 2 to split');
  });
});

describe("spread", () => {
  it("takes images from everywhere, once each", () => {
    const set = setOf(Array.from({ length: 10 }, () => 0));
    expect(idsOf(spread(set, 4))).toEqual([0, 2, 5, 7]);
    expect(spread(set, 10)).toBe(set);
  });
});
