import { afterAll, describe, expect, it } from "vitest";
import { checkpointsOf, halvingSteps } from "../../src/attacks/apgd.ts";
import { runAttack } from "../../src/attacks/attack.ts";
import { makeAttack } from "../../src/attacks/attacks.ts";
import { misclassified } from "../../src/attacks/criteria.ts";
import type { AttackedModel } from "../../src/attacks/model.ts";
import { Problem } from "../../src/attacks/problem.ts";
import { distanceToBoundary, gaussian, gaussianModel, near as image, linearEquivalent, linearModel } from "../support/attacked-models.ts";

const samples = { images: Float32Array.from(image), labels: Int32Array.of(0) };
const model = gaussianModel(gaussian);
afterAll(() => model.release());

it.each(["linf", "l2"] as const)("crosses the boundary in %s just beyond its distance, and not before", async (norm) => {
  const distance = distanceToBoundary(linearEquivalent(gaussian), image, 0, norm);
  const attack = makeAttack("apgd", { norm, loss: "margin" });
  const { outcomes } = await runAttack(model, samples, attack, { epsilons: [distance * 0.995, distance * 1.005], seed: 1 });
  expect(outcomes.map(({ success }) => success[0])).toEqual([0, 1]);
});

it("counts no gradient as zero that is so because the image is adversarial already", async () => {
  // Where class 0 is third, dlr is 1 whatever the image.
  const line = linearModel({ rows: [[-1], [0.5], [0.4]], bias: [0.5, 0, -0.2] });
  let zeros = 0;
  const counted: AttackedModel = {
    ...{ shape: line.shape, classes: line.classes, dimension: line.dimension, thresholds: line.thresholds },
    score: line.score.bind(line),
    gradient: async (...args) => {
      const result = await line.gradient(...args);
      zeros += result.gradient.filter((value) => value === 0).length;
      return result;
    },
    release: () => line.release(),
  };
  const many = { images: new Float32Array(16), labels: new Int32Array(16) };
  const { outcomes } = await runAttack(counted, many, makeAttack("apgd", { loss: "dlr" }), { epsilons: [1], seed: 1 });
  expect(outcomes[0]!.success.every((value) => value === 1)).toBe(true);
  expect(zeros).toBeGreaterThan(0);
  expect(outcomes[0]!.queries.zeroGradients.every((value) => value === 0)).toBe(true);
  await counted.release();
});

it("looks back at 0.22, 0.41, 0.57, .. of the steps, at least 0.06 of them apart", () => {
  // Croce & Hein 2020, 3.1: p_0 = 0, p_1 = 0.22, p_{j+1} = p_j + max(p_j - p_{j-1} - 0.03, 0.06)
  expect(Array.from(checkpointsOf(100))).toEqual([
    [22, 22],
    [41, 19],
    [57, 16],
    [70, 13],
    [80, 10],
    [87, 7],
    [93, 6],
    [99, 6],
  ]);
  // So few steps that checkpoints coincide: each step is looked back at once.
  const few = Array.from(checkpointsOf(5).keys());
  expect(few).toEqual([...new Set(few)]);
  expect(Math.max(...few)).toBeLessThanOrEqual(5);
});

describe("steps that halve", () => {
  const original = [0.5, 0.5, 0.5, 0.5];
  const start = new Problem({
    model,
    images: Float32Array.from(original),
    labels: Int32Array.of(0),
    criterion: misclassified,
    seed: 0,
    sampleIndices: [0],
  });
  const epsilon = 0.2;
  /** Climbs -|x - goal|^2 from the original; every point on the way. */
  const climb = (goal: readonly number[], norm: "linf" | "l2", steps: number): Float32Array[] => {
    const move = halvingSteps(start, epsilon, { norm, steps });
    const x = Float32Array.from(original);
    return Array.from({ length: steps }, (_, step) => {
      const difference = Float32Array.from(goal, (value, k) => value - x[k]!);
      const value = -difference.reduce((sum, one) => sum + one * one, 0);
      const gradient = difference.map((one) => 2 * one);
      move(0, x, gradient, value, step);
      return x.slice();
    });
  };
  const distance = (x: Float32Array, goal: readonly number[]) => Math.hypot(...goal.map((value, k) => value - x[k]!));

  it.each(["linf", "l2"] as const)("settle on a maximum inside the ball in %s", (norm) => {
    const goal = [0.53, 0.44, 0.5, 0.57];
    const path = climb(goal, norm, 100);
    // Steps of constant length 2 epsilon would go to and fro across the ball.
    expect(distance(path[0]!, original)).toBeGreaterThan(0.15);
    expect(distance(path.at(-1)!, goal)).toBeLessThan(0.02);
  });

  it("settle on the edge where the maximum is outside, and never leave the ball", () => {
    const path = climb([0.9, 0.5, 0.5, 0.5], "l2", 60);
    for (const x of path) expect(distance(x, original)).toBeLessThanOrEqual(epsilon + 1e-6);
    expect(distance(path.at(-1)!, [0.7, 0.5, 0.5, 0.5])).toBeLessThan(0.01);
  });
});
