import { z } from "zod";
import { UserError } from "../core/errors.ts";
import type { Random } from "../core/random.ts";
import { type AttackDefinition, defineAttack } from "./attack.ts";
import { type ImageShape, norms } from "./distance.ts";
import type { Problem } from "./problem.ts";
import { indices, row } from "./rows.ts";
import { scoreLoss, scoreLosses } from "./score-loss.ts";
import { addBumps, hasRoomForBumps, moveBump } from "./square-l2.ts";

const settings = z.strictObject({
  norm: z.enum(norms).default("linf").describe("norm that bounds the perturbation"),
  queries: z.int().min(1).default(5000).describe("queries per image at most"),
  share: z.number().positive().max(1).default(0.05).describe("share of the image that the first squares cover (p)"),
  loss: z.enum(scoreLosses).default("margin").describe("what each square must make larger; accepted: being wrong and accepted"),
});

export const square: AttackDefinition = defineAttack({
  name: "square",
  about: "random squares at the border of the ball, by scores alone",
  source: "Andriushchenko, Croce, Flammarion & Hein 2020",
  settings,
  create: (chosen) => ({
    kind: "fixed-epsilon",
    distance: chosen.norm,
    needs: "scores",
    isAdaptive: chosen.loss === "accepted",
    perturb: (problem, epsilon) => throwSquares(problem, epsilon, chosen),
  }),
});

interface Target {
  readonly sample: number;
  readonly random: Random;
  /** Of the image returned so far; the image itself is in the result. */
  loss: number;
}

/**
 * The first image has vertical stripes of +-epsilon; each query then sets a square, of a share of the image that shrinks with the queries, to
 * one of +-epsilon per channel, and is kept when the loss is larger. In l2 bumps take the place of stripes and squares (square-l2.ts). A sample is finished when it meets the criterion.
 * Differs from the authors' code in that a square may touch the last row and column.
 */
async function throwSquares(
  problem: Problem,
  epsilon: number,
  { norm, queries, share, loss }: z.output<typeof settings>,
): Promise<Float32Array> {
  const { size, shape, images, model } = problem;
  if (norm === "l2" && !hasRoomForBumps(shape)) {
    throw new UserError(`square: in l2 it needs images of 2 x 2 pixels or more, the model takes ${shape.height} x ${shape.width}`);
  }
  const [begin, move] = norm === "linf" ? [addStripes, addSquare] : [addBumps, moveBump];
  const result = images.slice();
  let open = indices(problem.count).map(
    (sample): Target => ({ sample, random: problem.random(sample, "squares"), loss: Number.NEGATIVE_INFINITY }),
  );
  for (let query = 0; query < queries && open.length > 0; query++) {
    const side = Math.round(Math.sqrt(shareAt(share, query / queries) * shape.height * shape.width));
    const x = new Float32Array(open.length * size);
    for (const [i, { sample, random }] of open.entries()) {
      const candidate = row(x, size, i);
      const original = row(images, size, sample);
      candidate.set(row(result, size, sample));
      if (query === 0) begin(candidate, original, shape, epsilon, random);
      else move(candidate, original, shape, { epsilon, side, random });
    }
    const { isAdversarial, classLogLikelihoods } = await problem.score(
      open.map(({ sample }) => sample),
      x,
    );
    const losses = scoreLoss(
      loss,
      model,
      classLogLikelihoods,
      open.map(({ sample }) => problem.goal(sample)),
    );
    for (const [i, target] of open.entries()) {
      if (isAdversarial[i] !== 1 && !(losses[i]! > target.loss)) continue;
      target.loss = losses[i]!;
      result.set(row(x, size, i), target.sample * size);
    }
    open = open.filter((_, i) => isAdversarial[i] !== 1);
    problem.progress(open.length);
  }
  return result;
}

/** Share of the image that a square covers after a part of all queries: halved at 10, 50, 200, 500, 1000, 2000, 4000, 6000 and 8000 of 10000. */
function shareAt(first: number, part: number): number {
  const halvings = [10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000].filter((after) => part * 10000 > after).length;
  return first / 2 ** halvings;
}

const signOf = (random: Random): number => (random.uniform() < 0.5 ? -1 : 1);
const bounded = (value: number): number => Math.min(1, Math.max(0, value));

function addStripes(x: Float32Array, original: Float32Array, shape: ImageShape, epsilon: number, random: Random): void {
  const { channels, height, width } = shape;
  for (let channel = 0; channel < channels; channel++) {
    for (let column = 0; column < width; column++) {
      const change = epsilon * signOf(random);
      for (let k = channel * height * width + column; k < (channel + 1) * height * width; k += width) x[k] = bounded(original[k]! + change);
    }
  }
}

/** Draws signs again, a few times, when the square is as it was: that query would tell nothing. */
const mostDraws = 10;

function addSquare(
  x: Float32Array,
  original: Float32Array,
  { channels, height, width }: ImageShape,
  { epsilon, side: wanted, random }: { readonly epsilon: number; readonly side: number; readonly random: Random },
): void {
  const length = Math.max(1, Math.min(wanted, height, width));
  const [top, left] = [random.below(height - length + 1), random.below(width - length + 1)];
  let isChanged = false;
  for (let draw = 0; draw < mostDraws && !isChanged; draw++) {
    for (let channel = 0; channel < channels; channel++) {
      const change = epsilon * signOf(random);
      for (let y = top; y < top + length; y++) {
        for (let column = left; column < left + length; column++) {
          const k = (channel * height + y) * width + column;
          const value = Math.fround(bounded(original[k]! + change));
          if (value !== x[k]) isChanged = true;
          x[k] = value;
        }
      }
    }
  }
}
