import { z } from "zod";
import type { Random } from "../core/random.ts";
import { type AttackDefinition, defineAttack, type FixedEpsilonAttack } from "./attack.ts";
import { type Norm, norms, projectOntoBall } from "./distance.ts";
import { type AttackLoss, losses } from "./objectives.ts";
import type { Problem } from "./problem.ts";
import { indices, row, takeRows } from "./rows.ts";

// Gradient ascent within a ball: one step (FGSM), several (BIM), several from random points of it (PGD).

interface AscentSettings {
  readonly norm: Norm;
  readonly loss: AttackLoss;
  readonly steps: number;
  /** Length of a step as a part of epsilon. */
  readonly relativeStepSize: number;
  readonly randomStart: boolean;
  readonly restarts: number;
  /** Whether a sample is left alone once it meets the criterion. */
  readonly earlyStop: boolean;
}

const common = {
  norm: z.enum(norms).default("linf").describe("norm that bounds the perturbation"),
  loss: z.enum(losses).default("cross-entropy").describe("what each step makes larger; accepted: being wrong and accepted"),
  earlyStop: z.boolean().default(true).describe("whether a sample is left alone once it is adversarial"),
};
const stepping = (steps: number, relativeStepSize: number) => ({
  steps: z.int().min(1).default(steps).describe("gradient steps"),
  relativeStepSize: z.number().positive().default(relativeStepSize).describe("length of a step as a part of epsilon"),
});

export const fgsm: AttackDefinition = defineAttack({
  name: "fgsm",
  about: "one step along the gradient (its sign in linf)",
  source: "Goodfellow, Shlens & Szegedy 2015",
  settings: z.strictObject({ norm: common.norm, loss: common.loss }),
  create: (settings) => ascent({ ...settings, steps: 1, relativeStepSize: 1, randomStart: false, restarts: 1, earlyStop: true }),
});

export const bim: AttackDefinition = defineAttack({
  name: "bim",
  about: "gradient steps from the image itself, projected onto the ball",
  source: "Kurakin, Goodfellow & Bengio 2017",
  settings: z.strictObject({ ...common, ...stepping(10, 0.2) }),
  create: (settings) => ascent({ ...settings, randomStart: false, restarts: 1 }),
});

export const pgd: AttackDefinition = defineAttack({
  name: "pgd",
  about: "gradient steps from random points of the ball, projected onto it",
  source: "Madry et al. 2018",
  settings: z.strictObject({
    ...common,
    ...stepping(40, 1 / 40),
    restarts: z.int().min(1).default(1).describe("random starts, of which each sample's best counts"),
  }),
  create: (settings) => ascent({ ...settings, randomStart: true }),
});

const ascent = (settings: AscentSettings): Omit<FixedEpsilonAttack, "name" | "settings"> => ({
  kind: "fixed-epsilon",
  distance: settings.norm,
  needs: "gradients",
  perturb: (problem, epsilon) => ascend(problem, epsilon, settings),
});

/**
 *   x_0 = original (+ a random point of the ball);  x_{k+1} = P(x_k + step u(grad J(x_k)))
 * with u the sign (linf) or the unit vector (l2), P the projection onto the ball and [0, 1]. Of a sample's iterates the one with the
 * largest objective is returned, and one that meets the criterion before any that does not.
 */
async function ascend(problem: Problem, epsilon: number, settings: AscentSettings): Promise<Float32Array> {
  const { size } = problem;
  const objective = { kind: settings.loss, targeted: problem.isTargeted } as const;
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
      const judged = await problem.gradient(objective, rows, x);
      keep(rows, x, judged);
      const left = indices(rows.length).filter((i) => isOpen(rows[i]!));
      const gradient = takeRows(judged.gradient, size, left);
      x = takeRows(x, size, left);
      rows = left.map((i) => rows[i]!);
      problem.progress(rows.length);
      if (step === settings.steps) break;
      rows.forEach((sample, i) => {
        const image = row(x, size, i);
        moveAlong(image, row(gradient, size, i), settings.norm, settings.relativeStepSize * epsilon);
        projectOntoBall(image, row(problem.images, size, sample), settings.norm, epsilon);
      });
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
function addPointOfBall(x: Float32Array, norm: Norm, epsilon: number, random: Random): void {
  if (norm === "linf") {
    for (let k = 0; k < x.length; k++) x[k]! += epsilon * (2 * random.uniform() - 1);
    return;
  }
  const direction = Float64Array.from(x, () => random.normal());
  const norm2 = Math.sqrt(direction.reduce((sum, value) => sum + value * value, 0));
  const radius = epsilon * random.uniform() ** (1 / x.length);
  for (let k = 0; k < x.length; k++) x[k]! += (radius / norm2) * direction[k]!;
}
