import { z } from "zod";
import { type AttackDefinition, defineAttack } from "./attack.ts";
import { type Norm, norms } from "./distance.ts";
import { classesInOrder } from "./nearest-classes.ts";
import { moveAlong } from "./pgd.ts";
import type { Problem } from "./problem.ts";
import { indices, row, slices, takeRows } from "./rows.ts";

// The nearest adversarial if scores were linear, again and again from where that leads.

interface Settings {
  readonly norm: Norm;
  readonly candidates: number;
  readonly overshoot: number;
  readonly steps: number;
}

export const deepfool: AttackDefinition = defineAttack({
  name: "deepfool",
  about: "steps to the nearest boundary of the linearised scores",
  source: "Moosavi-Dezfooli, Fawzi & Frossard 2016",
  settings: z.strictObject({
    norm: z.enum(norms).default("l2").describe("norm in which it looks for the nearest boundary"),
    candidates: z
      .int()
      .min(2)
      .default(10)
      .describe("classes looked at: the true one and the likeliest others of the original; not in a targeted attack"),
    overshoot: z.number().min(0).default(0.02).describe("part of the perturbation added to cross the boundary"),
    steps: z.int().min(1).default(50).describe("linearisations at most"),
  }),
  create: (settings) => ({
    kind: "minimal",
    distance: settings.norm,
    needs: "gradients",
    perturb: async (problem) => {
      const made = problem.images.slice();
      for (const group of slices(problem.count, groupSize)) {
        await walk(problem, group, made, settings);
        problem.progress(problem.count - group.at(-1)! - 1);
      }
      return made;
    },
  }),
});

/** Samples worked on at once, each with a gradient per candidate class. */
const groupSize = 64;

/** Added to every step, so that one close to a boundary does not stop short of it; as in the authors' code. */
const leastStep = 1e-4;

/**
 *   r_i = the shortest step on which a linear f_k reaches 0, of length |f_k| / |w_k|*,   over classes k, with f_k = s_k - s_y at x_i and
 *   w_k its gradient;   x_{i+1} = x_0 + (1 + overshoot) sum_j r_j, clipped to [0, 1]
 * until the class changes, whether or not that is all the criterion asks; |.|* is the dual norm. A targeted attack has the target as its only k, and as y the class that wins at x_i.
 */
async function walk(problem: Problem, group: readonly number[], made: Float32Array, settings: Settings): Promise<void> {
  const { size, labels, targets } = problem;
  const x = takeRows(problem.images, size, group);
  const total = new Float32Array(x.length);
  const candidates: (readonly number[])[] = [];
  let open = indices(group.length);
  for (let step = 0; open.length > 0; step++) {
    const scores = await problem.score(
      open.map((i) => group[i]!),
      takeRows(x, size, open),
    );
    const ways: Way[] = [];
    for (const [at, i] of open.entries()) {
      const [sample, winner] = [group[i]!, scores.labels[at]!];
      if (targets ? winner === targets[sample] : winner !== labels[sample]) {
        if (scores.isAdversarial[at] === 1) made.set(row(x, size, i), sample * size);
        continue;
      }
      if (step === 0)
        candidates[i] = targets
          ? [targets[sample]!]
          : classesInOrder(problem.model, scores, at, scores.labels[at]!).slice(0, settings.candidates - 1);
      ways.push(...candidates[i]!.map((to) => ({ i, from: winner, to })));
    }
    if (step === settings.steps || ways.length === 0) return;
    const slopes = await slopesOf(problem, group, x, ways);
    const nearest = new Map<number, { readonly distance: number; readonly slope: Float32Array }>();
    for (const [at, { i }] of ways.entries()) {
      const slope = row(slopes.gradient, size, at);
      const distance = slopes.gaps[at]! / dualNorm(slope, settings.norm);
      // A slope of zero leads nowhere; a sample with no other stays as it was.
      if (distance < (nearest.get(i)?.distance ?? Number.POSITIVE_INFINITY)) nearest.set(i, { distance, slope });
    }
    for (const [i, { distance, slope }] of nearest) {
      const moved = row(total, size, i);
      moveAlong(moved, slope, settings.norm, distance + leastStep);
      const original = row(problem.images, size, group[i]!);
      for (let k = 0; k < size; k++) x[i * size + k] = Math.min(1, Math.max(0, original[k]! + (1 + settings.overshoot) * moved[k]!));
    }
    open = [...nearest.keys()];
    problem.progress(problem.count - group[0]!);
  }
}

/** A boundary to look at: between the class that wins at row i of a group and another. */
interface Way {
  readonly i: number;
  readonly from: number;
  readonly to: number;
}

/** |s_to - s_from|, [ways], and its gradient [ways, size]. */
async function slopesOf(problem: Problem, group: readonly number[], x: Float32Array, ways: readonly Way[]) {
  const { classes, logPriors } = problem.model;
  const classWeights = new Float32Array(ways.length * classes);
  for (const [at, { from, to }] of ways.entries()) {
    classWeights[at * classes + to] = 1;
    classWeights[at * classes + from] = -1;
  }
  const rows = ways.map(({ i }) => i);
  const { gradient, objective } = await problem.gradient(
    { kind: "weighted" },
    rows.map((i) => group[i]!),
    takeRows(x, problem.size, rows),
    { classWeights },
  );
  const prior = (c: number) => logPriors?.[c] ?? 0;
  return { gradient, gaps: ways.map(({ from, to }, at) => Math.abs(objective[at]! + prior(to) - prior(from))) };
}

/** What bounds slope . r by the length of r: the L1 norm in linf, the L2 norm in l2. */
function dualNorm(slope: Float32Array, norm: Norm): number {
  return norm === "linf"
    ? slope.reduce((sum, value) => sum + Math.abs(value), 0)
    : Math.sqrt(slope.reduce((sum, value) => sum + value * value, 0));
}
