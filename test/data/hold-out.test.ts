import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { UserError } from "../../src/core/errors.ts";
import { balanced, holdOut, spread, withoutClasses } from "../../src/data/hold-out.ts";
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

describe("balanced", () => {
  it("takes the first of every class, as many of each but for one, in the order of the set", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 2 }), { maxLength: 40 }), fc.integer({ min: 3, max: 60 }), (more, count) => {
        const all = [...Array.from({ length: 60 }, (_, i) => i % 3), ...more];
        const ids = idsOf(balanced(setOf(all), count));
        expect(ids).toEqual([...ids].sort((a, b) => a - b));
        for (const c of [0, 1, 2]) {
          const ofClass = all.flatMap((label, i) => (label === c ? [i] : []));
          const taken = Math.floor(count / 3) + Number(c < count % 3);
          expect(ids.filter((i) => all[i] === c)).toEqual(ofClass.slice(0, count >= all.length ? ofClass.length : taken));
        }
      }),
      { numRuns: 50 },
    );
    const whole = setOf([0, 0, 1, 2]);
    expect(balanced(whole, 4)).toBe(whole);
  });

  it("refuses a class with too few images, or too few for all classes", () => {
    const set = setOf([0, 0, 0, 0, 1, 2, 2, 2]);
    expect(() => balanced(set, 6)).toThrow('x (train): 6 images, as many of each class, take 2 of class "b", which has 1: ask for fewer');
    expect(() => balanced(set, 2)).toThrow("expected at least an image for each of 3 classes, got 2");
  });
});

describe("withoutClasses", () => {
  it("puts every image on one side, in order, and numbers the classes that stay anew", () => {
    const all = [2, 0, 1, 2, 0, 1, 1];
    const { known, unknown } = withoutClasses(setOf(all), [1]);
    expect([idsOf(known), idsOf(unknown)]).toEqual([
      [0, 1, 3, 4],
      [2, 5, 6],
    ]);
    expect([...known.labels]).toEqual([1, 0, 1, 0]);
    expect([known.name, known.classNames, unknown.name, unknown.classNames]).toEqual(["x without b", ["a", "c"], "b of x", ["none"]]);
    expect(known.fingerprint).not.toBe(setOf(all).fingerprint);
  });

  it("refuses to leave a single class, or a part without images", () => {
    expect(() => withoutClasses(setOf([0, 1, 2]), [0, 1])).toThrow("x (train): of 3 classes 2 are held out, expected at least 2 to stay");
    expect(() => withoutClasses(setOf([0, 1, 1]), [2])).toThrow("no images");
  });
});
