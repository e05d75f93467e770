import { z } from "zod";
import type { Random } from "../core/random.ts";
import { type AttackDefinition, defineAttack } from "./attack.ts";
import { approachOriginals, distanceBetween, startingPoints, startKinds } from "./decisions.ts";
import { type Norm, norms } from "./distance.ts";
import { moveAlong } from "./pgd.ts";
import type { Problem } from "./problem.ts";
import { row } from "./rows.ts";

const settings = z.strictObject({
  norm: z.enum(norms).default("l2").describe("norm that is made small"),
  steps: z.int().min(1).default(25).describe("gradient steps"),
  evaluations: z.int().min(1).default(100).describe("queries for the first gradient; the t-th takes sqrt(t) times as many"),
  start: z.enum(startKinds).default("any").describe("where it starts: from clean images, noise, or noise where no image will do"),
  startTries: z.int().min(1).default(50).describe("images, and then noises, tried as a start"),
});

export const hopSkipJump: AttackDefinition = defineAttack({
  name: "hopskipjump",
  about: "steps along gradients of the boundary, estimated by decisions alone",
  source: "Chen, Jordan & Wainwright 2020",
  settings,
  create: (chosen) => ({
    kind: "minimal",
    distance: chosen.norm,
    needs: "decisions",
    usesGuides: true,
    perturb: (problem) => hop(problem, chosen),
  }),
});

/** Halvings of a step that leaves the adversarial images; after them the sample stays where it is. */
const mostHalvings = 30;

interface Hopper {
  readonly sample: number;
  readonly original: Float32Array;
  readonly random: Random;
  /** Adversarial and at the boundary. */
  image: Float32Array;
  /** From the original, before the last search for the boundary. */
  reached: number;
  best: number;
}

/**
 * Algorithm 2 of the paper: at the boundary estimate the gradient's direction, step along it by distance / sqrt(t), halved until the image is
 * adversarial, and search the boundary towards the original. Of a sample's images at the boundary the nearest is returned.
 */
async function hop(problem: Problem, { norm, steps, evaluations, start, startTries }: z.output<typeof settings>): Promise<Float32Array> {
  const { size } = problem;
  const result = problem.images.slice();
  // The boundary is found to a part theta of the distance: d^(-3/2) in l2, d^(-2) in linf (paper, 4.2).
  const halvings = Math.ceil(Math.log2(size) * (norm === "l2" ? 1.5 : 2)) + 1;
  const placed = await startingPoints(problem, { start, tries: startTries });
  const near = await approachOriginals(problem, placed, norm, halvings);
  const hoppers = placed.rows.map((sample, i): Hopper => {
    const [original, image] = [row(problem.images, size, sample), row(near, size, i).slice()];
    result.set(image, sample * size);
    const distance = distanceBetween(image, original, norm);
    return { sample, original, random: problem.random(sample, "hopskipjump"), image, reached: distance, best: distance };
  });
  for (let step = 1; step <= steps && hoppers.length > 0; step++) {
    const jumps: Jump[] = [];
    for (const hopper of hoppers) {
      // theta sqrt(d) |x - original| in l2, theta d |x - original| in linf: the distance divided by d.
      const radius = step === 1 ? 0.1 : hopper.reached / size;
      if (radius === 0) continue;
      const direction = await boundaryGradient(problem, hopper, radius, Math.round(evaluations * Math.sqrt(step)));
      jumps.push({ hopper, direction, length: distanceBetween(hopper.image, hopper.original, norm) / Math.sqrt(step) });
      problem.progress(hoppers.length);
    }
    const moved = await jumpAll(problem, jumps, norm);
    const x = new Float32Array(moved.length * size);
    for (const [i, { image }] of moved.entries()) x.set(image, i * size);
    const rows = moved.map(({ sample }) => sample);
    const searched = await approachOriginals(problem, { rows, x }, norm, halvings);
    for (const [i, hopper] of moved.entries()) {
      hopper.image = row(searched, size, i).slice();
      const distance = distanceBetween(hopper.image, hopper.original, norm);
      if (distance >= hopper.best) continue;
      hopper.best = distance;
      result.set(hopper.image, hopper.sample * size);
    }
  }
  problem.progress(0);
  return result;
}

interface Jump {
  readonly hopper: Hopper;
  readonly direction: Float32Array;
  length: number;
}

/** Moves each hopper to the first adversarial image along its direction, one query of each per halving; returns those that moved. */
async function jumpAll(problem: Problem, jumps: readonly Jump[], norm: Norm): Promise<Hopper[]> {
  const { size } = problem;
  let pending = jumps;
  for (let halving = 0; halving < mostHalvings && pending.length > 0; halving++) {
    const candidates = new Float32Array(pending.length * size);
    for (const [i, { hopper, direction, length }] of pending.entries()) {
      const candidate = row(candidates, size, i);
      candidate.set(hopper.image);
      moveAlong(candidate, direction, norm, length);
      for (let k = 0; k < size; k++) candidate[k] = Math.min(1, Math.max(0, candidate[k]!));
    }
    const { isAdversarial } = await problem.score(
      pending.map(({ hopper }) => hopper.sample),
      candidates,
    );
    for (const [i, jump] of pending.entries()) {
      const { hopper } = jump;
      jump.length /= 2;
      if (isAdversarial[i] !== 1) continue;
      hopper.image = row(candidates, size, i).slice();
      hopper.reached = distanceBetween(hopper.image, hopper.original, norm);
    }
    pending = pending.filter((_, i) => isAdversarial[i] !== 1);
  }
  const stuck = new Set(pending);
  return jumps.filter((jump) => !stuck.has(jump)).map(({ hopper }) => hopper);
}

/**
 * sum_b (phi_b - mean phi) u_b, with phi_b = 1 where x + radius u_b is adversarial and -1 where not, u_b random unit vectors (Eq. 16); where
 * all are alike, phi times their mean. Of clipped images, u_b is what was left.
 */
async function boundaryGradient(problem: Problem, { sample, image, random }: Hopper, radius: number, count: number): Promise<Float32Array> {
  const { size } = problem;
  const candidates = new Float32Array(count * size);
  for (let b = 0; b < count; b++) {
    const candidate = row(candidates, size, b);
    const direction = Float64Array.from(image, () => random.normal());
    const norm = Math.sqrt(direction.reduce((sum, value) => sum + value * value, 0));
    for (let k = 0; k < size; k++) candidate[k] = Math.min(1, Math.max(0, image[k]! + (radius / norm) * direction[k]!));
  }
  const { isAdversarial } = await problem.score(new Array<number>(count).fill(sample), candidates);
  const mean = isAdversarial.reduce((sum, value) => sum + 2 * value - 1, 0) / count;
  const baseline = Math.abs(mean) === 1 ? 0 : mean;
  const gradient = new Float64Array(size);
  for (let b = 0; b < count; b++) {
    const weight = 2 * isAdversarial[b]! - 1 - baseline;
    const candidate = row(candidates, size, b);
    for (let k = 0; k < size; k++) gradient[k]! += (weight * (candidate[k]! - image[k]!)) / radius;
  }
  return Float32Array.from(gradient);
}
