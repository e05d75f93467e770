import { describe, expect, it } from "vitest";
import { marksByChance } from "../../src/ablate/chance.ts";
import { compare, type StudyTraining } from "../../src/ablate/compare.ts";
import { markOf } from "../../src/ablate/marks.ts";
import { parseStudy } from "../../src/ablate/study.ts";
import { measured } from "../support/study.ts";

const margins = [1, 2, 3, 4, 5];
const study = parseStudy(
  {
    name: "x",
    data: "mnist",
    seeds: [1, 2, 3],
    outliers: ["constant", "uniform-noise"],
    variants: Object.fromEntries(
      margins.map((margin) => [`m${margin}`, { description: "x", config: { margin }, seeds: margin === 1 ? [1, 2] : [1] }]),
    ),
  },
  "x.yaml",
);

const training = (id: string, seed: number, outcome: StudyTraining["outcome"]): StudyTraining => ({
  id,
  seed,
  folder: `${id}-${seed}`,
  outcome,
});
const base = [
  training("base", 1, measured(0.9, [0.7, 0.9])),
  training("base", 2, measured(0.91, [0.8, 0.9])),
  training("base", 3, measured(0.92, [0.6, 1])),
];

describe("compare", () => {
  it("measures variants by the base's mean and the spread of its seeds, and ranks them", () => {
    const {
      base: row,
      spread,
      variants,
    } = compare(study, [
      ...base,
      training("m1", 1, measured(0.95, [0.8, 0.8])),
      training("m1", 2, measured(0.93, [0.8, 0.9])),
      training("m2", 1, measured(0.5, [1, 1])),
      training("m3", 1, { kind: "failed", reason: "loss = NaN" }),
      training("m4", 1, measured(0.915, [0.8, 0.8])),
      training("m5", 1, { kind: "missing" }),
    ]);
    expect(row.merits!.accuracy).toBeCloseTo(0.91, 12);
    expect(row.merits!.auroc).toBeCloseTo((0.8 + 0.85 + 0.8) / 3, 12);
    expect(spread!.accuracy).toBeCloseTo(0.02, 12);
    expect(spread!.auroc).toBeCloseTo(0.05, 12);
    expect(variants.map(({ id, mark, measured, failed, missing }) => [id, mark, measured, failed, missing])).toEqual([
      ["m1", "better", [1, 2], [], []],
      ["m4", "within noise", [1], [], []],
      ["m2", "trade-off", [1], [], []],
      ["m3", null, [], [1], []],
      ["m5", null, [], [], [1]],
    ]);
    const [best] = variants;
    expect(best!.score).toBeCloseTo((0.94 + 0.825) / 2, 12);
    expect(best!.difference!.accuracy).toBeCloseTo(0.03, 12);
    expect(best!.difference!.auroc).toBeCloseTo(0.825 - 2.45 / 3, 12);
  });

  it("marks nothing before the base has two seeds, and has no difference before it has one", () => {
    const m1 = training("m1", 1, measured(0.95, [0.8, 0.8]));
    const one = compare(study, [base[0]!, m1]);
    expect(one).toMatchObject({ spread: null, byChance: null });
    expect(one.variants[0]).toMatchObject({ id: "m1", mark: null, difference: { accuracy: expect.closeTo(0.05, 12) } });
    expect(compare(study, [m1]).variants[0]).toMatchObject({ id: "m1", mark: null, difference: null, merits: { accuracy: 0.95 } });
  });

  it("says how many marks are to be expected by chance", () => {
    const { byChance } = compare(study, [...base, training("m1", 1, measured(1, [1, 1])), training("m2", 1, measured(1, [1, 1]))]);
    expect(byChance!.better).toBeCloseTo(2 * marksByChance(3, 1).better, 12);
    expect(Object.values(byChance!).reduce((a, b) => a + b)).toBeCloseTo(2, 9);
  });
});

describe("markOf", () => {
  const spread = { accuracy: 0.02, auroc: 0.05 };
  it.each([
    [0.03, 0, "better"],
    [0, 0.06, "better"],
    [0.03, -0.04, "better"],
    [0.03, -0.06, "trade-off"],
    [-0.03, 0.06, "trade-off"],
    [0.01, -0.04, "within noise"],
    [-0.03, 0.04, "worse"],
    [0.01, -0.06, "worse"],
  ])("%s in accuracy and %s in AUROC are %s", (accuracy, auroc, mark) => {
    expect(markOf({ accuracy, auroc }, spread)).toBe(mark);
  });
});

describe("marksByChance", () => {
  it("agrees with the closed form of two seeds against one", () => {
    // In one merit v - (a + b) / 2 is normal with variance 3 / 2 and |a - b| that of one with variance 2, independent of it.
    const gain = Math.atan(Math.sqrt(3 / 4)) / Math.PI;
    const neither = 1 - 2 * gain;
    const shares = marksByChance(2, 1);
    expect(Math.abs(shares["within noise"] - neither ** 2)).toBeLessThan(0.015);
    expect(Math.abs(shares.better - ((1 - gain) ** 2 - neither ** 2))).toBeLessThan(0.015);
    expect(Math.abs(shares.worse - shares.better)).toBeLessThan(0.015);
    expect(Object.values(shares).reduce((a, b) => a + b)).toBeCloseTo(1, 9);
  });

  it("gets rarer with more seeds", () => {
    expect(marksByChance(3, 1).better).toBeGreaterThan(2 * marksByChance(5, 1).better);
    expect(marksByChance(5, 5).better).toBeLessThan(0.03);
  });
});
