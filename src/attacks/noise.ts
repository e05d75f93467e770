import { z } from "zod";
import type { Random } from "../core/random.ts";
import { type AttackDefinition, defineAttack } from "./attack.ts";
import { type Distance, projectOntoBall } from "./distance.ts";
import { addPointOfBall } from "./pgd.ts";
import type { Problem } from "./problem.ts";
import { indices, row, takeRows } from "./rows.ts";

// Random noise: the weakest baseline. What noise breaks needs no attack.

const kinds = ["uniform", "gaussian", "salt"] as const;
type Kind = (typeof kinds)[number];

const distanceOf: Readonly<Record<Kind, Distance>> = { uniform: "linf", gaussian: "l2", salt: "l0" };

export const noise: AttackDefinition = defineAttack({
  name: "noise",
  about: "random noise, tried several times: the weakest baseline, for decisions alone",
  source: "as in Rauber et al. 2020 (Foolbox)",
  settings: z.strictObject({
    kind: z
      .enum(kinds)
      .default("uniform")
      .describe(
        "uniform: within epsilon (linf); gaussian: in a random direction, at most epsilon long (l2); salt: epsilon pixels black or white (l0)",
      ),
    tries: z.int().min(1).default(100).describe("draws per sample, of which the first success counts"),
  }),
  create: ({ kind, tries }) => ({
    kind: "fixed-epsilon",
    distance: distanceOf[kind],
    needs: "decisions",
    perturb: (problem, epsilon) => draw(problem, epsilon, kind, tries),
  }),
});

/** The last draw where none succeeds. */
async function draw(problem: Problem, epsilon: number, kind: Kind, tries: number): Promise<Float32Array> {
  const { size } = problem;
  const made = problem.images.slice();
  const randoms = indices(problem.count).map((sample) => problem.random(sample, "noise"));
  let rows = indices(problem.count);
  for (let attempt = 0; attempt < tries && rows.length > 0; attempt++) {
    const x = takeRows(problem.images, size, rows);
    rows.forEach((sample, i) => {
      disturb(row(x, size, i), row(problem.images, size, sample), problem, epsilon, kind, randoms[sample]!);
    });
    for (const [i, sample] of rows.entries()) made.set(row(x, size, i), sample * size);
    const { isAdversarial } = await problem.score(rows, x);
    rows = rows.filter((_, i) => isAdversarial[i] === 0);
    problem.progress(rows.length);
  }
  return made;
}

/** In l2 clipping to [0, 1] comes last and makes the noise shorter than epsilon. */
function disturb(x: Float32Array, original: Float32Array, problem: Problem, epsilon: number, kind: Kind, random: Random): void {
  if (kind === "salt") {
    const pixels = problem.shape.height * problem.shape.width;
    const chosen = random.permutation(pixels).subarray(0, Math.floor(epsilon));
    for (const pixel of chosen) {
      const value = random.below(2);
      for (let k = pixel; k < x.length; k += pixels) x[k] = value;
    }
    return;
  }
  const distance = kind === "uniform" ? "linf" : "l2";
  addPointOfBall(x, distance, epsilon, random);
  projectOntoBall(x, original, distance, epsilon);
}
