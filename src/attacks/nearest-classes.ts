import type { AttackedModel, Scores } from "./model.ts";
import type { Problem } from "./problem.ts";
import { indices } from "./rows.ts";

/** The classes but for `except`, by log p(z|c) + log p(c) of sample `at`, the largest first. */
export function classesInOrder(
  { classes, logPriors }: Pick<AttackedModel, "classes" | "logPriors">,
  { classLogLikelihoods }: Pick<Scores, "classLogLikelihoods">,
  at: number,
  except: number,
): number[] {
  const value = (c: number) => classLogLikelihoods[at * classes + c]! + (logPriors?.[c] ?? 0);
  return indices(classes)
    .filter((c) => c !== except)
    .sort((a, b) => value(b) - value(a));
}

/** Each sample's `count` wrong classes that come next to winning, best first: [N][min(count, C - 1)]. One query each. */
export async function nearestClasses(problem: Problem, count: number): Promise<number[][]> {
  const scores = await problem.score(indices(problem.count), problem.images);
  return indices(problem.count).map((sample) => classesInOrder(problem.model, scores, sample, problem.labels[sample]!).slice(0, count));
}
