import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { UserError } from "../../src/core/errors.ts";
import { classesOf, filesOfSplit, type Listing } from "../../src/data/listing.ts";

const listing = (counts: readonly number[], extra: readonly string[] = []): Listing => {
  const names = counts.flatMap((count, label) => Array.from({ length: count }, (_, i) => ({ name: `${label}/${i}.png`, label })));
  const files = [...names, ...extra.map((name) => ({ name, label: 0 }))].map((file) => ({ ...file, path: `/data/${file.name}` }));
  return { source: "/data", classNames: counts.map(String), files, drawsSplits: false, ignored: {} };
};

const namesOf = (of: Listing, split: "train" | "test", testShare: number, splitSeed = 1) =>
  filesOfSplit(of, split, { testShare, splitSeed }).map(({ name }) => name);

describe("classesOf", () => {
  it("sorts as people do, each name once", () => {
    expect(classesOf(["item 10", "item 2", "item 10", "apple", "Zebra"], "d", "")).toEqual(["apple", "item 2", "item 10", "Zebra"]);
    expect(classesOf(["01", "1"], "d", "")).toEqual(["01", "1"]);
  });

  it.each([
    ["names that differ in case only", ["cat", "dog", "Cat"], "d: the classes cat and Cat differ in upper and lower case only"],
    ["one class", ["cat"], "d: expected at least two classes, found cat. Do so"],
    ["no class", [], "d: expected at least two classes, found none. Do so"],
  ])("refuses %s", (_what, names, message) => {
    expect(() => classesOf(names, "d", "Do so")).toThrow(UserError);
    expect(() => classesOf(names, "d", "Do so")).toThrow(message);
  });
});

describe("the split we draw", () => {
  const cases = fc.record({
    counts: fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 2, maxLength: 5 }),
    share: fc.double({ min: 0.01, max: 0.99, noNaN: true }),
    seed: fc.integer({ min: 0, max: 1000 }),
  });

  it("is disjoint and complete, and takes its share of every class", () => {
    fc.assert(
      fc.property(cases, ({ counts, share, seed }) => {
        const of = listing(counts);
        const [train, test] = [namesOf(of, "train", share, seed), counts.some((n) => n > 1) ? namesOf(of, "test", share, seed) : []];
        expect([...train, ...test].sort()).toEqual(of.files.map(({ name }) => name).sort());
        for (const [label, count] of counts.entries()) {
          const tests = test.filter((name) => name.startsWith(`${label}/`)).length;
          if (count === 1) expect(tests).toBe(0);
          else {
            expect(tests).toBeGreaterThanOrEqual(1);
            expect(tests).toBeLessThanOrEqual(count - 1);
            expect(Math.abs(tests - count * share)).toBeLessThanOrEqual(1);
          }
        }
      }),
    );
  });

  it("depends on seed and names, not on the order in which files are found, and moves few files when one is added", () => {
    fc.assert(
      fc.property(cases, fc.integer({ min: 0, max: 1e6 }), ({ counts, share, seed }, added) => {
        const of = listing([30, ...counts]);
        const test = namesOf(of, "test", share, seed);
        expect(namesOf({ ...of, files: [...of.files].reverse() }, "test", share, seed)).toEqual(test);
        const more = namesOf(listing([30, ...counts], [`0/new ${added}.png`]), "test", share, seed);
        const changed = test.filter((name) => !more.includes(name)).length + more.filter((name) => !test.includes(name)).length;
        expect(changed).toBeLessThanOrEqual(2);
      }),
    );
  });

  it("is another with another seed", () => {
    expect(namesOf(listing([50, 50]), "test", 0.2, 1)).not.toEqual(namesOf(listing([50, 50]), "test", 0.2, 2));
  });

  it("is this one, today and on every machine", () => {
    expect(namesOf(listing([5, 5]), "test", 0.4, 1)).toEqual(["1/0.png", "0/1.png", "1/3.png", "0/4.png"]);
  });

  it("mixes the classes", () => {
    const labels = filesOfSplit(listing([100, 100]), "train", { testShare: 0.2, splitSeed: 1 }).map(({ label }) => label);
    const early = labels.slice(0, 40).filter((label) => label === 0).length;
    expect(early).toBeGreaterThan(8);
    expect(early).toBeLessThan(32);
  });

  it("with a share of 0 or 1 has one side only", () => {
    expect(namesOf(listing([3, 2]), "train", 0)).toHaveLength(5);
    expect(namesOf(listing([3, 2]), "test", 1)).toHaveLength(5);
    expect(() => namesOf(listing([3, 2]), "test", 0)).toThrow("/data: a test share of 0 leaves no image for the test split");
    expect(() => namesOf(listing([3, 2]), "train", 1)).toThrow("/data: a test share of 1 leaves no image for the train split");
  });

  it.each([-0.1, 1.1, Number.NaN])("refuses a share of %d", (share) => {
    expect(() => namesOf(listing([3, 2]), "train", share)).toThrow(`test share: expected a number from 0 to 1, got ${share}`);
  });

  it("has no val", () => {
    expect(() => filesOfSplit(listing([3, 2]), "val", { testShare: 0.2, splitSeed: 1 })).toThrow("/data has no val split");
  });
});
