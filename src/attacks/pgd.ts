import { z } from "zod";
import type { Random } from "../core/random.ts";
import { type AttackDefinition, defineAttack, type Procedure } from "./attack.ts";
import { overTargets } from "./combine.ts";
import { type Norm, norms, projectOntoBall } from "./distance.ts";
import { type AttackLoss, losses, type Objective } from "./objectives.ts";
import type { Problem } from "./problem.ts";
import { indices, row, takeRows } from "./rows.ts";

// Gradient ascent within a ball: one step (FGSM), several (BIM), several from random points of it (PGD).

export interface AscentSettings {
  readonly norm: Norm;
  readonly steps: number;
  readonly randomStart: boolean;
  readonly restarts: number;
  /** Whether a sample is left alone once it meets the criterion. */
  readonly earlyStop: boolean;
}

/** What each step makes larger. */
export interface Pursuit {
  readonly objective: Objective;
  /** What the objective is about, for one that needs that: N rows each. */
  readonly inputs?: Readonly<Partial<Record<"anchors" | "classWeights", Float32Array>>>;
}

/** Moves a sample's image, in place, from where the objective has this value and gradient; it stays in the ball and in [0, 1]. */
export type Move = (sample: number, image: Float32Array, gradient: Float32Array, value: number, step: number) => void;

export const ascentSettings = {
  norm: z.enum(norms).default("linf").describe("norm that bounds the perturbation"),
  loss: z.enum(losses).default("cross-entropy").describe("what each step makes larger; accepted: being wrong and accepted"),
  earlyStop: z.boolean().default(true).describe("whether a sample is left alone once it is adversarial"),
};
export const restartsSetting = z.int().min(1).default(1).describe("random starts, of which each sample's best counts");
/** Of attacks that can head for one wrong class after another. */
export const targetsSetting = z
  .int()
  .min(0)
  .default(0)
  .describe("untargeted: how many of the nearest wrong classes to head for, one after another; 0: whichever the loss follows");
const stepping = (steps: number, relativeStepSize: number) => ({
  steps: z.int().min(1).default(steps).describe("gradient steps"),
  relativeStepSize: z.number().positive().default(relativeStepSize).describe("length of a step as a part of epsilon"),
});

export const fgsm: AttackDefinition = defineAttack({
  name: "fgsm",
  about: "one step along the gradient (its sign in linf)",
  source: "Goodfellow, Shlens & Szegedy 2015",
  settings: z.strictObject({ norm: ascentSettings.norm, loss: ascentSettings.loss }),
  create: (settings) => ascent({ ...settings, steps: 1, relativeStepSize: 1, randomStart: false, restarts: 1, earlyStop: true }),
});

export const bim: AttackDefinition = defineAttack({
  name: "bim",
  about: "gradient steps from the image itself, projected onto the ball",
  source: "Kurakin, Goodfellow & Bengio 2017",
  settings: z.strictObject({ ...ascentSettings, ...stepping(10, 0.2) }),
  create: (settings) => ascent({ ...settings, randomStart: false, restarts: 1 }),
});

export const pgd: AttackDefinition = defineAttack({
  name: "pgd",
  about: "gradient steps from random points of the ball, projected onto it",
  source: "Madry et al. 2018",
  settings: z.strictObject({
    ...ascentSettings,
    // Long enough in sum to reach any point of the ball from any other, as Madry et al. have it.
    ...stepping(40, 2.5 / 40),
    restarts: restartsSetting,
    targets: targetsSetting,
  }),
  create: ({ targets, ...settings }) => {
    const attack = ascent({ ...settings, randomStart: true });
    return targets > 0 ? overTargets(attack, targets) : attack;
  },
});

interface ConstantSteps extends AscentSettings {
  readonly loss: AttackLoss;
  /** Length of a step as a part of epsilon. */
  readonly relativeStepSize: number;
}

const ascent = (settings: ConstantSteps): Procedure => ({
  kind: "fixed-epsilon",
  distance: settings.norm,
  needs: "gradients",
  isAdaptive: settings.loss === "accepted",
  perturb: (problem, epsilon) => {
    const objective = { kind: settings.loss, targeted: problem.isTargeted } as const;
    return ascend(problem, epsilon, settings, { objective }, () => (sample, image, gradient) => {
      moveAlong(image, gradient, settings.norm, settings.relativeStepSize * epsilon);
      projectOntoBall(image, row(problem.images, problem.size, sample), settings.norm, epsilon);
    });
  },
});

/**
 *   x_0 = original (+ a random point of the ball);  x_{k+1} = P(x_k + step u(grad J(x_k)))
 * with u the sign (linf) or the unit vector (l2), P the projection onto the ball and [0, 1]. Of a sample's iterates the one with the
 * largest objective is returned, and one that meets the criterion before any that does not. How the steps go is up to `startMoving`, which
 * is asked anew for every restart.
 */
export async function ascend(
  problem: Problem,
  epsilon: number,
  settings: AscentSettings,
  { objective, inputs = {} }: Pursuit,
  startMoving: () => Move,
): Promise<Float32Array> {
  const { size } = problem;
  const inputsOf = (rows: readonly number[]) =>
    Object.fromEntries(Object.entries(inputs).map(([name, all]) => [name, takeRows(all, all.length / problem.count, rows)]));
  const best = problem.images.slice();
  const found = new Uint8Array(problem.count);
  const value = new Float32Array(problem.count).fill(Number.NEGATIVE_INFINITY);
  const keep = (rows: readonly number[], x: Float32Array, judged: { isAdversarial: Uint8Array; objective: Float32Array }) => {
    rows.forEach((sample, i) => {
      const [isAdversarial, reached] = [judged.isAdversarial[i]!, judged.objective[i]!];
      if (isAdversarial < found[sample]! || (isAdversarial === found[sample] && !(reached > value[sample]!))) return;
      best.set(row(x, size, i), sample * size);
      found[sample] = isAdversarial;
      value[sample] = reached;
    });
  };
  const isOpen = (sample: number) => !(settings.earlyStop && found[sample] === 1);
  for (let restart = 0; restart < settings.restarts; restart++) {
    const move = startMoving();
    let rows = indices(problem.count).filter(isOpen);
    let x = takeRows(problem.images, size, rows);
    if (settings.randomStart) {
      rows.forEach((sample, i) => {
        const image = row(x, size, i);
        addPointOfBall(image, settings.norm, epsilon, problem.random(sample, `start ${restart}`));
        projectOntoBall(image, row(problem.images, size, sample), settings.norm, epsilon);
      });
    }
    for (let step = 0; step <= settings.steps && rows.length > 0; step++) {
      const judged = await problem.gradient(objective, rows, x, inputsOf(rows));
      keep(rows, x, judged);
      const left = indices(rows.length).filter((i) => isOpen(rows[i]!));
      const gradient = takeRows(judged.gradient, size, left);
      const values = left.map((i) => judged.objective[i]!);
      x = takeRows(x, size, left);
      rows = left.map((i) => rows[i]!);
      problem.progress(rows.length);
      if (step === settings.steps) break;
      for (const [i, sample] of rows.entries()) move(sample, row(x, size, i), row(gradient, size, i), values[i]!, step);
    }
  }
  return best;
}

/** x += length * sign(g) or, in l2, length * g / |g|; a zero gradient moves nothing. */
export function moveAlong(x: Float32Array, gradient: Float32Array, norm: Norm, length: number): void {
  if (norm === "linf") {
    for (let k = 0; k < x.length; k++) x[k]! += length * Math.sign(gradient[k]!);
    return;
  }
  const norm2 = Math.sqrt(gradient.reduce((sum, value) => sum + value * value, 0));
  if (norm2 === 0) return;
  for (let k = 0; k < x.length; k++) x[k]! += (length / norm2) * gradient[k]!;
}

/** Uniformly at random from the ball of radius `epsilon`: in l2 a normal direction, at a radius whose power of the dimension is uniform. */
export function addPointOfBall(x: Float32Array, norm: Norm, epsilon: number, random: Random): void {
  if (norm === "linf") {
    for (let k = 0; k < x.length; k++) x[k]! += epsilon * (2 * random.uniform() - 1);
    return;
  }
  const direction = Float64Array.from(x, () => random.normal());
  const norm2 = Math.sqrt(direction.reduce((sum, value) => sum + value * value, 0));
  const radius = epsilon * random.uniform() ** (1 / x.length);
  for (let k = 0; k < x.length; k++) x[k]! += (radius / norm2) * direction[k]!;
}
