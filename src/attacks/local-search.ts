import { z } from "zod";
import type { Random } from "../core/random.ts";
import { type AttackDefinition, defineAttack } from "./attack.ts";
import type { ImageShape } from "./distance.ts";
import type { Problem } from "./problem.ts";
import { indices, row } from "./rows.ts";
import { scoreLoss, scoreLosses } from "./score-loss.ts";

/** What the model is asked about a pixel. extreme: outside [0, 1], as in the paper. */
const trials = ["extreme", "clipped", "change"] as const;

const settings = z.strictObject({
  rounds: z.int().min(1).default(150).describe("rounds at most (R)"),
  pixels: z.int().min(1).default(5).describe("pixels changed in a round (t)"),
  neighbourhood: z.int().min(0).default(5).describe("half side of the square around a changed pixel that the next round tries (d)"),
  trial: z.enum(trials).default("extreme").describe("what a tried pixel is set to; clipped: as extreme, in [0, 1]; change: as if chosen"),
  extreme: z.number().positive().default(10).describe("a tried pixel's distance from middle grey in ranges, its side kept (p)"),
  shift: z.number().min(0).max(2).default(1.5).describe("factor of a changed pixel about middle grey, wrapped into the range (r)"),
  candidates: z.int().min(1).default(128).describe("pixels tried in a round"),
  loss: z.enum(scoreLosses).default("odds").describe("what each round makes larger; odds: as the true class's posterior, unsaturated"),
});

export const localSearch: AttackDefinition = defineAttack({
  name: "local-search",
  about: "changes the few pixels that lower the true class's posterior most, by scores alone",
  source: "Narodytska & Kasiviswanathan 2017",
  settings,
  create: (chosen) => ({
    kind: "minimal",
    distance: "l0",
    needs: "scores",
    isAdaptive: chosen.loss === "accepted",
    perturb: (problem) => search(problem, chosen),
  }),
});

interface Search {
  readonly sample: number;
  readonly random: Random;
  readonly image: Float32Array;
  /** Pixels to try, y * width + x. */
  candidates: readonly number[];
}

/**
 * Each round tries pixels one at a time (set to an extreme), keeps those that raise the loss most, and changes these for good: r times their
 * distance from middle grey, wrapped into the range. The next round tries their neighbours. As foolbox 2's LocalSearchAttack, whose posterior
 * in float32 is here its log odds: the order is the same, and it does not saturate. Targets, other losses and other trials are ours: an extreme
 * trial moves a pixel away from middle grey, the change mostly to the other side, so that what lowers the loss in a trial may not in the end.
 */
async function search(problem: Problem, chosen: z.output<typeof settings>): Promise<Float32Array> {
  const { size, shape } = problem;
  const pixels = shape.height * shape.width;
  const result = problem.images.slice();
  let open = indices(problem.count).map((sample): Search => {
    const random = problem.random(sample, "local-search");
    const first = Math.min(chosen.candidates, Math.ceil(0.1 * pixels));
    const candidates = Array.from(random.permutation(pixels).subarray(0, first));
    return { sample, random, image: row(problem.images, size, sample).slice(), candidates };
  });
  for (let round = 0; round < chosen.rounds && open.length > 0; round++) {
    for (const walk of open) {
      const tried = takeSome(walk.candidates, chosen.candidates, walk.random);
      const losses = await lossesOfTrials(problem, walk, tried, chosen);
      const order = indices(tried.length).sort((a, b) => losses[b]! - losses[a]!);
      const changed = order.slice(0, chosen.pixels).map((i) => tried[i]!);
      for (const pixel of changed) for (let k = pixel; k < size; k += pixels) walk.image[k] = shifted(walk.image[k]!, chosen.shift);
      walk.candidates = neighbours(changed, shape, chosen.neighbourhood);
      problem.progress(open.length);
    }
    const x = new Float32Array(open.length * size);
    for (const [i, { image }] of open.entries()) x.set(image, i * size);
    const { isAdversarial } = await problem.score(
      open.map(({ sample }) => sample),
      x,
    );
    for (const [i, { sample, image }] of open.entries()) if (isAdversarial[i] === 1) result.set(image, sample * size);
    open = open.filter((_, i) => isAdversarial[i] !== 1);
    problem.progress(open.length);
  }
  return result;
}

async function lossesOfTrials(
  problem: Problem,
  { sample, image }: Search,
  tried: readonly number[],
  chosen: z.output<typeof settings>,
): Promise<Float64Array> {
  const { size, shape } = problem;
  const pixels = shape.height * shape.width;
  const x = new Float32Array(tried.length * size);
  for (const [i, pixel] of tried.entries()) {
    const candidate = row(x, size, i);
    candidate.set(image);
    for (let k = pixel; k < size; k += pixels) candidate[k] = triedValue(image[k]!, chosen);
  }
  const { classLogLikelihoods } = await problem.score(new Array<number>(tried.length).fill(sample), x);
  return scoreLoss(chosen.loss, problem.model, classLogLikelihoods, new Array(tried.length).fill(problem.goal(sample)));
}

function triedValue(value: number, { trial, extreme, shift }: z.output<typeof settings>): number {
  if (trial === "change") return shifted(value, shift);
  const set = 0.5 + extreme * Math.sign(value - 0.5);
  return trial === "clipped" ? Math.min(1, Math.max(0, set)) : set;
}

/** r times a value's distance from middle grey; beyond an end of the range it comes in at the other. */
function shifted(value: number, factor: number): number {
  const moved = 0.5 + factor * (value - 0.5);
  return moved < 0 ? moved + 1 : moved > 1 ? moved - 1 : moved;
}

const takeSome = (pixels: readonly number[], most: number, random: Random): number[] =>
  Array.from(random.permutation(pixels.length).subarray(0, most), (i) => pixels[i]!);

/** Pixels of the squares around those given, in order. */
function neighbours(centres: readonly number[], { height, width }: ImageShape, reach: number): number[] {
  const found = new Set<number>();
  for (const centre of centres) {
    const [row, column] = [Math.floor(centre / width), centre % width];
    for (let y = Math.max(0, row - reach); y <= Math.min(height - 1, row + reach); y++) {
      for (let x = Math.max(0, column - reach); x <= Math.min(width - 1, column + reach); x++) found.add(y * width + x);
    }
  }
  return [...found].sort((a, b) => a - b);
}
