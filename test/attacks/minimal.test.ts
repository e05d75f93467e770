import { afterAll, describe, expect, it } from "vitest";
import { runAttack } from "../../src/attacks/attack.ts";
import { makeAttack } from "../../src/attacks/attacks.ts";
import { misclassifiedAndAccepted } from "../../src/attacks/criteria.ts";
import { distanceToBoundary, gaussianModel, linearEquivalent, linearModel, type SmallModel } from "../support/attacked-models.ts";

const linear: SmallModel = {
  rows: [
    [2, -1, 0.5, 0],
    [-1, 1.5, 0, 0.5],
    [0, 0.5, -1, 1],
  ],
  bias: [0.1, 0, -0.1],
};
const gaussian: SmallModel = {
  rows: [
    [0.7, 0.3, 0.6, 0.5],
    [0.3, 0.6, 0.5, 0.4],
    [0.5, 0.5, 0.2, 0.7],
  ],
};
const image = [0.6, 0.45, 0.55, 0.5];
const samples = { images: Float32Array.from(image), labels: Int32Array.of(0) };
const cases = [
  { name: "linear scores", model: linearModel(linear), decides: linear },
  { name: "Gaussian classes", model: gaussianModel(gaussian), decides: linearEquivalent(gaussian) },
];
afterAll(() => Promise.all(cases.map(({ model }) => model.release())));

describe.each(cases)("nearest adversarial of $name", ({ model, decides }) => {
  it.each([
    ["deepfool", {}],
    ["cw-l2", {}],
  ])("is found by %s within 5%%", async (name, settings) => {
    const distance = distanceToBoundary(decides, image, 0, "l2");
    const { outcomes } = await runAttack(model, samples, makeAttack(name, settings));
    expect(outcomes[0]!.success[0]).toBe(1);
    expect(outcomes[0]!.sizes.l2[0]! / distance).toBeGreaterThanOrEqual(1);
    expect(outcomes[0]!.sizes.l2[0]! / distance).toBeLessThan(1.05);
  });

  it.each(["deepfool", "cw-l2"])("of a given class is found by %s", async (name) => {
    // The other class whose boundary is nearest, so that no third one stands between.
    const target = 1;
    const two = { rows: [decides.rows[0]!, decides.rows[target]!], bias: [decides.bias![0]!, decides.bias![target]!] };
    expect(distanceToBoundary(two, image, 0, "l2")).toBe(distanceToBoundary(decides, image, 0, "l2"));
    const targets = Int32Array.of(target);
    const { outcomes } = await runAttack(model, { ...samples, targets }, makeAttack(name));
    expect(outcomes[0]!.scores.labels[0]).toBe(target);
    expect(outcomes[0]!.sizes.l2[0]! / distanceToBoundary(two, image, 0, "l2")).toBeLessThan(1.05);
  });

  it("lies deeper the more confidence Carlini & Wagner's attack is to have", async () => {
    const margins = [];
    for (const confidence of [0, 0.05, 0.1]) {
      const { outcomes } = await runAttack(model, samples, makeAttack("cw-l2", { confidence }));
      const { classLogLikelihoods } = outcomes[0]!.scores;
      margins.push(Math.max(...classLogLikelihoods.subarray(1)) - classLogLikelihoods[0]!);
    }
    expect(margins[1]).toBeGreaterThanOrEqual(0.05);
    expect(margins[2]).toBeGreaterThanOrEqual(0.1);
    expect(margins[0]).toBeLessThan(0.01);
  });
});

describe("the nearest wrong and accepted image", () => {
  // Two classes on the first axis, at 0.2 and 0.8: class 1 accepts what is within 0.2 of its mean, so from x = (0.2, 0.5) the nearest is
  // at (0.6, 0.5), though the class changes at 0.5 already.
  const model = gaussianModel({
    rows: [
      [0.2, 0.5],
      [0.8, 0.5],
    ],
    thresholds: [-0.02, -0.02],
  });
  afterAll(() => model.release());
  const start = { images: Float32Array.of(0.2, 0.5), labels: Int32Array.of(0) };

  it("is found by Carlini & Wagner's attack with the loss that knows the reject rule", async () => {
    const attack = makeAttack("cw-l2", { loss: "accepted" });
    const { outcomes } = await runAttack(model, start, attack, { criterion: misclassifiedAndAccepted });
    expect(outcomes[0]!.success[0]).toBe(1);
    expect(outcomes[0]!.sizes.l2[0]! / 0.4).toBeGreaterThanOrEqual(1);
    expect(outcomes[0]!.sizes.l2[0]! / 0.4).toBeLessThan(1.05);
  });

  it("is not what the plain attacks give: theirs is rejected", async () => {
    for (const name of ["cw-l2", "deepfool"]) {
      const { outcomes } = await runAttack(model, start, makeAttack(name));
      expect([outcomes[0]!.success[0], outcomes[0]!.scores.accepted[0]]).toEqual([1, 0]);
    }
  });
});
