import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type AttackResult, runAttack } from "../../src/attacks/attack.ts";
import { attackDefinitions } from "../../src/attacks/attacks.ts";
import { type Criterion, misclassifiedAndAccepted } from "../../src/attacks/criteria.ts";
import type { Distance } from "../../src/attacks/distance.ts";
import type { AttackedModel, Scores } from "../../src/attacks/model.ts";
import { Interrupted, UserError } from "../../src/core/errors.ts";
import { Random } from "../../src/core/random.ts";
import { gaussianModel } from "../support/attacked-models.ts";

// What every attack owes, whoever wrote it: an attack is covered by being in attackDefinitions.

/** Settings that are quick, and others worth a run of their own. Default: one run as the attack comes. */
const settingsOf: Readonly<Record<string, readonly Readonly<Record<string, unknown>>[]>> = {
  fgsm: [{}, { norm: "l2", loss: "margin" }],
  bim: [{}],
  pgd: [
    { steps: 8, restarts: 2, loss: "dlr" },
    { steps: 8, norm: "l2", loss: "accepted", targets: 2 },
    { steps: 4, earlyStop: false },
  ],
  apgd: [
    { steps: 10, restarts: 2 },
    { steps: 10, norm: "l2", loss: "accepted", targets: 3 },
  ],
  "cw-l2": [
    { steps: 20, binarySearchSteps: 2, initialConstant: 1 },
    { steps: 20, binarySearchSteps: 2, initialConstant: 1, loss: "accepted" },
  ],
  deepfool: [{ steps: 5 }, { steps: 5, norm: "linf" }],
  "match-mean": [{ steps: 10 }, { steps: 10, metric: "euclidean", norm: "l2" }],
  "match-sample": [{ steps: 10, guides: 2 }],
  adaptive: [{ steps: 5, targets: 2, guides: 2 }],
  noise: [{ tries: 5 }, { tries: 5, kind: "gaussian" }, { tries: 5, kind: "salt" }],
};
const epsilonsOf: Readonly<Record<Distance, readonly number[]>> = { linf: [0.1, 0.3], l2: [0.2, 0.6], l0: [1, 3] };

const dimension = 6;
const classes = 4;
const count = 21;
const random = new Random(5);
const rows = Array.from({ length: classes }, () => Array.from({ length: dimension }, () => 0.25 + 0.5 * random.uniform()));
const model = gaussianModel({ rows, thresholds: rows.map(() => -0.02) });
const labels = Int32Array.from({ length: count }, (_, i) => i % classes);
// Values at both ends of the range, too.
const images = Float32Array.from({ length: count * dimension }, (_, k) => {
  const value = rows[labels[Math.floor(k / dimension)]!]![k % dimension]! + 0.15 * random.normal();
  return Math.min(1, Math.max(0, value));
});
/** Another class each. */
const targets = labels.map((label) => (label + 1) % classes);
const guides = { images: Float32Array.from(rows.flat()), labels: Int32Array.from(rows, (_, c) => c) };
const samples = { images, labels, guides };

let clean: Scores;
beforeAll(async () => {
  clean = await model.score(images);
  // The suite is worth something only with both kinds of samples.
  const right = labels.filter((label, i) => clean.labels[i] === label).length;
  expect(right).toBeGreaterThan(10);
  expect(right).toBeLessThan(count);
});
afterAll(() => model.release());

const part = (values: Float32Array, from: number, to: number) => values.slice(from * dimension, to * dimension);
const imageOf = (values: Float32Array, i: number) => Array.from(part(values, i, i + 1));
const isRight = (i: number) => clean.labels[i] === labels[i];

function sizeByHand(distance: Distance, image: number[], original: number[]): number {
  const changes = image.map((value, k) => Math.abs(value - original[k]!));
  if (distance === "l0") return changes.filter((change) => change > 0).length;
  return distance === "linf" ? Math.max(...changes) : Math.sqrt(changes.reduce((sum, change) => sum + change * change, 0));
}

const cases = attackDefinitions.flatMap((definition) =>
  (settingsOf[definition.name] ?? [{}]).map((settings) => ({
    name: `${definition.name} ${JSON.stringify(settings)}`,
    definition,
    settings,
  })),
);

/** Some attacks find something for every image, unless nothing counts. */
const hopelessForOddClasses: Criterion = {
  ...misclassifiedAndAccepted,
  name: "hopeless-for-odd-classes",
  isMet: (verdict, goal) => goal.label % 2 === 0 && misclassifiedAndAccepted.isMet(verdict, goal),
};

/** Some attacks know no targets; they must say so. */
async function unlessUntargeted(run: Promise<AttackResult>): Promise<AttackResult | undefined> {
  try {
    return await run;
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    expect((error as UserError).message).toMatch(/untargeted/);
    return undefined;
  }
}

describe.each(cases)("$name", ({ definition, settings }) => {
  const attack = definition.create(settings);
  const epsilons = epsilonsOf[attack.distance];
  const run = (options = {}) => runAttack(model, samples, attack, { epsilons, seed: 3, ...options });
  let result: AttackResult;
  beforeAll(async () => {
    result = await run();
  });

  it("stays in [0, 1], within epsilon where it claims success, and reports sizes as they are", () => {
    expect(result.outcomes.map(({ epsilon }) => epsilon)).toEqual(epsilons);
    for (const { epsilon, images: made, sizes, success } of result.outcomes) {
      expect(made.every((value) => value >= 0 && value <= 1)).toBe(true);
      for (let i = 0; i < count; i++) {
        for (const distance of ["l0", "l2", "linf"] as const) {
          expect(sizes[distance][i]).toBeCloseTo(sizeByHand(distance, imageOf(made, i), imageOf(images, i)), 5);
        }
        const size = sizes[attack.distance][i]!;
        if (attack.kind === "fixed-epsilon" || success[i] === 1) expect(size).toBeLessThanOrEqual(epsilon! * (1 + 1e-5) + 1e-6);
      }
    }
  });

  it("counts as success what another look at the images confirms", async () => {
    for (const criterion of [undefined, misclassifiedAndAccepted]) {
      const { outcomes } = criterion ? await run({ criterion }) : result;
      const mustBeAccepted = criterion !== undefined || attack.isAdaptive === true;
      for (const { epsilon, images: made, success, sizes } of outcomes) {
        const again = await model.score(made);
        for (let i = 0; i < count; i++) {
          const isWrong = again.labels[i] !== labels[i] && (!mustBeAccepted || again.accepted[i] === 1);
          const isNear = sizes[attack.distance][i]! <= epsilon! * (1 + 1e-5) + 1e-6;
          expect(success[i]).toBe(Number(isRight(i) && isWrong && isNear));
        }
      }
    }
  });

  it("leaves alone what is misclassified already, and counts its queries of the others", () => {
    for (const { images: made, success, queries } of result.outcomes) {
      for (let i = 0; i < count; i++) {
        expect(result.attacked[i]).toBe(Number(isRight(i)));
        expect(queries.scores[i]! + queries.gradients[i]! > 0).toBe(isRight(i));
        expect(queries.zeroGradients[i]).toBeLessThanOrEqual(queries.gradients[i]!);
        if (isRight(i)) continue;
        expect(imageOf(made, i)).toEqual(imageOf(images, i));
        expect(success[i]).toBe(0);
      }
    }
  });

  it("does not touch what it is given", async () => {
    const given = {
      images: images.slice(),
      labels: labels.slice(),
      guides: { images: guides.images.slice(), labels: guides.labels.slice() },
    };
    await runAttack(model, given, attack, { epsilons });
    expect(given).toEqual(samples);
  });

  it("gives the same for the same seed, whatever other epsilons there are", async () => {
    const again = await run({ epsilons: epsilons.slice(1) });
    expect(again.outcomes).toEqual(result.outcomes.slice(1));
  });

  it("leaves alone at a larger epsilon what it carries over from a smaller one, and loses no success", async () => {
    const { outcomes: carried } = await run({ epsilons: epsilons.toReversed(), carryOver: true });
    expect(carried.map(({ epsilon }) => epsilon)).toEqual(epsilons.toReversed());
    const [large, small] = carried as [(typeof carried)[0], (typeof carried)[0]];
    const [aloneSmall, aloneLarge] = result.outcomes as [(typeof carried)[0], (typeof carried)[0]];
    expect(small).toEqual(aloneSmall);
    if (attack.kind === "minimal") {
      expect(large).toEqual(aloneLarge);
      return;
    }
    for (let i = 0; i < count; i++) {
      expect(large.success[i]).toBeGreaterThanOrEqual(Math.max(small.success[i]!, aloneLarge.success[i]!));
      if (small.success[i] === 0) continue;
      expect(imageOf(large.images, i)).toEqual(imageOf(small.images, i));
      expect(large.sizes[attack.distance][i]).toBe(small.sizes[attack.distance][i]);
      expect(large.queries.scores[i]! + large.queries.gradients[i]!).toBe(0);
    }
  });

  it("gives for a set in two parts what it gives for the whole", async () => {
    const at = 10;
    const parts = await Promise.all(
      [
        [0, at],
        [at, count],
      ].map(([from, to]) => {
        const some = { images: part(images, from!, to!), labels: labels.slice(from, to), guides };
        return runAttack(model, some, attack, { epsilons, seed: 3, firstIndex: from! });
      }),
    );
    for (const [e, { images: made, success, queries }] of result.outcomes.entries()) {
      const joined = (values: (p: AttackResult) => ArrayLike<number>) => parts.flatMap((p) => Array.from(values(p)));
      // The engine may round otherwise in a batch of another size.
      const apart = joined((p) => p.outcomes[e]!.images).map((value, k) => Math.abs(value - made[k]!));
      expect(Math.max(...apart)).toBeLessThan(1e-5);
      expect(joined((p) => p.outcomes[e]!.success)).toEqual(Array.from(success));
      expect(joined((p) => p.outcomes[e]!.queries.scores)).toEqual(Array.from(queries.scores));
      expect(joined((p) => p.outcomes[e]!.queries.gradients)).toEqual(Array.from(queries.gradients));
    }
  });

  it("heads for the class wanted, or says that it is untargeted", async () => {
    const aimed = await unlessUntargeted(runAttack(model, { ...samples, targets }, attack, { epsilons, seed: 3 }));
    for (const { images: made, success, sizes, epsilon } of aimed?.outcomes ?? []) {
      const again = await model.score(made);
      for (let i = 0; i < count; i++) {
        const isThere = again.labels[i] === targets[i] && (attack.isAdaptive !== true || again.accepted[i] === 1);
        const isNear = sizes[attack.distance][i]! <= epsilon! * (1 + 1e-5) + 1e-6;
        expect(success[i]).toBe(Number(isRight(i) && isThere && isNear));
      }
    }
  });

  it.runIf(attack.kind === "minimal")("returns the original where it finds no nearest adversarial", async () => {
    const { outcomes, attacked } = await run({ epsilons: undefined, criterion: hopelessForOddClasses });
    const [{ images: made, success }] = outcomes as [(typeof outcomes)[0]];
    const failed = [...labels.keys()].filter((i) => attacked[i] === 1 && success[i] === 0);
    expect(failed.length).toBeGreaterThan(0);
    for (const i of failed) expect(imageOf(made, i)).toEqual(imageOf(images, i));
  });

  it("asks for no more than it says it needs", async () => {
    const scoresOnly: AttackedModel = {
      shape: model.shape,
      classes,
      dimension,
      thresholds: model.thresholds,
      ...(model.classMeans ? { classMeans: model.classMeans } : {}),
      score: (x) => model.score(x),
      release: () => model.release(),
    };
    const without = runAttack(scoresOnly, samples, attack, { epsilons, seed: 3 });
    if (attack.needs === "gradients") {
      await expect(without).rejects.toThrow(new RegExp(`${attack.name}: needs gradients, the model gives scores only`));
      await expect(without).rejects.toBeInstanceOf(UserError);
      return;
    }
    expect((await without).outcomes).toEqual(result.outcomes);
    if (attack.needs === "scores") return;
    const decisionsOnly = { ...scoresOnly, score: async (x: Float32Array) => blinded(await model.score(x)) };
    const blind = await runAttack(decisionsOnly, samples, attack, { epsilons, seed: 3 });
    expect(blind.outcomes.map(({ images: made }) => made)).toEqual(result.outcomes.map(({ images: made }) => made));
  });

  it("can be stopped between two steps", async () => {
    const checkpoint = () => {
      throw new Interrupted("stopped");
    };
    await expect(run({ checkpoint })).rejects.toBeInstanceOf(Interrupted);
  });

  it("refuses a setting it does not know", () => {
    const [known] = Object.keys(definition.settings.shape);
    const misspelt = () => definition.create({ [`${known}x`]: 1 });
    expect(misspelt).toThrow(UserError);
    expect(misspelt).toThrow(`unknown setting of ${definition.name} "${known}x": did you mean "${known}"`);
  });

  it("says of every setting what it does", () => {
    expect(Object.values(definition.settings.shape).map((field) => (field as { description?: string }).description)).not.toContain(
      undefined,
    );
  });
});

/** Labels and acceptance as they are, the rest of no use. */
const blinded = (scores: Scores): Scores => ({
  ...scores,
  classLogLikelihoods: new Float32Array(scores.classLogLikelihoods.length).fill(Number.NaN),
  representations: new Float32Array(scores.representations.length).fill(Number.NaN),
});
