import { z } from "zod";
import { type AttackDefinition, defineAttack } from "./attack.ts";
import { classesInOrder } from "./nearest-classes.ts";
import type { Problem } from "./problem.ts";
import { indices, row } from "./rows.ts";

const settings = z.strictObject({
  theta: z
    .number()
    .min(-1)
    .max(1)
    .refine((value) => value !== 0, "expected a change other than 0")
    .default(1)
    .describe("change of a chosen value; below 0 values are only made smaller"),
  gamma: z.number().positive().max(1).default(0.145).describe("changes at most, as a share of the number of values in an image"),
});

export const jsma: AttackDefinition = defineAttack({
  name: "jsma",
  about: "changes pairs of values that gradients say raise the target class and lower the others (saliency maps)",
  source: "Papernot et al. 2016",
  settings,
  create: (chosen) => ({ kind: "minimal", distance: "l0", needs: "gradients", perturb: (problem) => perturb(problem, chosen) }),
});

interface Sample {
  readonly sample: number;
  readonly target: number;
  readonly image: Float32Array;
  /** Values that may still be changed: not at the end of the range. */
  readonly domain: Set<number>;
  changed: number;
}

/**
 * Each round changes the pair of values (p, q) with the largest -alpha beta, where alpha > 0 is the sum of the target's gradient over the pair
 * and beta < 0 that of the sum of all other classes (Algorithm 3). The gradients are those of class log-likelihoods: of posteriors the two
 * would be opposite. A sample for which no pair is left is given up. Without a target the runner-up is it.
 */
async function perturb(problem: Problem, { theta, gamma }: z.output<typeof settings>): Promise<Float32Array> {
  const { size } = problem;
  const result = problem.images.slice();
  const all = indices(problem.count);
  const clean = problem.isTargeted ? undefined : await problem.score(all, problem.images);
  const targetOf = (sample: number): number => {
    const { label, target } = problem.goal(sample);
    if (target !== undefined) return target;
    return classesInOrder(problem.model, clean!, sample, label)[0]!;
  };
  let open = all.map((sample): Sample => {
    const image = row(problem.images, size, sample).slice();
    const domain = new Set(indices(size).filter((k) => (theta > 0 ? image[k]! < 1 : image[k]! > 0)));
    return { sample, target: targetOf(sample), image, domain, changed: 0 };
  });
  while (open.length > 0) {
    const ofTarget = await gradientOf(problem, open, Number);
    for (const [i, { sample, image }] of open.entries()) if (ofTarget.isAdversarial[i] === 1) result.set(image, sample * size);
    const going = indices(open.length).filter((i) => ofTarget.isAdversarial[i] !== 1 && open[i]!.changed + 2 <= Math.max(2, gamma * size));
    if (going.length === 0) break;
    const left = going.map((i) => open[i]!);
    const ofOthers = await gradientOf(problem, left, (isTarget) => Number(!isTarget));
    open = left.flatMap((sample, at) => {
      const pair = mostSalient(sample.domain, row(ofTarget.gradient, size, going[at]!), row(ofOthers.gradient, size, at), Math.sign(theta));
      if (!pair) return [];
      for (const k of pair) {
        const value = sample.image[k]! + theta;
        sample.image[k] = Math.min(1, Math.max(0, value));
        if (value >= 1 || value <= 0) sample.domain.delete(k);
      }
      return [{ ...sample, changed: sample.changed + 2 }];
    });
    problem.progress(open.length);
  }
  return result;
}

/** Gradient of the log-likelihoods of some classes, at the samples as they are now, and who is adversarial. */
function gradientOf(problem: Problem, samples: readonly Sample[], weight: (isTarget: boolean) => number) {
  const { size } = problem;
  const x = new Float32Array(samples.length * size);
  for (const [i, { image }] of samples.entries()) x.set(image, i * size);
  const classWeights = Float32Array.from(samples.flatMap(({ target }) => indices(problem.model.classes).map((c) => weight(c === target))));
  return problem.gradient(
    { kind: "weighted" },
    samples.map(({ sample }) => sample),
    x,
    { classWeights },
  );
}

/** The pair of values of the domain with the largest -alpha beta; none where no pair raises the target and lowers the others. */
function mostSalient(domain: ReadonlySet<number>, target: Float32Array, others: Float32Array, sign: number): [number, number] | undefined {
  const values = [...domain];
  const raises = Float64Array.from(values, (k) => sign * target[k]!);
  const lowers = Float64Array.from(values, (k) => -sign * others[k]!);
  let best = 0;
  let pair: [number, number] | undefined;
  for (let p = 0; p < values.length; p++) {
    const [raised, lowered] = [raises[p]!, lowers[p]!];
    for (let q = p + 1; q < values.length; q++) {
      const alpha = raised + raises[q]!;
      const beta = lowered + lowers[q]!;
      if (alpha > 0 && beta > 0 && alpha * beta > best) {
        best = alpha * beta;
        pair = [values[p]!, values[q]!];
      }
    }
  }
  return pair;
}
