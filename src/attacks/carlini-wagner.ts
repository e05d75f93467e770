import { z } from "zod";
import { type AttackDefinition, defineAttack } from "./attack.ts";
import type { Problem } from "./problem.ts";
import { indices, row, takeRows } from "./rows.ts";

interface CarliniWagnerSettings {
  readonly loss: "margin" | "accepted";
  readonly confidence: number;
  readonly steps: number;
  readonly binarySearchSteps: number;
  readonly learningRate: number;
  readonly initialConstant: number;
  readonly abortEarly: boolean;
}

export const carliniWagner: AttackDefinition = defineAttack({
  name: "cw-l2",
  about: "smallest L2 perturbation by Adam in tanh space, with a search for the weight of the loss",
  source: "Carlini & Wagner 2017",
  settings: z.strictObject({
    loss: z
      .enum(["margin", "accepted"])
      .default("margin")
      .describe("margin: over the other classes; accepted: the smaller of that and log-likelihood minus threshold"),
    confidence: z.number().min(0).default(0).describe("kappa: the margin wanted, in nats of the raw class log-likelihoods"),
    steps: z.int().min(1).default(1000).describe("Adam steps for each weight"),
    binarySearchSteps: z.int().min(1).default(9).describe("weights tried"),
    learningRate: z.number().positive().default(0.01).describe("of Adam"),
    initialConstant: z.number().positive().default(1e-3).describe("first weight of the loss; ten times it while nothing is found"),
    abortEarly: z.boolean().default(true).describe("whether a sample's steps end when a tenth of them brought no progress"),
  }),
  create: (settings) => ({ kind: "minimal", distance: "l2", needs: "gradients", perturb: (problem) => search(problem, settings) }),
});

/** Keeps the inverse of tanh finite at 0 and 1. */
const inside = 0.999999;
const [beta1, beta2, adamEpsilon] = [0.9, 0.999, 1e-8];
/** Objectives of two graphs of one model differ by rounding, relative to the log-likelihoods: what is kept must stand in both. */
const rounding = 1e-5;

/**
 *   x = (tanh(w) + 1) / 2;   minimise over w  |x - x_0|^2 + c max(kappa - J(x), 0)
 * by Adam, for weights c found by binary search per sample: up tenfold while no image with J >= kappa is found, then between the largest
 * weight without and the smallest with one. The nearest image found that also meets the criterion is returned.
 */
async function search(problem: Problem, settings: CarliniWagnerSettings): Promise<Float32Array> {
  const { count } = problem;
  const best = { images: problem.images.slice(), distances: new Float64Array(count).fill(Number.POSITIVE_INFINITY) };
  const weight = new Float64Array(count).fill(settings.initialConstant);
  const low = new Float64Array(count);
  const high = new Float64Array(count).fill(Number.POSITIVE_INFINITY);
  for (let round = 0; round < settings.binarySearchSteps; round++) {
    const isFound = await minimise(problem, weight, settings, best, round);
    for (let sample = 0; sample < count; sample++) {
      if (isFound[sample] === 1) high[sample] = weight[sample]!;
      else low[sample] = weight[sample]!;
      weight[sample] = high[sample] === Number.POSITIVE_INFINITY ? weight[sample]! * 10 : (low[sample]! + high[sample]!) / 2;
    }
  }
  problem.progress(0);
  return best.images;
}

interface Best {
  /** [N, size]; the originals where nothing is found. */
  readonly images: Float32Array;
  /** Squared L2 distance of each, [N]. */
  readonly distances: Float64Array;
}

/** One run of Adam for all samples, each with its weight. Keeps what is nearer than `best`; 1 where any image was found, [N]. */
async function minimise(
  problem: Problem,
  weight: Float64Array,
  { loss, confidence, steps, learningRate, abortEarly, binarySearchSteps }: CarliniWagnerSettings,
  best: Best,
  round: number,
): Promise<Uint8Array> {
  const { count, size, images } = problem;
  const objective = { kind: loss, targeted: problem.isTargeted } as const;
  const start = images.map((value) => Math.atanh((2 * value - 1) * inside));
  const w = start.slice();
  const [mean, variance] = [new Float32Array(w.length), new Float32Array(w.length)];
  const isFound = new Uint8Array(count);
  const checkEvery = Math.ceil(steps / 10);
  const lastCost = new Float64Array(count).fill(Number.POSITIVE_INFINITY);
  let rows = indices(count);
  for (let step = 1; step <= steps && rows.length > 0; step++) {
    const x = takeRows(w, size, rows);
    for (let k = 0; k < x.length; k++) x[k] = (Math.tanh(x[k]!) + 1) / 2;
    const { objective: reached, gradient, isAdversarial, classLogLikelihoods } = await problem.gradient(objective, rows, x);
    const classes = problem.model.classes;
    const isStuck = new Uint8Array(rows.length);
    const corrections = { mean: 1 - beta1 ** step, variance: 1 - beta2 ** step };
    for (const [i, sample] of rows.entries()) {
      const image = row(x, size, i);
      const original = row(images, size, sample);
      let distance = 0;
      for (let k = 0; k < size; k++) distance += (image[k]! - original[k]!) ** 2;
      const scale = row(classLogLikelihoods, classes, i).reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
      if (isAdversarial[i] === 1 && reached[i]! >= confidence + rounding * scale) {
        isFound[sample] = 1;
        if (distance < best.distances[sample]!) {
          best.distances[sample] = distance;
          row(best.images, size, sample).set(image);
        }
      }
      const shortfall = Math.max(0, confidence - reached[i]!);
      const cost = distance + weight[sample]! * shortfall;
      if (abortEarly && step % checkEvery === 0) {
        if (!(cost < lastCost[sample]! * 0.9999)) isStuck[i] = 1;
        lastCost[sample] = cost;
      }
      // Beyond the wanted margin the objective weighs nothing: only the distance pulls.
      const pull = shortfall > 0 ? weight[sample]! : 0;
      for (let k = 0, at = sample * size; k < size; k++, at++) {
        const y = 2 * image[k]! - 1;
        const slope = (2 * (image[k]! - original[k]!) - pull * gradient[i * size + k]!) * (1 - y * y) * 0.5;
        const m = beta1 * mean[at]! + (1 - beta1) * slope;
        const v = beta2 * variance[at]! + (1 - beta2) * slope * slope;
        mean[at] = m;
        variance[at] = v;
        w[at]! -= (learningRate * (m / corrections.mean)) / (Math.sqrt(v / corrections.variance) + adamEpsilon);
      }
    }
    rows = rows.filter((_, i) => isStuck[i] === 0);
    // All samples take part in every round: what is finished of them is a share of the rounds.
    problem.progress(Math.ceil(count * (1 - (round + step / steps) / binarySearchSteps)));
  }
  return isFound;
}
