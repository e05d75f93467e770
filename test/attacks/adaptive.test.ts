import { afterAll, describe, expect, it } from "vitest";
import { runAttack, type Samples } from "../../src/attacks/attack.ts";
import { makeAttack } from "../../src/attacks/attacks.ts";
import { misclassified, misclassifiedAndAccepted } from "../../src/attacks/criteria.ts";
import type { AttackedModel, GraphModel } from "../../src/attacks/model.ts";
import type { Guides } from "../../src/attacks/problem.ts";
import { attackRates } from "../../src/attacks/rates.ts";
import { attackInChunks } from "../../src/attacks/run-folder.ts";
import { gaussianModel } from "../support/attacked-models.ts";

// A planted hole: within epsilon all that is wrong is rejected, but for a small ball around the mean of class 1.

const radius = 0.04;
const epsilon = 0.3;
const original = [0.4, 0.5, 0.6, 0.5];
const planted = [0.5, 0.45, 0.65, 0.3];
/** Wins over much of the ball, and is never accepted: its threshold is above its largest log-likelihood. */
const forbidden = [0.25, 0.6, 0.6, 0.6];
const rows = [original, planted, forbidden];
const model = gaussianModel({ rows, thresholds: [-10, -(radius ** 2) / 2, 0.01] });
const samples = {
  images: Float32Array.from(original),
  labels: Int32Array.of(0),
  guides: { images: Float32Array.from([...original, ...planted]), labels: Int32Array.of(0, 1) },
};

/** Class 2 is nearer and nearly acceptable: whoever follows the best class of the moment stays at its mean, just rejected. */
const trap = gaussianModel({ rows, thresholds: [-10, -(radius ** 2) / 2, 1e-4] });
afterAll(() => Promise.all([model.release(), trap.release()]));

const distanceFromPlanted = (image: Float32Array) => Math.hypot(...planted.map((value, k) => value - image[k]!));

const adaptive = [
  { name: "pgd", settings: { loss: "accepted" } },
  { name: "pgd", settings: { loss: "accepted", targets: 2 } },
  { name: "pgd", settings: { loss: "accepted", norm: "l2" } },
  { name: "apgd", settings: { loss: "accepted" } },
  { name: "apgd", settings: { loss: "accepted", targets: 2, norm: "l2" } },
  { name: "match-mean", settings: { classes: 2 } },
  { name: "match-mean", settings: { classes: 2, norm: "l2" } },
  { name: "match-mean", settings: { classes: 2, metric: "euclidean" } },
  { name: "match-sample", settings: {} },
  { name: "adaptive", settings: {} },
  { name: "cw-l2", settings: { loss: "accepted", steps: 200, binarySearchSteps: 4, initialConstant: 1 } },
];

describe("a planted adversarial region", () => {
  it.each(adaptive)("is found by $name $settings", async ({ name, settings }) => {
    const result = await runAttack(model, samples, makeAttack(name, settings), { epsilons: [epsilon], seed: 2 });
    expect(result.criterion).toBe("misclassified-and-accepted");
    const [outcome] = result.outcomes as [(typeof result.outcomes)[0]];
    expect(Array.from(outcome.success)).toEqual([1]);
    expect(distanceFromPlanted(outcome.images)).toBeLessThanOrEqual(radius);
    expect(attackRates(result, outcome)).toMatchObject({ evasionRate: 1, detectionRate: 0 });
  });

  it.each([misclassified, misclassifiedAndAccepted])("is missed by ascent of the margin, which is rejected: $name", async (criterion) => {
    const pgd = makeAttack("pgd", { loss: "margin", restarts: 5 });
    const result = await runAttack(model, samples, pgd, { epsilons: [epsilon], seed: 2, criterion });
    const [outcome] = result.outcomes as [(typeof result.outcomes)[0]];
    expect(outcome.scores.labels[0]).not.toBe(0);
    expect(outcome.scores.accepted[0]).toBe(0);
    expect(attackRates(result, outcome)).toMatchObject({ successful: criterion === misclassified ? 1 : 0, evasionRate: 0 });
  });

  it("is missed where the best wrong class of the moment leads astray, and found class by class", async () => {
    const found = async (targets: number) => {
      const { outcomes } = await runAttack(trap, samples, makeAttack("apgd", { loss: "accepted", targets }), {
        epsilons: [epsilon],
        seed: 2,
      });
      return outcomes[0]!.success[0];
    };
    expect([await found(0), await found(1), await found(2)]).toEqual([0, 0, 1]);
  });

  it("is found by the best of several attacks where the first of them misses it", async () => {
    const { outcomes } = await runAttack(trap, samples, makeAttack("adaptive"), { epsilons: [epsilon], seed: 2 });
    expect(outcomes[0]!.success[0]).toBe(1);
  });

  it("is not there within a smaller epsilon", async () => {
    const attack = makeAttack("apgd", { loss: "accepted", targets: 2 });
    const { outcomes } = await runAttack(model, samples, attack, { epsilons: [0.15], seed: 2 });
    expect(outcomes[0]!.success[0]).toBe(0);
  });
});

describe("matching", () => {
  it("heads for the class wanted, and for that alone", async () => {
    const aimed = { ...samples, targets: Int32Array.of(1) };
    for (const [name, settings] of [["match-mean"], ["match-mean", { metric: "euclidean" }], ["match-sample"]] as const) {
      const result = await runAttack(trap, aimed, makeAttack(name, settings), { epsilons: [epsilon] });
      expect(result.criterion).toBe("targeted-and-accepted");
      expect(result.outcomes[0]!.success[0]).toBe(1);
      expect(distanceFromPlanted(result.outcomes[0]!.images)).toBeLessThanOrEqual(radius);
    }
    const elsewhere = { ...samples, targets: Int32Array.of(2) };
    const { outcomes } = await runAttack(trap, elsewhere, makeAttack("match-mean"), { epsilons: [epsilon] });
    // It gets to the mean of class 2, where the threshold turns it away.
    expect(outcomes[0]!.scores.labels[0]).toBe(2);
    expect(outcomes[0]!.success[0]).toBe(0);
    expect(Math.hypot(...forbidden.map((value, k) => value - outcomes[0]!.images[k]!))).toBeLessThan(0.01);
  });

  it("goes where the class's own deviations make it likely, as far as the ball allows; the nearest point to the mean is less likely", async () => {
    const [from, mean, sigma] = [
      [0.2, 0.2, 0.5],
      [0.8, 0.5, 0.55],
      [0.5, 0.05, 0.1],
    ];
    const radiusAllowed = 0.3;
    const likelihood = (x: readonly number[]) => -x.reduce((total, value, k) => total + ((value - mean[k]!) / sigma[k]!) ** 2, 0) / 2;
    // argmin sum_k ((d_k - p_k) / sigma_k)^2, |p| <= epsilon:  p_k = d_k / (1 + lambda sigma_k^2)
    let [low, high] = [0, 1e6];
    const best = () => mean.map((value, k) => (value - from[k]!) / (1 + ((low + high) / 2) * sigma[k]! ** 2));
    for (let halving = 0; halving < 60; halving++) {
      if (Math.hypot(...best()) > radiusAllowed) low = (low + high) / 2;
      else high = (low + high) / 2;
    }
    const optimum = likelihood(best().map((change, k) => from[k]! + change));
    const narrow = [0.05, 0.05, 0.05];
    const uneven = gaussianModel({ rows: [from, mean], deviations: [narrow, sigma], thresholds: [-1e6, optimum - 0.1] });
    const reached = async (metric: string) => {
      const attack = makeAttack("match-mean", { metric, norm: "l2", earlyStop: false });
      const { outcomes } = await runAttack(uneven, { images: Float32Array.from(from), labels: Int32Array.of(0) }, attack, {
        epsilons: [radiusAllowed],
      });
      return { success: outcomes[0]!.success[0], likelihood: likelihood(Array.from(outcomes[0]!.images)) };
    };
    const byLikelihood = await reached("mahalanobis");
    expect(byLikelihood.success).toBe(1);
    expect(byLikelihood.likelihood).toBeCloseTo(optimum, 2);
    const byDistance = await reached("euclidean");
    expect(byDistance.success).toBe(0);
    expect(byDistance.likelihood).toBeLessThan(optimum - 1);
    await uneven.release();
  });

  it("takes the other samples for guides where none are given", async () => {
    const both = { images: samples.guides.images, labels: samples.guides.labels };
    const { outcomes } = await runAttack(model, both, makeAttack("match-sample"), { epsilons: [epsilon] });
    expect(Array.from(outcomes[0]!.success)).toEqual([1, 1]);
  });

  it("scores its guides once for all epsilons and parts of a set, and again for another model", async () => {
    const attack = makeAttack("match-sample", { steps: 2 });
    const countedRun = async (of: GraphModel, guides: Guides) => {
      let scored = 0;
      const counted: AttackedModel = {
        ...{ shape: of.shape, classes: of.classes, dimension: of.dimension, thresholds: of.thresholds },
        score: (x) => {
          if (x === guides.images) scored++;
          return of.score(x);
        },
        gradient: of.gradient.bind(of),
        release: () => Promise.resolve(),
      };
      const part = { ...samples, guides };
      for (const firstIndex of [0, 1]) await runAttack(counted, part, attack, { epsilons: [0.1, 0.2], firstIndex });
      return scored;
    };
    expect(await countedRun(model, samples.guides)).toBe(1);
    expect(await countedRun(trap, samples.guides)).toBe(1);
    expect(await countedRun(trap, { ...samples.guides })).toBe(1);
  });

  it("is released as ever when a loss was refused", async () => {
    const two = gaussianModel({ rows: rows.slice(0, 2) });
    const pair = { images: Float32Array.from([...original, ...planted]), labels: Int32Array.of(0, 1) };
    const attempt = runAttack(two, pair, makeAttack("pgd", { loss: "dlr" }), { epsilons: [epsilon] });
    await expect(attempt).rejects.toThrow("loss dlr: needs 3 classes, the model has 2; take margin");
    await two.release();
  });

  it("needs class means, or a guide that is right and accepted", async () => {
    const { classMeans, ...rest } = { ...model, score: model.score.bind(model), gradient: model.gradient.bind(model) };
    expect(classMeans).toBeDefined();
    const discriminative = { ...rest, release: () => Promise.resolve() };
    await expect(runAttack(discriminative, samples, makeAttack("match-mean"), { epsilons: [epsilon] })).rejects.toThrow(
      "match-mean: needs class means, a discriminative model has none; take match-sample",
    );
    // Of class 0, misclassified, or rejected: none of them is a guide.
    const guides = {
      images: Float32Array.from([...original, ...planted, ...planted.map((value) => value + 0.05)]),
      labels: Int32Array.of(0, 2, 1),
    };
    await expect(runAttack(model, { ...samples, guides }, makeAttack("match-sample"), { epsilons: [epsilon] })).rejects.toThrow(
      /none of 3 guides is an image of another class than its sample's that the model classifies correctly and accepts/,
    );
    // Beside other attacks it sits such samples out.
    const { outcomes } = await runAttack(model, { ...samples, guides }, makeAttack("adaptive"), { epsilons: [epsilon], seed: 2 });
    expect(Array.from(outcomes[0]!.success)).toEqual([1]);
  });

  it("leaves the samples that have nothing to imitate as they are, and attacks the others", async () => {
    const both = { images: Float32Array.from([...original, ...planted]), labels: Int32Array.of(0, 1) };
    const guides = { images: Float32Array.from(planted), labels: Int32Array.of(1) };
    const { outcomes, attacked } = await runAttack(model, { ...both, guides }, makeAttack("match-sample"), { epsilons: [epsilon] });
    expect(Array.from(attacked)).toEqual([1, 1]);
    expect(Array.from(outcomes[0]!.success)).toEqual([1, 0]);
    expect(Array.from(outcomes[0]!.images.subarray(4))).toEqual(Array.from(Float32Array.from(planted)));
  });

  it("leaves them as they are where they are all of a part, or all that a smaller epsilon left over", async () => {
    const guides = { images: Float32Array.from(planted), labels: Int32Array.of(1) };
    const set = (...labels: (0 | 1)[]) => ({
      images: Float32Array.from(labels.flatMap((label) => [original, planted][label]!)),
      labels: Int32Array.from(labels),
      guides,
    });
    const attack = makeAttack("match-sample");
    const options = { epsilons: [epsilon, 2 * epsilon], carryOver: true };
    const inParts = (given: Samples) => attackInChunks(model, given, attack, { model: "abc", chunkSize: 1, ...options });
    for (const given of [set(0, 1), set(1, 0)]) {
      const { outcomes } = await inParts(given);
      expect(outcomes.map(({ success }) => success)).toEqual([0, 1].map(() => Uint8Array.from(given.labels, (label) => 1 - label)));
      const whole = await runAttack(model, given, attack, options);
      expect(outcomes.map(({ images }) => images)).toEqual(whole.outcomes.map(({ images }) => images));
    }
    await expect(inParts(set(1, 1))).rejects.toThrow("none of 1 guides is an image of another class");
  });
});
