import { afterAll, describe, expect, it } from "vitest";
import { type AttackOptions, runAttack, type Samples } from "../../src/attacks/attack.ts";
import { makeAttack } from "../../src/attacks/attacks.ts";
import { misclassifiedAndAccepted } from "../../src/attacks/criteria.ts";
import type { AttackedModel, GraphModel } from "../../src/attacks/model.ts";
import { distanceToBoundary, gaussian, gaussianModel, linear, linearEquivalent, linearModel, near } from "../support/attacked-models.ts";

// DeepFool and Carlini & Wagner where the nearest adversarial is known in closed form.

const far = [0.75, 0.3, 0.6, 0.45];
const samples = { images: Float32Array.from([...near, ...far]), labels: Int32Array.of(0, 0) };

/** `wanted`: classes that border on class 0 where it is nearest. */
const cases = [
  { name: "linear scores", model: linearModel(linear), decides: linear, wanted: [1] },
  { name: "Gaussian classes", model: gaussianModel(gaussian), decides: linearEquivalent(gaussian), wanted: [1, 2] },
];
const opened: GraphModel[] = cases.map(({ model }) => model);
afterAll(() => Promise.all(opened.map((model) => model.release())));

/** Enough for four pixels. */
const quick = { steps: 250, learningRate: 0.02, binarySearchSteps: 9, initialConstant: 1e-2 };

async function outcomeOf(model: AttackedModel, of: Samples, name: string, settings = {}, options: AttackOptions = {}) {
  const { outcomes } = await runAttack(model, of, makeAttack(name, settings), options);
  return outcomes[0]!;
}

/** Not nearer than the nearest there is, and at most 5% further. */
function expectNearest(found: number, distance: number): void {
  expect(found).toBeGreaterThan(distance * (1 - 1e-4));
  expect(found).toBeLessThan(distance * 1.05);
}

describe.each(cases)("the nearest adversarial on $name", ({ model, decides, wanted }) => {
  const images = [near, far];

  it.each(["l2", "linf"] as const)("deepfool in %s", async (norm) => {
    const { success, sizes } = await outcomeOf(model, samples, "deepfool", { norm });
    expect(Array.from(success)).toEqual([1, 1]);
    for (const [i, image] of images.entries()) expectNearest(sizes[norm][i]!, distanceToBoundary(decides, image, 0, norm));
  });

  it("cw-l2", async () => {
    const { success, sizes } = await outcomeOf(model, samples, "cw-l2", quick);
    expect(Array.from(success)).toEqual([1, 1]);
    for (const [i, image] of images.entries()) expectNearest(sizes.l2[i]!, distanceToBoundary(decides, image, 0, "l2"));
  });

  it.each(["deepfool", "cw-l2"])("%s of the class wanted", async (name) => {
    for (const target of wanted) {
      const settings = name === "cw-l2" ? quick : {};
      const { scores, sizes } = await outcomeOf(model, { ...samples, targets: Int32Array.of(target, target) }, name, settings);
      expect(Array.from(scores.labels)).toEqual([target, target]);
      // The boundary with the target alone.
      const pair = { rows: [decides.rows[0]!, decides.rows[target]!], bias: [decides.bias?.[0] ?? 0, decides.bias?.[target] ?? 0] };
      for (const [i, image] of images.entries()) expectNearest(sizes.l2[i]!, distanceToBoundary(pair, image, 0, "l2"));
    }
  });

  it.each(["deepfool", "cw-l2"])("%s gives each sample what it gives it alone", async (name) => {
    const settings = name === "cw-l2" ? { ...quick, binarySearchSteps: 4, initialConstant: 1 } : {};
    const together = await outcomeOf(model, samples, name, settings);
    const alone = await outcomeOf(model, { images: Float32Array.from(far), labels: Int32Array.of(0) }, name, settings);
    expect(Array.from(together.images.subarray(4))).toEqual(Array.from(alone.images));
    expect(together.queries.gradients[1]).toBe(alone.queries.gradients[0]);
  });
});

describe("the nearest image that is wrong and accepted", () => {
  // Class 1 wins where x_0 > 1/2 and is accepted within `radius` of its mean: a ball cut by a plane, met at a circle.
  const [radius, half] = [0.25, 0.2];
  const model = gaussianModel({
    rows: [
      [0.5 - half, 0.5, 0.5, 0.5],
      [0.5 + half, 0.5, 0.5, 0.5],
    ],
    thresholds: [-1e6, -(radius ** 2) / 2],
  });
  opened.push(model);
  // From the first the ball is reached beyond the plane; from the second they are reached together, at the circle where they meet.
  const images = [
    [0.35, 0.75, 0.4, 0.6],
    [0.3, 0.7, 0.35, 0.5],
  ] as const;
  const both = { images: Float32Array.from(images.flat()), labels: Int32Array.of(0, 0) };
  const toPlane = ([x]: readonly number[]) => 0.5 - x!;
  const fromAxis = ([, ...others]: readonly number[]) => Math.hypot(...others.map((value) => value - 0.5));
  const distances = [
    Math.hypot(toPlane(images[0]) + half, fromAxis(images[0])) - radius,
    Math.hypot(toPlane(images[1]), fromAxis(images[1]) - Math.sqrt(radius ** 2 - half ** 2)),
  ];

  it("is found with the loss `accepted`", async () => {
    const settings = { ...quick, loss: "accepted" };
    const { success, sizes, scores } = await outcomeOf(model, both, "cw-l2", settings, { criterion: misclassifiedAndAccepted });
    expect([...success, ...scores.labels, ...scores.accepted]).toEqual([1, 1, 1, 1, 1, 1]);
    for (const [i, distance] of distances.entries()) expectNearest(sizes.l2[i]!, distance);
  });

  it("is further than the nearest that is wrong, which is rejected", async () => {
    const { sizes, scores } = await outcomeOf(model, both, "cw-l2", quick);
    expect([...scores.labels, ...scores.accepted]).toEqual([1, 1, 0, 0]);
    for (const [i, image] of images.entries()) expectNearest(sizes.l2[i]!, toPlane(image));
  });

  it("is not what deepfool looks for: where it crosses is rejected, and it returns the original", async () => {
    const { scores } = await outcomeOf(model, both, "deepfool");
    expect([...scores.labels, ...scores.accepted]).toEqual([1, 1, 0, 0]);
    const { success, images: made } = await outcomeOf(model, both, "deepfool", {}, { criterion: misclassifiedAndAccepted });
    expect(Array.from(success)).toEqual([0, 0]);
    expect(Array.from(made)).toEqual(Array.from(both.images));
  });
});

describe("cw-l2", () => {
  const [{ model, decides }] = cases as [(typeof cases)[0], (typeof cases)[1]];

  it("keeps a margin of at least its confidence, and not much more", async () => {
    for (const confidence of [0.2, 0.4]) {
      const { success, scores, sizes } = await outcomeOf(model, samples, "cw-l2", { ...quick, confidence });
      expect(Array.from(success)).toEqual([1, 1]);
      for (const [i, image] of [near, far].entries()) {
        const [own, ...others] = scores.classLogLikelihoods.subarray(i * 3, i * 3 + 3);
        const margin = Math.max(...others) - own!;
        expect(margin).toBeGreaterThanOrEqual(confidence - 1e-5);
        expect(margin).toBeLessThan(confidence + 0.1);
        // A margin of kappa is a boundary with the other classes' scores lowered by kappa.
        const lowered = { rows: decides.rows, bias: decides.bias!.map((value, c) => (c === 0 ? value + confidence : value)) };
        expectNearest(sizes.l2[i]!, distanceToBoundary(lowered, image, 0, "l2"));
      }
    }
  });

  it("gives up a constant that leads nowhere at the second look", async () => {
    const hopeless = { steps: 100, learningRate: 0.05, binarySearchSteps: 1, initialConstant: 1e-9 };
    const early = await outcomeOf(model, samples, "cw-l2", hopeless);
    const late = await outcomeOf(model, samples, "cw-l2", { ...hopeless, abortEarly: false });
    expect(Array.from(early.queries.gradients)).toEqual([11, 11]);
    expect(Array.from(late.queries.gradients)).toEqual([100, 100]);
  });

  it("ends a sample's search when the constants that failed and succeeded are close", async () => {
    const search = { ...quick, binarySearchSteps: 9, initialConstant: 0.05, abortEarly: false };
    const whole = await outcomeOf(model, samples, "cw-l2", { ...search, constantTolerance: 0 });
    const close = await outcomeOf(model, samples, "cw-l2", search);
    const coarse = await outcomeOf(model, samples, "cw-l2", { ...search, constantTolerance: 0.6 });
    expect(Array.from(whole.queries.gradients)).toEqual([9 * quick.steps, 9 * quick.steps]);
    for (const i of samples.labels.keys()) {
      expect(close.success[i]).toBe(1);
      expect(close.queries.gradients[i]! % quick.steps).toBe(0);
      expect(close.queries.gradients[i]).toBeLessThan(whole.queries.gradients[i]!);
      expect(coarse.queries.gradients[i]).toBeLessThan(close.queries.gradients[i]!);
      expect(close.sizes.l2[i]! / whole.sizes.l2[i]!).toBeGreaterThanOrEqual(1);
      expect(close.sizes.l2[i]! / whole.sizes.l2[i]!).toBeLessThan(1.01);
    }
  });

  it("drops a sample while another goes on", async () => {
    const { queries } = await outcomeOf(model, samples, "cw-l2", { ...quick, binarySearchSteps: 3, initialConstant: 0.05 });
    expect(queries.gradients[0]).not.toBe(queries.gradients[1]);
    expect(Math.max(...queries.gradients)).toBeLessThan(3 * quick.steps);
  });

  it("returns nothing that the scoring pass does not confirm", async () => {
    const stubborn: AttackedModel = {
      shape: model.shape,
      classes: model.classes,
      dimension: model.dimension,
      thresholds: model.thresholds,
      score: async (x) => {
        const scores = await model.score(x);
        return { ...scores, labels: scores.labels.fill(0) };
      },
      gradient: (objective, x, inputs) => model.gradient(objective, x, inputs),
      release: () => model.release(),
    };
    const settings = { ...quick, steps: 100, binarySearchSteps: 3, initialConstant: 1 };
    expect(Array.from((await outcomeOf(model, samples, "cw-l2", settings)).success)).toEqual([1, 1]);
    const { images, success, queries } = await outcomeOf(stubborn, samples, "cw-l2", settings);
    expect(Array.from(images)).toEqual(Array.from(samples.images));
    expect(Array.from(success)).toEqual([0, 0]);
    expect(Array.from(queries.scores)).toEqual([3, 3]);
  });

  it("says how far it is", async () => {
    const finished: number[] = [];
    await outcomeOf(
      model,
      samples,
      "cw-l2",
      { ...quick, steps: 1, binarySearchSteps: 4 },
      { onProgress: (_, done) => finished.push(done) },
    );
    expect(finished).toEqual([0, 0, 1, 1, 2]);
  });

  it("returns the original where no image has the margin", async () => {
    const { images, success } = await outcomeOf(model, samples, "cw-l2", { ...quick, steps: 20, binarySearchSteps: 2, confidence: 1000 });
    expect(Array.from(images)).toEqual(Array.from(samples.images));
    expect(Array.from(success)).toEqual([0, 0]);
  });
});

describe("deepfool", () => {
  const [{ model }] = cases as [(typeof cases)[0], (typeof cases)[1]];

  it("asks for one gradient per other candidate and step, and for no more once a sample has crossed", async () => {
    const all = await outcomeOf(model, samples, "deepfool");
    const two = await outcomeOf(model, samples, "deepfool", { candidates: 2 });
    // Linear scores: one step is enough. The first score is of the original.
    expect(Array.from(all.queries.gradients)).toEqual([2, 2]);
    expect(Array.from(all.queries.scores)).toEqual([2, 2]);
    expect(Array.from(two.queries.gradients)).toEqual([1, 1]);
  });

  it("looks first at the likeliest of the other classes", async () => {
    // Without priors class 1 is the likeliest of the others, with these class 2.
    const logPriors = [0.5, 0.01, 0.49].map(Math.log);
    const withPriors = linearModel({ ...linear, logPriors });
    opened.push(withPriors);
    for (const [other, of, priors] of [
      [1, model, [0, 0, 0]],
      [2, withPriors, logPriors],
    ] as const) {
      const { sizes } = await outcomeOf(of, samples, "deepfool", { candidates: 2 });
      const pair = { rows: [linear.rows[0]!, linear.rows[other]!], bias: [0, other].map((c) => linear.bias![c]! + priors[c]!) };
      for (const [i, image] of [near, far].entries()) expectNearest(sizes.l2[i]!, distanceToBoundary(pair, image, 0, "l2"));
    }
  });

  it("looks for the boundary where priors move it", async () => {
    const logPriors = [0.5, 0.2, 0.3].map(Math.log);
    const moved = linearModel({ ...linear, logPriors });
    opened.push(moved);
    const { sizes, queries } = await outcomeOf(moved, samples, "deepfool");
    const decides = { rows: linear.rows, bias: linear.bias!.map((value, c) => value + logPriors[c]!) };
    for (const [i, image] of [near, far].entries()) expectNearest(sizes.l2[i]!, distanceToBoundary(decides, image, 0, "l2"));
    expect(Array.from(queries.gradients)).toEqual([2, 2]);
  });

  it("stops, and returns the original, where scores have no slope", async () => {
    const flat = linearModel({
      rows: [
        [0, 0],
        [0, 0],
      ],
      bias: [1, 0],
    });
    opened.push(flat);
    const { images, success, queries } = await outcomeOf(flat, { images: Float32Array.of(0.5, 0.5), labels: Int32Array.of(0) }, "deepfool");
    expect(Array.from(images)).toEqual([0.5, 0.5]);
    expect(success[0]).toBe(0);
    expect([queries.gradients[0], queries.zeroGradients[0]]).toEqual([1, 1]);
  });
});
