import { afterAll, describe, expect, it } from "vitest";
import { runAttack } from "../../src/attacks/attack.ts";
import { makeAttack } from "../../src/attacks/attacks.ts";
import { misclassified, misclassifiedAndAccepted } from "../../src/attacks/criteria.ts";
import { attackRates } from "../../src/attacks/rates.ts";
import { transfer } from "../../src/attacks/transfer.ts";
import { UserError } from "../../src/core/errors.ts";
import { summariseAttack } from "../../src/evaluate/robustness/summary.ts";
import { gaussianModel, linearModel } from "../support/attacked-models.ts";

const dimension = 16;
const ones = (value: number) => new Array<number>(dimension).fill(value);
/** Class 1 where the mean of all values is above 0.5. */
const model = linearModel({ rows: [ones(0), ones(1 / dimension)], bias: [0.5, 0] });
afterAll(() => model.release());

describe("noise", () => {
  const at = (value: number, count = 3) => ({
    images: new Float32Array(count * dimension).fill(value),
    labels: new Int32Array(count).fill(0),
  });

  it("breaks what lies at the boundary, in one try or a few, and nothing that is far from it", async () => {
    const near = await runAttack(model, at(0.499), makeAttack("noise"), { epsilons: [0.1] });
    expect(Array.from(near.outcomes[0]!.success)).toEqual([1, 1, 1]);
    const { scores, gradients } = near.outcomes[0]!.queries;
    expect(Math.max(...scores)).toBeLessThan(20);
    expect(Array.from(gradients)).toEqual([0, 0, 0]);
    const far = await runAttack(model, at(0.35), makeAttack("noise", { tries: 7 }), { epsilons: [0.1] });
    expect(Array.from(far.outcomes[0]!.success)).toEqual([0, 0, 0]);
    expect(Array.from(far.outcomes[0]!.queries.scores)).toEqual([7, 7, 7]);
  });

  it("is of the size and kind asked for, and another for each sample", async () => {
    const run = async (kind: string, epsilon: number) =>
      (await runAttack(model, at(0.3), makeAttack("noise", { kind, tries: 1 }), { epsilons: [epsilon] })).outcomes[0]!;
    const uniform = await run("uniform", 0.1);
    const gaussian = await run("gaussian", 0.2);
    const salt = await run("salt", 3);
    for (let i = 0; i < 3; i++) {
      expect(uniform.sizes.linf[i]).toBeGreaterThan(0.07);
      expect(gaussian.sizes.l2[i]).toBeGreaterThan(0.12);
      expect(salt.sizes.l0[i]).toBe(3);
    }
    const kinds = new Set(salt.images);
    expect(kinds).toEqual(new Set([Math.fround(0.3), 0, 1]));
    for (const { images } of [uniform, gaussian, salt]) {
      expect(images.subarray(0, dimension)).not.toEqual(images.subarray(dimension, 2 * dimension));
    }
  });

  it("salts whole pixels, whatever their channels", async () => {
    const score = async (x: Float32Array) => ({
      labels: new Int32Array(x.length / 12),
      accepted: new Uint8Array(x.length / 12),
      classLogLikelihoods: new Float32Array((x.length / 12) * 2),
      representations: new Float32Array(x.length / 12),
    });
    const coloured = {
      shape: { channels: 3, height: 2, width: 2 },
      classes: 2,
      dimension: 1,
      thresholds: Float32Array.of(0, 0),
      score,
      release: () => Promise.resolve(),
    };
    const grey = { images: new Float32Array(12).fill(0.5), labels: Int32Array.of(0) };
    const { outcomes } = await runAttack(coloured, grey, makeAttack("noise", { kind: "salt", tries: 1 }), { epsilons: [2] });
    expect(outcomes[0]!.sizes.l0[0]).toBe(2);
    expect(outcomes[0]!.images.filter((value) => value !== 0.5)).toHaveLength(6);
  });
});

describe("transfer", () => {
  const rows = [
    [0.3, 0.5],
    [0.7, 0.5],
  ];
  const first = gaussianModel({ rows });
  /** The same decisions, but that it rejects what is far from both means, and knows class 1 only beyond 0.55. */
  const second = gaussianModel({ rows, bias: [0.02, 0], thresholds: [0.01, -0.005] });
  afterAll(() => Promise.all([first.release(), second.release()]));
  const samples = { images: Float32Array.of(0.3, 0.5, 0.7, 0.5, 0.52, 0.5, 0.45, 0.5), labels: Int32Array.of(0, 1, 1, 1) };

  it("counts who both models classify correctly, and judges by the second", async () => {
    const result = await runAttack(first, samples, makeAttack("bim", { loss: "margin" }), { epsilons: [0.22, 0.4] });
    expect(Array.from(result.attacked)).toEqual([1, 1, 1, 0]);
    expect(result.outcomes.map(({ success }) => Array.from(success))).toEqual([
      [1, 1, 1, 0],
      [1, 1, 1, 0],
    ]);
    const carried = await transfer(result, samples, second);
    expect(Array.from(carried.attacked)).toEqual([1, 1, 0, 0]);
    const again = await second.score(result.outcomes[0]!.images);
    expect(carried.outcomes[0]!.scores).toEqual(again);
    expect(Array.from(carried.outcomes[0]!.success)).toEqual([again.labels[0] === 1 ? 1 : 0, again.labels[1] === 0 ? 1 : 0, 0, 0]);
    // 0.3 stops just beyond 0.5, which is no class 1 to the second model; 0.7 goes to class 0 in both.
    expect(Array.from(carried.outcomes[0]!.success)).toEqual([0, 1, 0, 0]);
    expect(attackRates(carried, carried.outcomes[0]!)).toMatchObject({ attacked: 2, successful: 1, rejectedSuccessful: 1, evading: 0 });
    const strict = await transfer(result, samples, second, misclassifiedAndAccepted);
    expect(Array.from(strict.outcomes[0]!.success)).toEqual([0, 0, 0, 0]);
    expect(result.criterion).toBe("misclassified");
  });

  it("leaves what only the second has right unchanged, and so right; queries are of those counted", async () => {
    const result = await runAttack(second, samples, makeAttack("bim", { loss: "margin", steps: 3, earlyStop: false }), { epsilons: [0] });
    // 0.52 and 0.45 are right to one of the two alone.
    expect(Array.from(result.attacked)).toEqual([1, 1, 0, 0]);
    const carried = await transfer(result, samples, first);
    expect(Array.from(carried.attacked)).toEqual([1, 1, 0, 0]);
    const { samples: all, robustAccuracy, robustAccuracyWithRejection } = attackRates(carried, carried.outcomes[0]!);
    const before = Array.from(carried.clean.labels).filter((label, i) => label === samples.labels[i]).length;
    expect([all, before]).toEqual([4, 3]);
    expect(robustAccuracy).toBe(3 / 4);
    expect(robustAccuracyWithRejection).toBe(3 / 4);
    // The other way about, 0.52 was attacked and does not count.
    const back = await transfer(await runAttack(first, samples, makeAttack("fgsm"), { epsilons: [0] }), samples, second);
    const { outcomes } = await summariseAttack(second, back, [{ percentile: 1, values: Array.from(second.thresholds) }]);
    expect(outcomes[0]!.queries).toEqual({ scores: 0, gradients: 2 });
  });

  it("to the same model changes nothing", async () => {
    const result = await runAttack(first, samples, makeAttack("pgd", { steps: 5 }), { epsilons: [0.22] });
    expect(await transfer(result, samples, first)).toEqual(result);
  });

  it("refuses other samples, other images, other classes, and a criterion it does not know", async () => {
    const result = await runAttack(first, samples, makeAttack("fgsm"), { epsilons: [0.22] });
    const refused = async (attempt: Promise<unknown>, message: RegExp) => {
      await expect(attempt).rejects.toThrow(message);
      await expect(attempt).rejects.toBeInstanceOf(UserError);
    };
    const others = { images: samples.images, labels: Int32Array.of(0, 1, 1, 0) };
    await refused(transfer(result, others, second), /expected the 4 samples that were attacked/);
    await refused(transfer(result, samples, model), /the model takes images of 1 x 1 x 16 values, the adversarials have 2/);
    const third = gaussianModel({ rows: [...rows, [0.5, 0.9]] });
    await refused(transfer(result, samples, third), /expected a model of the same 2 classes, got one of 3/);
    await third.release();
    const own = await runAttack(first, samples, makeAttack("fgsm"), { epsilons: [0.22], criterion: { ...misclassified, name: "own" } });
    await refused(transfer(own, samples, second), /"own" is not one of our criteria/);
    expect((await transfer(own, samples, second, misclassified)).criterion).toBe("misclassified");
  });
});
