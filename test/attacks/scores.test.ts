import { afterAll, describe, expect, it } from "vitest";
import { runAttack, type Samples } from "../../src/attacks/attack.ts";
import { makeAttack } from "../../src/attacks/attacks.ts";
import { misclassifiedAndAccepted } from "../../src/attacks/criteria.ts";
import { GraphModel } from "../../src/attacks/model.ts";
import { Random } from "../../src/core/random.ts";
import { add, matmul, parameter, reshape, transpose } from "../../src/graph/build.ts";
import { distanceToBoundary, gaussianModel, linearEquivalent, linearModel, type SmallModel } from "../support/attacked-models.ts";

// Attacks by scores (square, local-search) and by saliency (jsma), where it is known what they must find.

const shape = { channels: 2, height: 4, width: 4 };
const [size, pixels] = [32, 16];

/** Linear class scores of small pictures. */
function pictureModel({ rows, bias = rows.map(() => 0) }: SmallModel, of = shape): GraphModel {
  const [classes, size] = [rows.length, rows[0]!.length];
  return new GraphModel(
    {
      shape: of,
      classes,
      dimension: size,
      build: (graph, x) => {
        const representation = reshape(x, [x.type.shape[0]!, size]);
        const weights = parameter(graph, "weights", [classes, size]);
        return { representation, scores: add(matmul(representation, transpose(weights, [1, 0])), parameter(graph, "bias", [classes])) };
      },
      weights: new Map([
        ["weights", Float32Array.from(rows.flat())],
        ["bias", Float32Array.from(bias)],
      ]),
      thresholds: Float32Array.from(rows, () => -1e6),
    },
    { threads: 1 },
  );
}

const models: GraphModel[] = [];
const kept = (model: GraphModel): GraphModel => {
  models.push(model);
  return model;
};
afterAll(() => Promise.all(models.map((model) => model.release())));
/** Weights that are `value` at some values of a picture and small elsewhere. */
const weightsAt = (at: readonly number[], value: number): number[] =>
  Array.from({ length: size }, (_, k) => (at.includes(k) ? value : 0.001 * ((k % 3) - 1)));
const picture = (value: number): Samples => ({ images: new Float32Array(size).fill(value), labels: Int32Array.of(0) });

const linear: SmallModel = {
  rows: [
    [2, -1, 0.5, 0],
    [-1, 1.5, 0, 0.5],
    [0, 0.5, -1, 1],
  ],
  bias: [0.1, 0, -0.1],
};
const means = [
  [0.7, 0.3, 0.6, 0.5],
  [0.3, 0.6, 0.5, 0.4],
  [0.5, 0.5, 0.2, 0.7],
];
const image = [0.6, 0.45, 0.55, 0.5];
const small: Samples = { images: Float32Array.from(image), labels: Int32Array.of(0) };

describe("square", () => {
  const cases = [
    { name: "linear scores", model: kept(linearModel(linear)), decides: linear },
    { name: "Gaussian classes", model: kept(gaussianModel({ rows: means })), decides: linearEquivalent({ rows: means }) },
  ];

  it.each(cases.flatMap((one) => ["margin", "cross-entropy", "odds"].map((loss) => ({ ...one, loss }))))(
    "crosses the boundary beyond its distance and not before: $name, $loss",
    async ({ model, decides, loss }) => {
      const distance = distanceToBoundary(decides, image, 0, "linf");
      const square = makeAttack("square", { loss, queries: 300 });
      const { outcomes } = await runAttack(model, small, square, { epsilons: [distance * 0.98, distance * 1.3], seed: 2 });
      expect(outcomes.map(({ success }) => success[0])).toEqual([0, 1]);
      expect(outcomes[0]!.queries.scores[0]).toBe(300);
      expect(outcomes[1]!.queries.scores[0]).toBeLessThan(300);
      expect(outcomes[1]!.sizes.linf[0]).toBeLessThanOrEqual(distance * 1.3 * (1 + 1e-5));
    },
  );

  it("changes pictures by epsilon or to an end of the range, and does not lose the loss that it reached", async () => {
    const random = new Random(5);
    const rows = [0, 1, 2].map(() => Array.from({ length: size }, () => random.normal()));
    const model = kept(pictureModel({ rows, bias: [50, 0, 0] }));
    const images = Float32Array.from({ length: size }, () => random.uniform());
    const marginAfter = async (queries: number) => {
      const made = await runAttack(model, { images, labels: Int32Array.of(0) }, makeAttack("square", { queries, share: 0.3 }), {
        epsilons: [0.25],
      });
      const { images: changed, scores } = made.outcomes[0]!;
      for (let k = 0; k < size; k++) {
        const isAtEnd = changed[k] === 0 || changed[k] === 1;
        if (!isAtEnd) expect(Math.abs(changed[k]! - images[k]!)).toBeCloseTo(0.25, 6);
      }
      const [own, ...other] = Array.from(scores.classLogLikelihoods);
      return Math.max(...other) - own!;
    };
    const margins = [await marginAfter(1), await marginAfter(20), await marginAfter(400)];
    expect(margins[1]).toBeGreaterThan(margins[0]!);
    expect(margins[2]).toBeGreaterThan(margins[1]!);
    // Of the corners of the ball the best one is known: each value at the end that its weight wants.
    const best = [1, 2].map((c) =>
      images.reduce((sum, value, k) => {
        const weight = rows[c]![k]! - rows[0]![k]!;
        return sum + weight * Math.min(1, Math.max(0, value + 0.25 * Math.sign(weight)));
      }, -50),
    );
    expect(margins[2]).toBeLessThan(Math.max(...best) + 1e-3);
    expect(margins[2]).toBeGreaterThan(Math.max(...best) - 3);
  });

  it("with the accepted loss goes on past wrong images that are rejected", async () => {
    const radius = 0.2;
    const model = kept(gaussianModel({ rows: means, thresholds: means.map(() => -(radius ** 2) / 2) }));
    const run = (epsilon: number) =>
      runAttack(model, small, makeAttack("square", { loss: "accepted", queries: 1000 }), { epsilons: [epsilon], seed: 1 });
    // 0.09 is enough to be wrong, but leaves the image 0.218 from the nearest wrong mean.
    const distance = distanceToBoundary(linearEquivalent({ rows: means }), image, 0, "linf");
    expect(distance).toBeLessThan(0.09);
    expect((await run(0.09)).outcomes[0]!.success[0]).toBe(0);
    // The corners of the ball are what it tries; the best is 0.187 from that mean.
    const { outcomes, criterion } = await run(0.15);
    expect(criterion).toBe(misclassifiedAndAccepted.name);
    expect(outcomes[0]!.success[0]).toBe(1);
    expect(outcomes[0]!.scores.accepted[0]).toBe(1);
  });
});

describe("local-search", () => {
  // Class 1 wins when both values of pixel 5 are above 0.75; where they are 0.7 a change by 1.5 is enough.
  const model = kept(pictureModel({ rows: [weightsAt([], 0), weightsAt([5, 5 + pixels], 1)], bias: [1.5, 0] }));

  it.each(["extreme", "clipped", "change"])("finds the pixel that decides, by %s trials", async (trial) => {
    const { outcomes } = await runAttack(model, picture(0.7), makeAttack("local-search", { trial, pixels: 1 }), { seed: 1 });
    expect(outcomes[0]!.success[0]).toBe(1);
    // The first round tries two pixels of sixteen, and changes one of them.
    expect(outcomes[0]!.sizes.l0[0]).toBeLessThanOrEqual(2);
    expect(outcomes[0]!.images[5]).toBeCloseTo(0.8, 6);
    expect(outcomes[0]!.queries.scores[0]).toBeLessThanOrEqual(2 + 1 + pixels + 1);
  });

  it("wraps a change that leaves the range, and returns the original without success", async () => {
    const darker = kept(pictureModel({ rows: [weightsAt([], 0), weightsAt([5], -1)], bias: [-0.15, 0] }));
    const { outcomes } = await runAttack(darker, picture(0.9), makeAttack("local-search", { trial: "change", pixels: 1 }));
    expect(outcomes[0]!.success[0]).toBe(1);
    expect(outcomes[0]!.images[5]).toBeCloseTo(0.1, 6);
    const never = kept(pictureModel({ rows: [weightsAt([], 0), weightsAt([5], 1)], bias: [50, 0] }));
    const failed = await runAttack(never, picture(0.7), makeAttack("local-search", { rounds: 3 }));
    expect(failed.outcomes[0]!.success[0]).toBe(0);
    expect(Array.from(failed.outcomes[0]!.images)).toEqual(Array.from(picture(0.7).images));
  });
});

it.each([
  { name: "square", settings: { queries: 3 }, epsilons: [0.2] },
  { name: "local-search", settings: { rounds: 3, pixels: 1, neighbourhood: 1 }, epsilons: [] },
])("$name gives the same pictures for the same seed, and others for another", async ({ name, settings, epsilons }) => {
  // Two or three pixels of sixteen must become brighter by 0.1, any of them.
  const bright = Array.from({ length: size }, (_, k) => 1 + 0.01 * k);
  const needed = bright.reduce((sum, weight) => sum + 0.7 * weight, 0.5);
  const model = kept(pictureModel({ rows: [weightsAt([], 0), bright], bias: [needed, 0] }));
  const made = async (seed: number) => {
    const { outcomes } = await runAttack(model, picture(0.7), makeAttack(name, settings), { epsilons, seed });
    return Array.from(outcomes[0]!.images);
  };
  expect(await made(1)).toEqual(await made(1));
  expect(await made(2)).not.toEqual(await made(1));
});

describe("jsma", () => {
  const rows = [weightsAt([3, 9], -2), weightsAt([3, 9], 2), weightsAt([6, 18], 1)];
  const model = kept(pictureModel({ rows, bias: [3, 1, 0.9] }));

  it("changes the two values that decide, towards the runner-up", async () => {
    const { outcomes } = await runAttack(model, picture(0.1), makeAttack("jsma"));
    expect(outcomes[0]!.success[0]).toBe(1);
    expect(outcomes[0]!.scores.labels[0]).toBe(1);
    const changed = Array.from(outcomes[0]!.images).flatMap((value, k) => (Math.abs(value - 0.1) > 1e-6 ? [k] : []));
    expect(changed).toEqual([3, 9]);
    // Two gradients for the change and one that sees it done.
    expect(outcomes[0]!.queries.gradients[0]).toBe(3);
  });

  it("reaches the target, by darker values where theta is negative", async () => {
    const targets = Int32Array.of(2);
    const mirrored = kept(pictureModel({ rows: rows.map((row) => row.map((weight) => -weight)), bias: [-3.5, -1, 1] }));
    const brighter = await runAttack(
      kept(pictureModel({ rows, bias: [1, 0, 0] })),
      { ...picture(0.1), targets },
      makeAttack("jsma", { gamma: 1 }),
    );
    const darker = await runAttack(mirrored, { ...picture(0.9), targets }, makeAttack("jsma", { theta: -1, gamma: 1 }));
    for (const { outcomes } of [brighter, darker]) expect(outcomes[0]!.scores.labels[0]).toBe(2);
    expect(darker.outcomes[0]!.images[6]).toBe(0);
    expect(brighter.outcomes[0]!.images[6]).toBe(1);
  });

  it("asks for no gradient of a sample that is finished, whoever else is attacked", async () => {
    const alone = await runAttack(model, picture(0.1), makeAttack("jsma"));
    const stubborn = new Float32Array(size).fill(0.1).fill(0.9, 20);
    const both = { images: Float32Array.from([...picture(0.1).images, ...stubborn]), labels: Int32Array.of(0, 0) };
    const together = await runAttack(model, both, makeAttack("jsma", { theta: 0.3, gamma: 1 }));
    const aloneSlow = await runAttack(model, picture(0.1), makeAttack("jsma", { theta: 0.3, gamma: 1 }));
    expect(alone.outcomes[0]!.queries.gradients[0]).toBe(3);
    expect(together.outcomes[0]!.queries.gradients[0]).toBe(aloneSlow.outcomes[0]!.queries.gradients[0]);
  });

  it("changes no more values than gamma allows", async () => {
    const stubborn = kept(pictureModel({ rows, bias: [500, 0, 0] }));
    const { outcomes } = await runAttack(stubborn, picture(0.1), makeAttack("jsma", { theta: 0.1, gamma: 0.25 }));
    expect(outcomes[0]!.success[0]).toBe(0);
    // Four pairs of 8 of 32 values: two gradients each, and one more.
    expect(outcomes[0]!.queries.gradients[0]).toBe(9);
  });
});

describe("square in l2", () => {
  const wide = { channels: 1, height: 8, width: 8 };
  // Class 1 gains in the left half and loses in the right one.
  const slope = Array.from({ length: 64 }, (_, k) => (k % 8 < 4 ? 1 : -1) + 0.01 * (k % 5));
  const decides: SmallModel = { rows: [new Array<number>(64).fill(0), slope], bias: [4, 0] };
  const original = new Array<number>(64).fill(0.5);
  const model = kept(pictureModel(decides, wide));
  const samples = { images: Float32Array.from(original), labels: Int32Array.of(0) };

  it("crosses the boundary beyond its distance and not before", async () => {
    const distance = distanceToBoundary(decides, original, 0, "l2");
    const square = makeAttack("square", { norm: "l2", share: 0.2, queries: 500 });
    const { outcomes } = await runAttack(model, samples, square, { epsilons: [distance * 0.98, distance * 2], seed: 1 });
    expect(outcomes.map(({ success }) => success[0])).toEqual([0, 1]);
    for (const [i, factor] of [0.98, 2].entries()) {
      // Nothing is clipped here: the whole of epsilon is used.
      expect(outcomes[i]!.sizes.l2[0]! / distance).toBeCloseTo(factor, 4);
    }
  });

  it("refuses images that have no room for a bump", async () => {
    const line = kept(linearModel(linear));
    await expect(runAttack(line, small, makeAttack("square", { norm: "l2" }), { epsilons: [1] })).rejects.toThrow(/2 x 2 pixels or more/);
  });
});
