import { z } from "zod";
import { UserError } from "../core/errors.ts";
import { halvingSteps } from "./apgd.ts";
import { type AttackDefinition, defineAttack, type FixedEpsilonAttack } from "./attack.ts";
import { bestOfRounds, type Round } from "./combine.ts";
import type { Norm } from "./distance.ts";
import type { AttackedModel, Scores } from "./model.ts";
import { nearestClasses } from "./nearest-classes.ts";
import type { Objective } from "./objectives.ts";
import { ascend, ascentSettings } from "./pgd.ts";
import { type Guides, NothingToImitate, type Problem } from "./problem.ts";
import { indices, row } from "./rows.ts";

// Representation matching: moves z to where another class is at home, so that neither the decision nor the threshold sees a difference.

const metrics = ["euclidean", "mahalanobis"] as const;

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
    metric: z
      .enum(metrics)
      .default("mahalanobis")
      .describe(
        "distance to the mean; mahalanobis: in each direction by the class's standard deviation there, as its log-likelihood has it",
      ),
    classes: z.int().min(1).default(3).describe("untargeted: how many of the nearest wrong classes to try, one after another"),
  }),
  // -1/2 (z - mu_c)^T Sigma_c^-1 (z - mu_c) is log p(z|c) but for what does not depend on z.
  create: ({ classes, metric, ...settings }) =>
    metric === "euclidean"
      ? matching(settings, toAnchors, (problem) => meansOfClasses(problem, classes))
      : matching(settings, toClass, (problem) => indicatorsOfClasses(problem, classes)),
});

export const matchSample: AttackDefinition = defineAttack({
  name: "match-sample",
  about: "moves the representation to that of a clean, accepted image of a wrong class",
  source: "Sabour et al. 2016",
  settings: z.strictObject({
    ...common,
    guides: z.int().min(1).default(5).describe("how many of the nearest guides to try, one after another"),
  }),
  create: ({ guides, ...settings }) => {
    const scoresOf = scoresOfGuides();
    return { ...matching(settings, toAnchors, (problem) => nearestGuides(problem, guides, scoresOf)), usesGuides: true };
  },
});

/** An objective, and of its inputs the one that says where to. */
interface Aim {
  readonly objective: Objective;
  readonly input: "anchors" | "classWeights";
}

const toAnchors: Aim = { objective: { kind: "matching" }, input: "anchors" };
const toClass: Aim = { objective: { kind: "weighted" }, input: "classWeights" };

/** Per sample the rows of the aim's input to try, the most promising first, [N][.][width]. */
type Goals = (problem: Problem) => Promise<(readonly Float32Array[])[]>;

/** Its steps are those of Auto-PGD, from the image itself. */
const matching = (
  settings: MatchingSettings,
  { objective, input }: Aim,
  goalsOf: Goals,
): Omit<FixedEpsilonAttack, "name" | "settings"> => ({
  kind: "fixed-epsilon",
  distance: settings.norm,
  needs: "gradients",
  isAdaptive: true,
  perturb: async (problem, epsilon) => {
    const goals = await goalsOf(problem);
    const rounds = indices(Math.max(0, ...goals.map(({ length }) => length))).map((rank): Round => {
      const takesPart = (sample: number) => goals[sample]!.length > rank;
      const perturb = (part: Problem, rows: readonly number[]) => {
        const towards = Float32Array.from(rows.flatMap((sample) => Array.from(goals[sample]![rank]!)));
        const pursuit = { objective, inputs: { [input]: towards } };
        const ascent = { ...settings, randomStart: false, restarts: 1 };
        return ascend(part, epsilon, ascent, pursuit, () => halvingSteps(part, epsilon, settings));
      };
      return { purpose: `anchor ${rank}`, takesPart, perturb };
    });
    return bestOfRounds(problem, rounds);
  },
});

async function meansOfClasses(problem: Problem, count: number): Promise<Float32Array[][]> {
  const classMeans = requireMeans(problem);
  const classes = await wantedClasses(problem, count);
  return classes.map((wanted) => wanted.map((c) => row(classMeans, problem.model.dimension, c)));
}

/** 1 at the class, 0 elsewhere: the weights of its log-likelihood alone. */
async function indicatorsOfClasses(problem: Problem, count: number): Promise<Float32Array[][]> {
  requireMeans(problem);
  const classes = await wantedClasses(problem, count);
  return classes.map((wanted) => wanted.map((c) => Float32Array.from({ length: problem.model.classes }, (_, k) => Number(k === c))));
}

function requireMeans({ model: { classMeans } }: Problem): Float32Array {
  if (classMeans) return classMeans;
  throw new UserError("match-mean: needs class means, a discriminative model has none; take match-sample");
}

const wantedClasses = async (problem: Problem, count: number): Promise<readonly number[][]> =>
  problem.targets ? Array.from(problem.targets, (target) => [target]) : nearestClasses(problem, count);

type ScoresOfGuides = (problem: Problem) => Promise<Scores>;

/** Scores guides once for all parts of a set and all epsilons. They are nobody's query. */
function scoresOfGuides(): ScoresOfGuides {
  const known = new WeakMap<Guides, { readonly model: AttackedModel; readonly scores: Scores }>();
  return async ({ model, guides }) => {
    const found = known.get(guides);
    if (found?.model === model) return found.scores;
    const scores = await model.score(guides.images);
    known.set(guides, { model, scores });
    return scores;
  };
}

/**
 * Guides are right and accepted as they are; those of the class wanted (untargeted: of all wrong classes) nearest in representation come
 * first. A sample without any is left as it is. Errors: NothingToImitate when none has one.
 */
async function nearestGuides(problem: Problem, count: number, scoresOf: ScoresOfGuides): Promise<Float32Array[][]> {
  const { model, guides, labels, targets } = problem;
  const { dimension } = model;
  const scored = await scoresOf(problem);
  const usable = indices(guides.labels.length).filter((i) => scored.labels[i] === guides.labels[i] && scored.accepted[i] === 1);
  const all = indices(problem.count);
  const { representations } = await problem.score(all, problem.images);
  const nearest = all.map((sample) => {
    const target = targets?.[sample];
    const isWanted = (c: number) => (target === undefined ? c !== labels[sample] : c === target);
    const candidates = usable.filter((i) => isWanted(guides.labels[i]!));
    const own = row(representations, dimension, sample);
    const distances = new Map(candidates.map((i) => [i, squaredDistance(own, row(scored.representations, dimension, i))]));
    const chosen = candidates.sort((a, b) => distances.get(a)! - distances.get(b)!).slice(0, count);
    return chosen.map((i) => row(scored.representations, dimension, i));
  });
  if (nearest.some((found) => found.length > 0)) return nearest;
  throw new NothingToImitate(
    `match-sample: none of ${guides.labels.length} guides is an image of ${targets ? "a class headed for" : "another class than its sample's"} that the model classifies correctly and accepts; give more`,
  );
}

const squaredDistance = (a: Float32Array, b: Float32Array): number => a.reduce((sum, value, k) => sum + (value - b[k]!) ** 2, 0);
