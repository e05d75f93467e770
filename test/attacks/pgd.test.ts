import { afterAll, describe, expect, it } from "vitest";
import { runAttack } from "../../src/attacks/attack.ts";
import { makeAttack } from "../../src/attacks/attacks.ts";
import {
  distanceToBoundary,
  gaussian,
  gaussianModel,
  near as image,
  linear,
  linearEquivalent,
  linearModel,
} from "../support/attacked-models.ts";

const samples = { images: Float32Array.from(image), labels: Int32Array.of(0) };

const cases = [
  { name: "linear scores", model: linearModel(linear), decides: linear },
  { name: "Gaussian classes", model: gaussianModel(gaussian), decides: linearEquivalent(gaussian) },
];
afterAll(() => Promise.all(cases.map(({ model }) => model.release())));

describe.each(cases)("gradient ascent on $name", ({ model, decides }) => {
  it.each(["linf", "l2"] as const)("crosses the boundary in %s just beyond its distance, and not before", async (norm) => {
    const distance = distanceToBoundary(decides, image, 0, norm);
    const pgd = makeAttack("pgd", { norm, loss: "margin", steps: 100, relativeStepSize: 0.1, restarts: 3 });
    const { outcomes, attacked } = await runAttack(model, samples, pgd, { epsilons: [distance * 0.99, distance * 1.01], seed: 1 });
    expect(Array.from(attacked)).toEqual([1]);
    expect(outcomes.map(({ success }) => success[0])).toEqual([0, 1]);
    expect(outcomes[1]!.sizes[norm][0]).toBeLessThanOrEqual(distance * 1.01 * (1 + 1e-5));
  });

  it("needs one step alone where the scores are linear in the ball", async () => {
    const distance = distanceToBoundary(decides, image, 0, "linf");
    const fgsm = makeAttack("fgsm", { loss: "margin" });
    const { outcomes } = await runAttack(model, samples, fgsm, { epsilons: [distance * 0.98, distance * 1.02] });
    expect(outcomes.map(({ success }) => success[0])).toEqual([0, 1]);
    // The image and one step: two gradients.
    expect(outcomes[0]!.queries.gradients[0]).toBe(2);
  });
});
