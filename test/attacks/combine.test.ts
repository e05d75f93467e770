import { afterAll, describe, expect, it } from "vitest";
import { type Attack, type AttackOutcome, type FixedEpsilonAttack, type MinimalAttack, runAttack } from "../../src/attacks/attack.ts";
import { bestOfAttacks, overRestarts, overTargets } from "../../src/attacks/combine.ts";
import { misclassified } from "../../src/attacks/criteria.ts";
import { nearestClasses } from "../../src/attacks/nearest-classes.ts";
import { Problem } from "../../src/attacks/problem.ts";
import { UserError } from "../../src/core/errors.ts";
import { linearModel } from "../support/attacked-models.ts";

// Attacks that do as they are told, on a model that is the identity: the class is the largest of three values.

const model = linearModel({
  rows: [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ],
});
afterAll(() => model.release());

/** Class 0, and nearest to class 1; class 0, and nearest to class 2; class 1. */
const images = Float32Array.of(0.6, 0.4, 0.3, 0.6, 0.3, 0.5, 0.2, 0.7, 0.1);
const samples = { images, labels: Int32Array.of(0, 0, 1) };

type Change = (problem: Problem, row: number, image: Float32Array) => void;

function changed(problem: Problem, change: Change): Promise<Float32Array> {
  const made = problem.images.slice();
  for (let i = 0; i < problem.count; i++) change(problem, i, made.subarray(i * 3, i * 3 + 3));
  return Promise.resolve(made);
}
const minimal = (name: string, change: Change): MinimalAttack => ({
  name,
  settings: {},
  kind: "minimal",
  distance: "linf",
  needs: "scores",
  perturb: (problem) => changed(problem, change),
});
const fixed = (name: string, change: Change): FixedEpsilonAttack => ({
  name,
  settings: {},
  kind: "fixed-epsilon",
  distance: "linf",
  needs: "decisions",
  perturb: (problem) => changed(problem, change),
});
/** Raises one class's value to just above the largest. */
const raise = (image: Float32Array, to: number, excess = 0.01) => {
  image[to] = Math.max(...image) + excess;
};
const run = async (attack: Attack, epsilon?: number): Promise<AttackOutcome> =>
  (await runAttack(model, samples, attack, { ...(epsilon === undefined ? {} : { epsilons: [epsilon] }), seed: 4 })).outcomes[0]!;

describe("over targets", () => {
  const targetsSeen: number[][] = [];
  const aimed = minimal("aimed", (problem, row, image) => {
    targetsSeen[row] = [...(targetsSeen[row] ?? []), problem.targets![row]!];
    raise(image, problem.targets![row]!);
  });

  it("heads for the nearest classes first, and keeps the nearest of what it finds", async () => {
    const { success, sizes, scores } = await run(overTargets(aimed, 2));
    expect(targetsSeen).toEqual([
      [1, 2],
      [2, 1],
      [0, 2],
    ]);
    expect(Array.from(success)).toEqual([1, 1, 1]);
    expect(Array.from(scores.labels)).toEqual([1, 2, 0]);
    [0.21, 0.11, 0.51].forEach((size, i) => {
      expect(sizes.linf[i]).toBeCloseTo(size, 5);
    });
  });

  it("takes all wrong classes where more are asked for", async () => {
    const problem = new Problem({ model, ...samples, criterion: misclassified, seed: 0, sampleIndices: [0, 1, 2] });
    expect(await nearestClasses(problem, 99)).toEqual([
      [1, 2],
      [2, 1],
      [0, 2],
    ]);
    expect(Array.from(problem.queries.scores)).toEqual([1, 1, 1]);
  });

  it("takes priors into account, as the decision does", async () => {
    const rows = [0, 1, 2].map((c) => [0, 1, 2].map((k) => Number(k === c)));
    const frequent = linearModel({ rows, logPriors: [0, 0, 0.5] });
    const problem = new Problem({ model: frequent, ...samples, criterion: misclassified, seed: 0, sampleIndices: [0, 1, 2] });
    expect(await nearestClasses(problem, 2)).toEqual([
      [2, 1],
      [2, 1],
      [2, 0],
    ]);
    await frequent.release();
  });

  it("leaves a targeted run as it is", async () => {
    const targets = Int32Array.of(2, 1, 2);
    const { outcomes, isTargeted } = await runAttack(model, { ...samples, targets }, overTargets(aimed, 2));
    expect(isTargeted).toBe(true);
    expect(Array.from(outcomes[0]!.scores.labels)).toEqual([2, 1, 2]);
  });

  it("of an attack within epsilon tries a sample no more once it is adversarial", async () => {
    const tries = [0, 0, 0];
    const stubborn = fixed("stubborn", (problem, row, image) => {
      const original = [0, 1, 2].find((i) => images[3 * i] === image[0] && images[3 * i + 1] === image[1])!;
      tries[original]!++;
      if (problem.targets![row] === 2) raise(image, 2);
    });
    const { success } = await run(overTargets(stubborn, 2), 1);
    expect(Array.from(success)).toEqual([1, 1, 1]);
    expect(tries).toEqual([2, 1, 2]);
  });
});

describe("over restarts", () => {
  it("draws anew each time", async () => {
    const draws = new Set<number>();
    const lucky = minimal("lucky", (problem, row, image) => {
      const value = problem.random(row, "luck").uniform();
      draws.add(value);
      raise(image, (problem.labels[row]! + 1) % 3, 0.1 * value);
    });
    const [once, often] = [await run(overRestarts(lucky, 1)), await run(overRestarts(lucky, 8))];
    // The first of the eight runs draws what the only one drew.
    expect(draws.size).toBe(8 * 3);
    for (let i = 0; i < 3; i++) expect(often.sizes.linf[i]).toBeLessThan(once.sizes.linf[i]!);
  });
});

describe("best of attacks", () => {
  const near = minimal("near", (problem, row, image) => {
    if (problem.labels[row] === 0) raise(image, 1);
  });
  const far = minimal("far", (_, __, image) => {
    raise(image, image[2]! < 0.15 ? 0 : 2, 0.2);
  });

  it("keeps the smaller of two successes, and any success before none", async () => {
    const best = bestOfAttacks([near, far]);
    expect(best).toMatchObject({ kind: "minimal", distance: "linf", needs: "scores" });
    const { success, sizes, queries } = await run(best);
    expect(Array.from(success)).toEqual([1, 1, 1]);
    // near, 0.6 + 0.01 - 0.4; near 0.31 against far 0.6 + 0.2 - 0.5; far alone.
    [0.21, 0.3, 0.7].forEach((size, i) => {
      expect(sizes.linf[i]).toBeCloseTo(size, 5);
    });
    // A look at what each of the two made.
    expect(Array.from(queries.scores)).toEqual([2, 2, 2]);
  });

  it("holds a minimal attack to epsilon beside one that has it", async () => {
    const idle = fixed("idle", () => undefined);
    const best = bestOfAttacks([far, idle]);
    expect(best.kind).toBe("fixed-epsilon");
    const { success, images: made } = await run(best, 0.4);
    expect(Array.from(success)).toEqual([0, 1, 0]);
    expect(Array.from(made.subarray(6))).toEqual(Array.from(images.subarray(6)));
  });

  it("refuses images of no numbers, whichever attack made them", async () => {
    const broken = fixed("broken", (_, __, image) => {
      image[1] = Number.NaN;
    });
    await expect(run(broken, 0.1)).rejects.toThrow("broken: it made an image with pixels that are no numbers");
  });

  it("needs one distance, and an attack", () => {
    expect(() => bestOfAttacks([])).toThrow(UserError);
    expect(() => bestOfAttacks([near, { ...far, distance: "l2" }])).toThrow(
      "expected attacks of one distance, got near (linf) and far (l2)",
    );
  });
});

describe("a part of a problem", () => {
  const whole = () => new Problem({ model, ...samples, criterion: misclassified, seed: 0, sampleIndices: [10, 11, 12] });

  it("counts its queries in the whole", async () => {
    const problem = whole();
    const part = problem.part([2, 0], "some");
    const inner = part.part([1], "one", Int32Array.of(2));
    await part.score([0], part.images.subarray(0, 3));
    await inner.gradient({ kind: "margin", targeted: true }, [0], inner.images);
    expect(Array.from(problem.queries.scores)).toEqual([0, 0, 1]);
    expect(Array.from(part.queries.scores)).toEqual([1, 0]);
    expect(Array.from(problem.queries.gradients)).toEqual([1, 0, 0]);
    expect(Array.from(part.queries.gradients)).toEqual([0, 1]);
  });

  it("is judged as the whole is, whatever it heads for", async () => {
    const part = whole().part([0], "some", Int32Array.of(2));
    expect(part.isTargeted).toBe(true);
    const { isAdversarial } = await part.score([0, 0], Float32Array.of(0.1, 0.9, 0, 0.9, 0.1, 0));
    expect(Array.from(isAdversarial)).toEqual([1, 0]);
  });

  it("draws numbers of its purpose and its sample, wherever the sample stands in it", () => {
    const problem = whole();
    const draw = (rows: number[], purpose: string, row: number) => problem.part(rows, purpose).random(row, "start").uniform();
    expect(draw([2, 0], "a", 0)).toBe(draw([1, 2], "a", 1));
    expect(draw([2, 0], "a", 0)).not.toBe(draw([2, 0], "b", 0));
    expect(draw([2, 0], "a", 0)).not.toBe(draw([2, 0], "a", 1));
    expect(draw([2, 0], "a", 0)).not.toBe(problem.random(2, "start").uniform());
  });
});
