import { z } from "zod";
import { type AttackDefinition, defineAttack } from "./attack.ts";
import { overTargets } from "./combine.ts";
import { type Norm, projectOntoBall } from "./distance.ts";
import { ascend, ascentSettings, type Move, moveAlong, restartsSetting, targetsSetting } from "./pgd.ts";
import type { Problem } from "./problem.ts";
import { row } from "./rows.ts";

// Auto-PGD: gradient ascent with momentum whose steps begin at twice epsilon and halve, per sample, where they no longer help.

export const apgd: AttackDefinition = defineAttack({
  name: "apgd",
  about: "gradient steps with momentum that halve by themselves (Auto-PGD): no step size to choose",
  source: "Croce & Hein 2020",
  settings: z.strictObject({
    ...ascentSettings,
    steps: z.int().min(1).default(100).describe("gradient steps"),
    restarts: restartsSetting,
    targets: targetsSetting,
  }),
  create: ({ targets, loss, ...settings }) => {
    const attack = {
      kind: "fixed-epsilon",
      distance: settings.norm,
      needs: "gradients",
      isAdaptive: loss === "accepted",
      perturb: (problem: Problem, epsilon: number) => {
        const objective = { kind: loss, targeted: problem.isTargeted } as const;
        const startMoving = () => halvingSteps(problem, epsilon, settings);
        return ascend(problem, epsilon, { ...settings, randomStart: true }, { objective }, startMoving);
      },
    } as const;
    return targets > 0 ? overTargets(attack, targets) : attack;
  },
});

/** Part of a step's direction that is new; the rest is momentum. */
const alpha = 0.75;
/** Part of the steps between two checkpoints that must help for the length to stay. */
const rho = 0.75;

interface Climber {
  length: number;
  /** x_{k-1} */
  previous: Float32Array;
  /** Value at x_{k-1}. */
  lastValue: number;
  /** Steps since the last checkpoint that made the objective larger. */
  gains: number;
  best: { value: number; image: Float32Array; gradient: Float32Array };
  /** Best value at the last checkpoint, and whether the length was halved there. */
  checkpoint: { value: number; halved: boolean };
}

/**
 *   z = P(x_k + eta u(grad J(x_k)));  x_{k+1} = P(x_k + alpha (z - x_k) + (1 - alpha) (x_k - x_{k-1}));  eta_0 = 2 epsilon
 * At checkpoints w_j eta halves, and the search goes back to the best point so far, when fewer than rho (w_j - w_{j-1}) steps made J larger,
 * or when neither eta nor the best value has changed since w_{j-1}   (Croce & Hein 2020, Algorithm 1)
 * Unlike there, the start is a random point of the whole ball.
 */
export function halvingSteps(problem: Problem, epsilon: number, { norm, steps }: { readonly norm: Norm; readonly steps: number }): Move {
  const checkpoints = checkpointsOf(steps);
  const climbers = new Map<number, Climber>();
  return (sample, image, gradient, value, step) => {
    const original = row(problem.images, problem.size, sample);
    const climber = climbers.get(sample) ?? startingAt(image, gradient, value, 2 * epsilon);
    climbers.set(sample, climber);
    if (value > climber.lastValue) climber.gains++;
    climber.lastValue = value;
    if (value > climber.best.value) climber.best = { value, image: image.slice(), gradient: gradient.slice() };
    const interval = checkpoints.get(step);
    let slope = gradient;
    if (interval !== undefined) {
      const { best, checkpoint } = climber;
      const halved = climber.gains < rho * interval || (!checkpoint.halved && best.value === checkpoint.value);
      if (halved) {
        climber.length /= 2;
        image.set(best.image);
        slope = best.gradient;
      }
      climber.checkpoint = { value: best.value, halved };
      climber.gains = 0;
    }
    const from = image.slice();
    moveAlong(image, slope, norm, climber.length);
    projectOntoBall(image, original, norm, epsilon);
    // The first step has no momentum yet.
    if (step > 0) {
      const { previous } = climber;
      for (let k = 0; k < image.length; k++) {
        image[k] = from[k]! + alpha * (image[k]! - from[k]!) + (1 - alpha) * (from[k]! - previous[k]!);
      }
      projectOntoBall(image, original, norm, epsilon);
    }
    climber.previous = from;
  };
}

const startingAt = (image: Float32Array, gradient: Float32Array, value: number, length: number): Climber => ({
  length,
  previous: image.slice(),
  lastValue: value,
  gains: 0,
  best: { value, image: image.slice(), gradient: gradient.slice() },
  checkpoint: { value, halved: false },
});

/** Steps at which to look back, each with the number of steps since the one before: parts 0.22, 0.41, 0.57, .. of all, closer and closer. */
export function checkpointsOf(steps: number): ReadonlyMap<number, number> {
  const found = new Map<number, number>();
  let [interval, at, last] = [0.22, 0.22, 0];
  while (at < 1) {
    // Parts that add up to a whole number of steps but for rounding are one.
    const step = Math.ceil(at * steps - 1e-9);
    if (step > last) found.set(step, step - last);
    last = step;
    interval = Math.max(interval - 0.03, 0.06);
    at += interval;
  }
  return found;
}
