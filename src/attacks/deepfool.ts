import { z } from "zod";
import { type AttackDefinition, defineAttack } from "./attack.ts";
import type { ScoresWithGradient } from "./model.ts";
import type { Problem } from "./problem.ts";
import { indices, row, takeRows } from "./rows.ts";

interface DeepFoolSettings {
  readonly steps: number;
  readonly candidates: number;
  readonly overshoot: number;
}

export const deepfool: AttackDefinition = defineAttack({
  name: "deepfool",
  about: "steps to the nearest class boundary of the scores, taken for linear",
  source: "Moosavi-Dezfooli, Fawzi & Frossard 2016",
  settings: z.strictObject({
    steps: z.int().min(1).default(50).describe("linearisations"),
    candidates: z.int().min(2).default(10).describe("classes considered: the own one and the likeliest others"),
    overshoot: z.number().min(0).default(0.02).describe("part of each step by which it goes beyond the boundary"),
  }),
  create: (settings) => ({
    kind: "minimal",
    distance: "l2",
    needs: "gradients",
    perturb: (problem) => fool(problem, settings),
  }),
});

/**
 * With f_k = s_k - s_y and w_k its gradient, the linear boundary with class k is |f_k| / |w_k| away, along w_k:
 *   l = argmin_k |f_k| / |w_k|;   x <- x + (1 + overshoot) |f_l| / |w_l|^2 w_l, clipped to [0, 1]   (Algorithm 2)
 * until the class has changed. Targeted, the one boundary that counts is the target's with the class that wins. A reject rule plays no part.
 */
async function fool(problem: Problem, { steps, candidates, overshoot }: DeepFoolSettings): Promise<Float32Array> {
  const { size, images, labels, targets } = problem;
  const x = images.slice();
  let rows = indices(problem.count);
  const perSample = targets ? 1 : Math.min(candidates, problem.model.classes) - 1;
  const boundariesAt = targets ? boundaryOfTarget(problem) : await boundariesWithRivals(problem, perSample);
  for (let step = 0; step <= steps && rows.length > 0; step++) {
    const result = await boundariesAt(rows, x);
    const hasChanged = (i: number) => {
      const label = result.labels[i * perSample];
      return targets ? label === targets[rows[i]!] : label !== labels[rows[i]!];
    };
    const open = indices(rows.length).filter((i) => !hasChanged(i));
    problem.progress(open.length);
    if (step === steps) break;
    for (const i of open) {
      const nearest = nearestBoundary(result.objective, result.gradient, size, i * perSample, perSample);
      if (!nearest) continue;
      const image = row(x, size, rows[i]!);
      const length = (1 + overshoot) * nearest.length;
      for (let k = 0; k < size; k++) image[k] = Math.min(1, Math.max(0, image[k]! + length * nearest.direction[k]!));
    }
    rows = open.map((i) => rows[i]!);
  }
  const final = await problem.score(indices(problem.count), x);
  for (let sample = 0; sample < problem.count; sample++) {
    if (final.isAdversarial[sample] === 0) row(x, size, sample).set(row(images, size, sample));
  }
  return x;
}

/** Differences of scores and their gradients: of the samples `rows` of all images `x`, some boundaries each. */
type Boundaries = (rows: readonly number[], x: Float32Array) => Promise<ScoresWithGradient>;

const boundaryOfTarget =
  (problem: Problem): Boundaries =>
  (rows, x) =>
    problem.gradient({ kind: "margin", targeted: true }, rows, takeRows(x, problem.size, rows));

/** With each of the `count` classes that were likeliest at first, of all samples in one go. */
async function boundariesWithRivals(problem: Problem, count: number): Promise<Boundaries> {
  const { size, labels } = problem;
  const { classes } = problem.model;
  const all = indices(problem.count);
  const clean = await problem.score(all, problem.images);
  const rivals = all.map((sample) => likeliest(row(clean.classLogLikelihoods, classes, sample), labels[sample]!, count));
  return (rows, x) => {
    const tiled = rows.flatMap((sample) => rivals[sample]!.map(() => sample));
    const classWeights = new Float32Array(tiled.length * classes);
    for (const [i, sample] of tiled.entries()) {
      classWeights[i * classes + rivals[sample]![i % count]!] = 1;
      classWeights[i * classes + labels[sample]!] = -1;
    }
    return problem.gradient({ kind: "weighted" }, tiled, takeRows(x, size, tiled), { classWeights });
  };
}

/** The `count` likeliest classes other than `own`. */
const likeliest = (scores: Float32Array, own: number, count: number): number[] =>
  indices(scores.length)
    .filter((c) => c !== own)
    .sort((a, b) => scores[b]! - scores[a]!)
    .slice(0, count);

/** Of the rows from `start` on; `length` times `direction` leads to the boundary. None where all gradients are zero. */
function nearestBoundary(differences: Float32Array, gradients: Float32Array, size: number, start: number, count: number) {
  let nearest: { readonly length: number; readonly direction: Float32Array } | undefined;
  let shortest = Number.POSITIVE_INFINITY;
  for (let i = start; i < start + count; i++) {
    const direction = row(gradients, size, i);
    const squares = direction.reduce((sum, value) => sum + value * value, 0);
    if (squares === 0) continue;
    // A hair more than the gap, as the boundary itself belongs to neither class.
    const gap = Math.abs(differences[i]!) * (1 + 1e-5) + 1e-6;
    const distance = gap / Math.sqrt(squares);
    if (distance >= shortest) continue;
    shortest = distance;
    nearest = { length: gap / squares, direction };
  }
  return nearest;
}
