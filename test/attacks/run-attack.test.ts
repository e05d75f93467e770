import { afterAll, describe, expect, it } from "vitest";
import { type Attack, type AttackOptions, runAttack, type Samples } from "../../src/attacks/attack.ts";
import { attackNames, makeAttack } from "../../src/attacks/attacks.ts";
import { targeted } from "../../src/attacks/criteria.ts";
import type { AttackedModel } from "../../src/attacks/model.ts";
import { UserError } from "../../src/core/errors.ts";
import { linearModel } from "../support/attacked-models.ts";

const model = linearModel({
  rows: [
    [1, 0],
    [0, 1],
  ],
});
afterAll(() => model.release());

const good: Samples = { images: Float32Array.of(0.6, 0.4, 0.2, 0.8), labels: Int32Array.of(0, 1) };

describe("bad input of an attack", () => {
  interface BadInput {
    readonly what: string;
    /** fgsm, unless told. */
    readonly attack?: string;
    readonly settings?: Readonly<Record<string, unknown>>;
    readonly samples?: Partial<Samples>;
    readonly options?: AttackOptions;
    readonly message: string;
  }
  const cases: readonly BadInput[] = [
    {
      what: "a pixel above 1",
      samples: { images: Float32Array.of(0.6, 0.4, 0.2, 1.5) },
      message: "images: expected values in [0, 1], got 1.5 in image 1; divide bytes by 255",
    },
    { what: "a pixel below 0", samples: { images: Float32Array.of(-0.5, 0.4, 0.2, 0.8) }, message: "got -0.5 in image 0" },
    { what: "NaN", samples: { images: Float32Array.of(0.6, 0.4, Number.NaN, 0.8) }, message: "got NaN in image 1" },
    {
      what: "an image too short",
      samples: { images: Float32Array.of(0.6, 0.4, 0.2) },
      message: "images: expected 2 x 1 x 1 x 2 values for 2 labels, got 3",
    },
    {
      what: "a label out of range",
      samples: { labels: Int32Array.of(0, 2) },
      message: "labels: expected classes 0 to 1, got 2 for image 1",
    },
    { what: "a negative label", samples: { labels: Int32Array.of(-1, 1) }, message: "labels: expected classes 0 to 1, got -1 for image 0" },
    {
      what: "a target that is the label",
      samples: { targets: Int32Array.of(1, 1) },
      message: "targets: image 1 is of class 1 itself; take another class",
    },
    {
      what: "a target out of range",
      samples: { targets: Int32Array.of(1, 7) },
      message: "targets: expected classes 0 to 1, got 7 for image 1",
    },
    { what: "too few targets", samples: { targets: Int32Array.of(1) }, message: "targets: expected 2, one per image, got 1" },
    {
      what: "a criterion without its targets",
      options: { criterion: targeted },
      message: "criterion targeted: needs a target class per image",
    },
    {
      what: "guides out of range",
      samples: { guides: { images: Float32Array.of(0.5, 255), labels: Int32Array.of(0) } },
      message: "guides: expected values in [0, 1], got 255 in image 0",
    },
    {
      what: "a guide of no class",
      samples: { guides: { images: Float32Array.of(0.5, 0.5), labels: Int32Array.of(9) } },
      message: "labels of guides: expected classes 0 to 1, got 9 for image 0",
    },
    { what: "a negative epsilon", options: { epsilons: [0.1, -0.1] }, message: "epsilon: expected a number of at least 0, got -0.1" },
    {
      what: "an epsilon that is no number",
      options: { epsilons: [Number.NaN] },
      message: "epsilon: expected a number of at least 0, got NaN",
    },
    {
      what: "an epsilon in grey levels",
      options: { epsilons: [8] },
      message: "an linf distance of these images is at most 1, got 8; 8 of 255 grey levels is",
    },
    {
      what: "an l2 epsilon beyond any two images",
      attack: "pgd",
      settings: { norm: "l2" },
      options: { epsilons: [1.42] },
      message: "an l2 distance of these images is at most 1.414",
    },
    {
      what: "more pixels than there are",
      attack: "noise",
      settings: { kind: "salt" },
      options: { epsilons: [3] },
      message: "an l0 distance of these images is at most 2, got 3",
    },
    {
      what: "a part of a pixel",
      attack: "local-search",
      options: { epsilons: [0.5] },
      message: "epsilon: l0 counts pixels; expected a whole number, got 0.5",
    },
    { what: "no epsilons", options: { epsilons: [] }, message: "fgsm: needs epsilons (--epsilon)" },
    { what: "a seed that is none", options: { seed: -1 }, message: "seed: expected a whole number" },
  ];

  it.each(cases)("$what", async ({ attack = "fgsm", settings, samples, options, message }) => {
    const run = runAttack(model, { ...good, ...samples }, makeAttack(attack, settings), { epsilons: [0.1], ...options });
    await expect(run).rejects.toBeInstanceOf(UserError);
    await expect(run).rejects.toThrow(message);
  });

  it("an epsilon above 1 is none in l2", async () => {
    const { outcomes } = await runAttack(model, good, makeAttack("fgsm", { norm: "l2" }), { epsilons: [1.2] });
    expect(outcomes[0]!.epsilon).toBe(1.2);
  });
});

describe("an attack by name", () => {
  it("is refused with the nearest match where the name or a setting is unknown, or a value out of range", () => {
    expect(() => makeAttack("pdg")).toThrow('unknown attack "pdg": did you mean "pgd"');
    expect(() => makeAttack("pgd", { stepz: 3 })).toThrow('unknown setting of pgd "stepz": did you mean "steps"');
    expect(() => makeAttack("pgd", { steps: 0 })).toThrow(/pgd:[\s\S]*steps/);
    expect(() => makeAttack("pgd", { steps: 0 })).toThrow(UserError);
  });

  it("exists once", () => {
    expect(new Set(attackNames).size).toBe(attackNames.length);
  });
});

// As JavaScript may call it.
it.each([
  ["labels", { labels: Float32Array.of(0, 1) }, {}, "labels: expected Int32Array, got Float32Array"],
  ["images", { images: Float64Array.of(0.6, 0.4, 0.2, 0.8) }, {}, "images: expected Float32Array, got Float64Array"],
  ["targets", { targets: [1, 0] }, {}, "targets: expected Int32Array, got Array"],
  ["guides", { guides: { images: good.images } }, {}, "guides: labels: expected Int32Array, got undefined"],
  ["an epsilon", {}, { epsilons: 0.1 }, "epsilons: expected a list of numbers, got 0.1"],
  ["epsilons", {}, { epsilons: ["0.1"] }, 'epsilons: expected a list of numbers, got "0.1"'],
  [
    "a criterion",
    {},
    { criterion: "misclassified" },
    'criterion: expected misclassified or another criterion of the library, got "misclassified"',
  ],
  ["an option", {}, { epsilon: [0.1] }, 'unknown option of runAttack "epsilon": did you mean "epsilons"?'],
])("of another kind than it should be, %s is refused", async (_what, samples, options, message) => {
  const attacking = runAttack(model, { ...good, ...samples } as Samples, makeAttack("deepfool"), options as AttackOptions);
  await expect(attacking).rejects.toThrow(UserError);
  await expect(attacking).rejects.toThrow(message);
});

it("a name for an attack and a classifier for a model are refused", async () => {
  await expect(runAttack(model, good, "pgd" as unknown as Attack)).rejects.toThrow(
    'attack: expected what makeAttack(name, settings) gives, got "pgd"',
  );
  await expect(runAttack({} as AttackedModel, good, makeAttack("deepfool"))).rejects.toThrow(
    "model: expected what loadAttackedModel(...) gives, got Object",
  );
});

it("an attack that looks at guides without saying so is refused", async () => {
  const looks: Attack = {
    name: "custom",
    kind: "minimal",
    distance: "l2",
    needs: "decisions",
    settings: {},
    perturb: async ({ images, guides }) => images.map((value) => value + 0 * guides.labels.length),
  };
  const guided = { ...good, guides: good };
  await expect(runAttack(model, guided, looks)).rejects.toThrow("asks for guides without saying so; give it `usesGuides: true`");
  expect((await runAttack(model, guided, { ...looks, usesGuides: true })).outcomes).toHaveLength(1);
  expect((await runAttack(model, good, { ...looks, usesGuides: true })).outcomes).toHaveLength(1);
});

it("where nothing is classified correctly nothing is attacked, and that is no error", async () => {
  const wrong = { images: good.images, labels: Int32Array.of(1, 0) };
  for (const name of attackNames.filter((known) => known !== "match-mean")) {
    const { outcomes, attacked } = await runAttack(model, wrong, makeAttack(name), {
      epsilons: [makeAttack(name).distance === "l0" ? 1 : 0.1],
    });
    expect(Array.from(attacked)).toEqual([0, 0]);
    expect(outcomes[0]!.images).toEqual(wrong.images);
    expect(Array.from(outcomes[0]!.success)).toEqual([0, 0]);
  }
});
