import { z } from "zod";
import type { Random } from "../core/random.ts";
import { type AttackDefinition, defineAttack } from "./attack.ts";
import { approachOriginals, distanceBetween, startingPoints, startKinds } from "./decisions.ts";
import type { Problem } from "./problem.ts";
import { row } from "./rows.ts";

const settings = z.strictObject({
  steps: z.int().min(1).default(5000).describe("steps of the walk, a query each"),
  sphericalStep: z.number().positive().max(1).default(0.01).describe("first step around the original, as a part of the distance to it"),
  sourceStep: z.number().positive().max(1).default(0.01).describe("first step towards the original, as a part of the distance to it"),
  adaptation: z.number().min(1.01).default(1.5).describe("factor by which steps grow and shrink"),
  convergence: z.number().min(0).default(1e-7).describe("a sample is finished when its step towards the original is shorter"),
  start: z.enum(startKinds).default("any").describe("where it starts: from clean images, noise, or noise where no image will do"),
  startTries: z.int().min(1).default(50).describe("images, and then noises, tried as a start"),
});

export const boundary: AttackDefinition = defineAttack({
  name: "boundary",
  about: "random walk along the decision boundary, by decisions alone",
  source: "Brendel, Rauber & Bethge 2018",
  settings,
  create: (chosen) => ({
    kind: "minimal",
    distance: "l2",
    needs: "decisions",
    usesGuides: true,
    perturb: (problem) => walkBoundary(problem, chosen),
  }),
});

/** Halvings of the way from the start to the original. */
const startHalvings = 10;
/** Every so many steps the step around the original is tried alone. */
const sphericalEvery = 5;
/** Share of adversarial candidates that steps are adapted to, of the last `window`. */
const spherical = { window: 20, low: 0.2, high: 0.5 };
const whole = { window: 30, low: 0.1, high: 0.25 };

/** Where the walk of one sample is. */
interface Walk {
  readonly sample: number;
  readonly original: Float32Array;
  readonly random: Random;
  /** Adversarial, always. */
  image: Float32Array;
  distance: number;
  sphericalStep: number;
  sourceStep: number;
  readonly sphericalTally: Tally;
  readonly wholeTally: Tally;
}

interface Tally {
  tried: number;
  adversarial: number;
}

/**
 * A step goes around the original at the same distance, then towards it; one that is adversarial and nearer is taken. The steps are adapted
 * so that a fifth to a half of the steps around the original stay adversarial (the boundary looks flat at that length), and a tenth to a
 * quarter of the whole steps. Differs from foolbox 3 in that each sample has random numbers of its own, steps are adapted after 20 and 30
 * tries, and the step around the original is tried in every fifth step instead of beside every tenth.
 */
async function walkBoundary(problem: Problem, chosen: z.output<typeof settings>): Promise<Float32Array> {
  const { size } = problem;
  const result = problem.images.slice();
  const placed = await startingPoints(problem, { start: chosen.start, tries: chosen.startTries });
  const near = await approachOriginals(problem, placed, "l2", startHalvings);
  let open = placed.rows.map((sample, i): Walk => {
    const [original, image] = [row(problem.images, size, sample), row(near, size, i).slice()];
    return {
      sample,
      original,
      random: problem.random(sample, "boundary"),
      image,
      distance: distanceBetween(image, original, "l2"),
      sphericalStep: chosen.sphericalStep,
      sourceStep: chosen.sourceStep,
      sphericalTally: { tried: 0, adversarial: 0 },
      wholeTally: { tried: 0, adversarial: 0 },
    };
  });
  for (const { sample, image } of open) result.set(image, sample * size);
  for (let step = 1; step <= chosen.steps && open.length > 0; step++) {
    const isWhole = step % sphericalEvery !== 0;
    const candidates = new Float32Array(open.length * size);
    for (const [i, walk] of open.entries()) propose(walk, isWhole, row(candidates, size, i));
    const { isAdversarial } = await problem.score(
      open.map(({ sample }) => sample),
      candidates,
    );
    for (const [i, walk] of open.entries()) {
      if (isAdversarial[i] === 1) {
        const candidate = row(candidates, size, i);
        // Nearer by construction, but for rounding and clipping.
        const distance = distanceBetween(candidate, walk.original, "l2");
        if (distance < walk.distance) {
          walk.image = candidate.slice();
          walk.distance = distance;
          result.set(candidate, walk.sample * size);
        }
      }
      adapt(walk, isWhole, isAdversarial[i] === 1, chosen.adaptation);
    }
    open = open.filter(({ distance, sourceStep }) => distance > 0 && sourceStep >= chosen.convergence);
    problem.progress(open.length);
  }
  return result;
}

/**
 *   d = original - x;  eta a random vector orthogonal to d, |eta| = sphericalStep |d|
 *   around: original + (eta - d) / sqrt(1 + sphericalStep^2);  then towards the original until the distance is (1 - sourceStep) |d|
 */
function propose({ original, image, distance, sphericalStep, sourceStep, random }: Walk, isWhole: boolean, into: Float32Array): void {
  const eta = Float64Array.from(image, () => random.normal());
  let along = 0;
  for (let k = 0; k < eta.length; k++) along += eta[k]! * (original[k]! - image[k]!);
  let squares = 0;
  for (let k = 0; k < eta.length; k++) {
    eta[k]! -= (along / distance ** 2) * (original[k]! - image[k]!);
    squares += eta[k]! ** 2;
  }
  const scale = squares > 0 ? (sphericalStep * distance) / Math.sqrt(squares) : 0;
  const shrink = 1 / Math.sqrt(1 + sphericalStep ** 2);
  for (let k = 0; k < eta.length; k++) into[k] = clip(original[k]! + (scale * eta[k]! + image[k]! - original[k]!) * shrink);
  if (!isWhole) return;
  const reached = distanceBetween(into, original, "l2");
  const part = reached > 0 ? Math.max(0, sourceStep * distance + reached - distance) / reached : 0;
  for (let k = 0; k < eta.length; k++) into[k] = clip(into[k]! + part * (original[k]! - into[k]!));
}

const clip = (value: number): number => Math.min(1, Math.max(0, value));

function adapt(walk: Walk, isWhole: boolean, isAdversarial: boolean, factor: number): void {
  const [tally, wish] = isWhole ? [walk.wholeTally, whole] : [walk.sphericalTally, spherical];
  tally.tried++;
  if (isAdversarial) tally.adversarial++;
  if (tally.tried < wish.window) return;
  const rate = tally.adversarial / tally.tried;
  tally.tried = 0;
  tally.adversarial = 0;
  const change = rate > wish.high ? factor : rate < wish.low ? 1 / factor : 1;
  walk.sourceStep = Math.min(1, walk.sourceStep * change);
  if (!isWhole) walk.sphericalStep = Math.min(1, walk.sphericalStep * change);
}
