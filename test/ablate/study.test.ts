import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { chosenTrainings, parseStudy, trainingsOf } from "../../src/ablate/study.ts";
import { readMapping } from "../../src/cli/config-file.ts";
import { UserError } from "../../src/core/errors.ts";
import { defaults } from "../../src/train/config.ts";

const margin = { description: "larger margin", config: { margin: 20 } };
const raw = (overrides: Readonly<Record<string, unknown>> = {}) => ({
  name: "small",
  data: "mnist",
  seeds: [4, 5],
  base: { epochs: 2 },
  outliers: ["constant"],
  variants: { "margin-20": margin },
  ...overrides,
});
const parse = (overrides: Readonly<Record<string, unknown>> = {}) => parseStudy(raw(overrides), "small.yaml");

describe("parseStudy", () => {
  it("resolves configs: the base's over the defaults, a variant's over the base's", () => {
    const study = parse();
    expect(study).toMatchObject({ limit: null, validation: 0.1, heldOutClasses: [], outlierCount: 2000, reported: [] });
    expect(study.base).toMatchObject({ id: "base", seeds: [4, 5], config: { ...defaults, epochs: 2, seed: 4 } });
    expect(study.variants).toEqual([
      {
        id: "margin-20",
        description: "larger margin",
        changes: { margin: 20 },
        seeds: [4],
        config: { ...defaults, epochs: 2, margin: 20, seed: 4 },
      },
    ]);
    expect(study).not.toHaveProperty("seeds");
  });

  it("plans the base with its seeds, then each variant with its own or the first", () => {
    const study = parse({ variants: { "margin-20": margin, "ema-0.9": { description: "average", config: { ema: 0.9 }, seeds: [5, 7] } } });
    expect(trainingsOf(study).map(({ id, seed, config }) => [id, seed, config.seed, config.margin, config.ema])).toEqual([
      ["base", 4, 4, 10, null],
      ["base", 5, 5, 10, null],
      ["margin-20", 4, 4, 20, null],
      ["ema-0.9", 5, 5, 10, 0.9],
      ["ema-0.9", 7, 7, 10, 0.9],
    ]);
    expect(chosenTrainings(study, ["ema-0.9"]).map(({ id }) => id)).toEqual(["ema-0.9", "ema-0.9"]);
    expect(() => chosenTrainings(study, ["margin-2"])).toThrow(
      'unknown variant "margin-2": did you mean "margin-20"? Known: base, margin-20, ema-0.9',
    );
  });

  it("starts from the crops and flips that the paper has for the data", () => {
    expect(parse({ data: "cifar10" }).base.config).toMatchObject({ cropPadding: 4, flip: true });
    expect(parse({ data: "cifar10", base: { flip: false } }).base.config).toMatchObject({ cropPadding: 4, flip: false });
  });

  it.each([
    ["an unknown key", { seed: [1] }, 'small.yaml: unknown study key "seed": did you mean "seeds"?'],
    [
      "an unknown key of a variant",
      { variants: { a: { ...margin, descripton: "" } } },
      'small.yaml: variant a: unknown variant key "descripton": did you mean "description"?',
    ],
    ["an unknown config key of the base", { base: { epocs: 3 } }, 'small.yaml: base: unknown config key "epocs": did you mean "epochs"?'],
    [
      "an unknown config key of a variant",
      { variants: { a: { description: "x", config: { margn: 3 } } } },
      'small.yaml: variant a: unknown config key "margn": did you mean "margin"?',
    ],
    ["a config value out of range", { variants: { a: { description: "x", config: { alpha: -1 } } } }, "small.yaml: variant a: config:"],
    ["a seed in a config", { base: { seed: 3 } }, "small.yaml: base: seed: the study's own key seeds"],
    ["no variants", { variants: {} }, "small.yaml: variants: expected at least one"],
    ["variants left out", { variants: undefined }, "variants"],
    [
      "a variant that changes nothing",
      { variants: { a: { description: "x", config: { epochs: 2 } } } },
      "variant a: its config is the base's",
    ],
    ["two variants that are the same", { variants: { a: margin, b: margin } }, 'variants a and b are the same: {"margin":20}'],
    ["a variant named base", { variants: { base: margin } }, '"base" is the name of what the others differ from'],
    ["an id that is no folder's name", { variants: { "../x": margin } }, "expected lower-case letters and digits"],
    ["a name that is no folder's", { name: "a/b" }, "expected lower-case letters and digits"],
    ["no description", { variants: { a: { description: " ", config: { margin: 1 } } } }, "description"],
    ["no seeds", { seeds: [] }, "seeds"],
    ["a seed twice", { seeds: [1, 1] }, "seeds: 1 is there twice"],
    ["an unknown outlier set", { outliers: ["constnt"] }, 'unknown outlier set to choose by "constnt": did you mean "constant"?'],
    ["no outlier set", { outliers: [] }, "outliers"],
    [
      "held-out classes as outliers, and none held out",
      { outliers: ["held-out-classes"] },
      "held-out-classes needs heldOutClasses, for example [8, 9]",
    ],
    ["a set to choose by that is to be reported", { reported: ["constant"] }, "reported: constant is a set to choose by"],
    ["a validation share of 0", { validation: 0 }, "validation"],
  ])("refuses %s", (_what, overrides, message) => {
    expect(() => parse(overrides)).toThrow(UserError);
    expect(() => parse(overrides)).toThrow(message);
  });
});

describe("parseStudy of anything", () => {
  it("gives a study or says whose mistake it is", () => {
    const keys = [...Object.keys(raw()), "limit", "validation", "heldOutClasses", "outlierCount", "reported"];
    const values = fc.oneof(fc.jsonValue({ maxDepth: 3 }), fc.constantFrom(...Object.values(raw()), [8, 9], ["constant"]));
    fc.assert(
      fc.property(fc.dictionary(fc.oneof(fc.constantFrom(...keys), fc.string()), values), (overrides) => {
        try {
          const study = parseStudy({ ...raw(), ...overrides }, "any");
          expect(trainingsOf(study).length).toBeGreaterThan(study.variants.length);
        } catch (error) {
          expect(error).toBeInstanceOf(UserError);
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe("the study that is checked in", () => {
  it("is one, chooses by nothing that it reports, and changes one thing at a time", () => {
    const path = "studies/fashion-mnist.yaml";
    const study = parseStudy(readMapping(path, path, "a study"), path);
    expect(study.base.seeds.length).toBeGreaterThanOrEqual(3);
    expect(study.heldOutClasses).toHaveLength(2);
    expect(study.reported).toEqual(["mnist"]);
    expect(study.variants.length).toBeGreaterThan(25);
    for (const { changes } of study.variants) expect(Object.keys(changes).length).toBeLessThanOrEqual(2);
  });
});
