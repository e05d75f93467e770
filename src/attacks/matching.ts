import { z } from "zod";
import { UserError } from "../core/errors.ts";
import { halvingSteps } from "./apgd.ts";
import { type AttackDefinition, defineAttack, type FixedEpsilonAttack } from "./attack.ts";
import { bestOfRounds, nearestClasses, type Round } from "./combine.ts";
import type { Norm } from "./distance.ts";
import { ascend, ascentSettings } from "./pgd.ts";
import type { Problem } from "./problem.ts";
import { indices, row } from "./rows.ts";

// Representation matching: moves z to where another class is at home, so that neither the decision nor the threshold sees a difference.

interface MatchingSettings {
  readonly norm: Norm;
  readonly steps: number;
  readonly earlyStop: boolean;
}

const common = {
  norm: ascentSettings.norm,
  steps: z.int().min(1).default(100).describe("gradient steps towards each anchor"),
  earlyStop: ascentSettings.earlyStop,
};

export const matchMean: AttackDefinition = defineAttack({
  name: "match-mean",
  about: "moves the representation to the mean of a wrong class (SDIM models only)",
  source: "after Sabour et al. 2016, with the class means of Lu et al. for guides",
  settings: z.strictObject({
    ...common,
    classes: z.int().min(1).default(3).describe("untargeted: how many of the nearest wrong classes to try, one after another"),
  }),
  create: ({ classes, ...settings }) => matching(settings, (problem) => meansOfClasses(problem, classes)),
});

export const matchSample: AttackDefinition = defineAttack({
  name: "match-sample",
  about: "moves the representation to that of a clean, accepted image of a wrong class",
  source: "Sabour et al. 2016",
  settings: z.strictObject({
    ...common,
    guides: z.int().min(1).default(5).describe("how many of the nearest guides to try, one after another"),
  }),
  create: ({ guides, ...settings }) => ({ ...matching(settings, (problem) => nearestGuides(problem, guides)), usesGuides: true }),
});

/** Per sample the representations to move to, the most promising first, [N][.][d]. */
type Anchors = (problem: Problem) => Promise<(readonly Float32Array[])[]>;

/** Its steps are those of Auto-PGD, from the image itself. */
const matching = (settings: MatchingSettings, anchorsOf: Anchors): Omit<FixedEpsilonAttack, "name" | "settings"> => ({
  kind: "fixed-epsilon",
  distance: settings.norm,
  needs: "gradients",
  isAdaptive: true,
  perturb: async (problem, epsilon) => {
    const anchors = await anchorsOf(problem);
    const { dimension } = problem.model;
    const rounds = indices(Math.max(0, ...anchors.map(({ length }) => length))).map((rank): Round => {
      const takesPart = (sample: number) => anchors[sample]!.length > rank;
      const perturb = (part: Problem, rows: readonly number[]) => {
        const towards = new Float32Array(rows.length * dimension);
        for (const [i, sample] of rows.entries()) towards.set(anchors[sample]![rank]!, i * dimension);
        const pursuit = { objective: { kind: "matching" }, anchors: towards } as const;
        const ascent = { ...settings, randomStart: false, restarts: 1 };
        return ascend(part, epsilon, ascent, pursuit, () => halvingSteps(part, epsilon, settings));
      };
      return { purpose: `anchor ${rank}`, takesPart, perturb };
    });
    return bestOfRounds(problem, rounds);
  },
});

async function meansOfClasses(problem: Problem, count: number): Promise<Float32Array[][]> {
  const { classMeans, dimension } = problem.model;
  if (!classMeans) {
    throw new UserError("match-mean: needs class means, a discriminative model has none; take match-sample");
  }
  const { targets } = problem;
  const classes = targets ? Array.from(targets, (target) => [target]) : await nearestClasses(problem, count);
  return classes.map((wanted) => wanted.map((c) => row(classMeans, dimension, c)));
}

/**
 * Guides are right and accepted as they are; those of the class wanted (untargeted: of all wrong classes) nearest in representation come
 * first. Scoring the guides is nobody's query. Errors: UserError when a sample has no guide.
 */
async function nearestGuides(problem: Problem, count: number): Promise<Float32Array[][]> {
  const { model, guides, labels, targets } = problem;
  const { dimension } = model;
  const scored = await model.score(guides.images);
  const usable = indices(guides.labels.length).filter((i) => scored.labels[i] === guides.labels[i] && scored.accepted[i] === 1);
  const all = indices(problem.count);
  const { representations } = await problem.score(all, problem.images);
  return all.map((sample) => {
    const target = targets?.[sample];
    const isWanted = (c: number) => (target === undefined ? c !== labels[sample] : c === target);
    const candidates = usable.filter((i) => isWanted(guides.labels[i]!));
    if (candidates.length === 0) {
      const wanted = target === undefined ? `a class other than ${labels[sample]}` : `class ${target}`;
      throw new UserError(
        `match-sample: none of ${guides.labels.length} guides is an image of ${wanted} that the model classifies correctly and accepts; give more`,
      );
    }
    const own = row(representations, dimension, sample);
    const distances = new Map(candidates.map((i) => [i, squaredDistance(own, row(scored.representations, dimension, i))]));
    const nearest = candidates.sort((a, b) => distances.get(a)! - distances.get(b)!).slice(0, count);
    return nearest.map((i) => row(scored.representations, dimension, i));
  });
}

const squaredDistance = (a: Float32Array, b: Float32Array): number => a.reduce((sum, value, k) => sum + (value - b[k]!) ** 2, 0);
