import { afterAll, describe, expect, it } from "vitest";
import { type AttackOptions, runAttack, type Samples } from "../../src/attacks/attack.ts";
import { makeAttack } from "../../src/attacks/attacks.ts";
import { misclassified, misclassifiedAndAccepted } from "../../src/attacks/criteria.ts";
import type { AttackedModel } from "../../src/attacks/model.ts";
import {
  distanceToBoundary,
  gaussian,
  gaussianModel,
  near as image,
  linear,
  linearEquivalent,
  linearModel,
} from "../support/attacked-models.ts";

// Attacks by decisions alone against the nearest adversarial, known in closed form.

const means = gaussian.rows;
const radius = 0.15;
/** Accepts what is within `radius` of its class mean. */
const selective = gaussianModel({ rows: means, thresholds: means.map(() => -(radius ** 2) / 2) });
const others = { images: Float32Array.from([...means[1]!, ...means[2]!]), labels: Int32Array.of(1, 2) };
const samples: Samples = { images: Float32Array.from([...image, ...others.images]), labels: Int32Array.of(0, 1, 2) };
const alone: Samples = { images: Float32Array.from(image), labels: Int32Array.of(0) };
const distanceOf = (a: readonly number[], b: readonly number[]) => Math.hypot(...a.map((value, k) => value - b[k]!));

const cases = [
  { name: "linear scores", model: linearModel(linear), decides: linear },
  { name: "Gaussian classes", model: gaussianModel(gaussian), decides: linearEquivalent(gaussian) },
];
const constant = linearModel({ rows: [linear.rows[0]!, linear.rows[1]!], bias: [100, 0] });
afterAll(() => Promise.all([...cases.map(({ model }) => model), selective, constant].map((model) => model.release())));

const attacks = [
  { name: "boundary", settings: { steps: 1000 }, budget: 1061 },
  { name: "hopskipjump", settings: { steps: 12, evaluations: 50 }, budget: 2200 },
];

describe.each(attacks)("$name", ({ name, settings, budget }) => {
  const attack = (more: object = {}) => makeAttack(name, { ...settings, ...more });
  const first = async (model: AttackedModel, of: Samples, options: AttackOptions = {}, more = {}) => {
    const [outcome] = (await runAttack(model, of, attack(more), { seed: 1, ...options })).outcomes;
    const { sizes, success, queries, images } = outcome!;
    return { distance: sizes.l2[0]!, success: success[0], queries: queries.scores[0]!, image: Array.from(images.subarray(0, 4)), outcome };
  };

  describe.each(cases)("on $name", ({ model, decides }) => {
    it.each(["images", "noise"])("comes within a fifth of the nearest adversarial, from %s", async (start) => {
      const { distance, success, queries, outcome } = await first(model, samples, {}, { start });
      // Noise may lie in a class that is not the nearest one, and the walk keeps to that.
      const bias = decides.bias ?? [0, 0, 0];
      const reached = start === "noise" ? outcome!.scores.labels[0]! : undefined;
      const pair = (c: number) => ({ rows: [decides.rows[0]!, decides.rows[c]!], bias: [bias[0]!, bias[c]!] });
      const nearest = distanceToBoundary(reached === undefined ? decides : pair(reached), image, 0, "l2");
      expect(success).toBe(1);
      expect(distance).toBeGreaterThan(nearest * (1 - 1e-4));
      expect(distance).toBeLessThan(nearest * 1.2);
      expect(queries).toBeLessThanOrEqual(budget);
    });
  });

  it("finds the nearest that is accepted where nearer ones are rejected", async () => {
    const nearest = Math.min(distanceOf(image, means[1]!), distanceOf(image, means[2]!)) - radius;
    const wrong = await first(selective, samples, { criterion: misclassified });
    const wrongAndAccepted = await first(selective, samples, { criterion: misclassifiedAndAccepted });
    expect(wrong.distance).toBeLessThan(nearest * 0.8);
    expect(wrongAndAccepted.success).toBe(1);
    expect(wrongAndAccepted.distance).toBeGreaterThan(nearest * (1 - 1e-4));
    expect(wrongAndAccepted.distance).toBeLessThan(nearest * 1.2);
  });

  it("gives the same images for the same seed, and others for another", async () => {
    const made = async (seed: number) => (await first(cases[1]!.model, alone, { seed }, { steps: 5 })).image;
    expect(await made(1)).toEqual(await made(1));
    expect(await made(2)).not.toEqual(await made(1));
  });

  it("returns the original where it finds no start", async () => {
    for (const [model, criterion] of [
      [constant, misclassified],
      [selective, misclassifiedAndAccepted],
    ] as const) {
      const { success, image: returned, queries } = await first(model, alone, { criterion }, { startTries: 7 });
      expect(success).toBe(0);
      expect(returned).toEqual(Array.from(alone.images));
      expect(queries).toBe(7);
    }
  });

  it("starts from images given, and then a set in parts gives what it gives as one", async () => {
    const options = { criterion: misclassifiedAndAccepted, seed: 4 };
    const whole = (await runAttack(selective, { ...samples, guides: others }, attack(), options)).outcomes[0]!;
    expect(Array.from(whole.success)).toEqual([1, 1, 1]);
    for (const at of [0, 2]) {
      const part = { images: samples.images.slice(4 * at, 4 * at + 4), labels: samples.labels.slice(at, at + 1), guides: others };
      const { images } = (await runAttack(selective, part, attack(), { ...options, firstIndex: at })).outcomes[0]!;
      expect(Array.from(images)).toEqual(Array.from(whole.images.subarray(4 * at, 4 * at + 4)));
    }
    const broken = { images: others.images, labels: Int32Array.of(1) };
    await expect(runAttack(selective, { ...samples, guides: broken }, attack())).rejects.toThrow(/guides: expected 1 x 1 x 1 x 4 values/);
  });

  it("reaches the target class, from an image of it", async () => {
    const { outcome } = await first(cases[1]!.model, { ...samples, targets: Int32Array.of(2, 0, 0) }, {}, { start: "images" });
    expect(Array.from(outcome!.success)).toEqual([1, 1, 1]);
    expect(Array.from(outcome!.scores.labels)).toEqual([2, 0, 0]);
    const gap = distanceToBoundary(linearEquivalent({ rows: [means[0]!, means[2]!] }), image, 0, "l2");
    expect(outcome!.sizes.l2[0]).toBeGreaterThan(gap * (1 - 1e-4));
    expect(outcome!.sizes.l2[0]).toBeLessThan(gap * 1.25);
  });
});

describe("hopskipjump in linf", () => {
  it.each(cases)("comes within a fifth of the nearest adversarial on $name", async ({ model, decides }) => {
    const nearest = distanceToBoundary(decides, image, 0, "linf");
    const { outcomes } = await runAttack(model, samples, makeAttack("hopskipjump", { norm: "linf", steps: 20 }), { seed: 1 });
    expect(outcomes[0]!.success[0]).toBe(1);
    expect(outcomes[0]!.sizes.linf[0]).toBeGreaterThan(nearest * (1 - 1e-4));
    expect(outcomes[0]!.sizes.linf[0]).toBeLessThan(nearest * 1.2);
  });
});

describe("boundary", () => {
  it("leaves a sample alone once its steps have become nothing", async () => {
    const { outcomes } = await runAttack(cases[0]!.model, alone, makeAttack("boundary", { steps: 100_000, convergence: 1e-5 }), {
      seed: 1,
    });
    expect(outcomes[0]!.queries.scores[0]).toBeLessThan(10_000);
  });
});
