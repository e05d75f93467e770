import { percent } from "../summary.ts";
import type { Role, SuiteAttack } from "./suite.ts";
import { type Before, type Trial, worstCase } from "./worst-case.ts";

// Signs that an attack failed for want of a gradient, not for want of adversarials (Athalye, Carlini & Wagner 2018; Carlini et al. 2019).

export interface RobustnessWarning {
  readonly kind: "zero-gradients" | "black-box-better" | "more-steps-help" | "unbounded-below-100" | "one-step-better" | "left-out";
  readonly text: string;
}

/** Share of zero gradients from which on an attack's own success says little. */
const manyZeroGradients = 0.05;
/** Whether a share of `of` images is larger than another by more than chance: two points, and more than one image. */
const isNoticeable = (more: number, fewer: number, of: number): boolean => more - fewer > Math.max(0.02, 1.5 / of);

/** `linf`: the epsilons of the suite. */
export function warningsOf(
  attacks: readonly SuiteAttack[],
  trials: readonly Trial[],
  start: Before,
  linf: readonly number[],
): RobustnessWarning[] {
  return [
    ...zeroGradients(attacks),
    ...blackBox(trials, start, linf),
    ...oneStep(attacks),
    ...moreSteps(attacks),
    ...unbounded(trials, start, linf),
  ];
}

const zeroGradients = (attacks: readonly SuiteAttack[]): RobustnessWarning[] =>
  attacks.flatMap(({ entry, summary }) => {
    const largest = Math.max(0, ...summary.outcomes.map(({ zeroGradients: share }) => share ?? 0));
    if (largest <= manyZeroGradients) return [];
    const text = `${entry.id}: up to ${percent(largest)} of its gradients were zero in every pixel. It could not see where to go; that it fails says nothing of robustness.`;
    return [{ kind: "zero-gradients", text } as const];
  });

function blackBox(trials: readonly Trial[], start: Before, linf: readonly number[]): RobustnessWarning[] {
  const of = (roles: readonly Role[]) => trials.filter(({ role }) => roles.includes(role));
  const [blind, sighted] = [of(["black-box", "transfer", "noise"]), of(["paper", "white-box", "adaptive"])];
  const attacked = start.right.filter((value) => value === 1).length;
  for (const epsilon of linf) {
    for (const kind of ["success", "evasion"] as const) {
      const [without, withGradients] = [blind, sighted].map((some) => worstCase(some, start, "linf", epsilon)[kind].value ?? 0);
      if (!isNoticeable(without!, withGradients!, attacked)) continue;
      const text = `At linf ${shown(epsilon)} attacks that see no gradients reach ${percent(without!)} (${kind}), those that see them ${percent(withGradients!)}: the gradients mislead.`;
      return [{ kind: "black-box-better", text }];
    }
  }
  return [];
}

const successes = ({ summary }: SuiteAttack): Map<number | null, number> =>
  new Map(summary.outcomes.map(({ epsilon, percentiles }) => [epsilon, percentiles[0]!.attacked.success.value ?? 0]));

/** The first epsilon at which `more` succeeds noticeably more often than `fewer`. */
function better(more: SuiteAttack, fewer: SuiteAttack): { epsilon: number | null; more: number; fewer: number } | undefined {
  const base = successes(fewer);
  const { attacked } = more.summary.outcomes[0]!.percentiles[0]!.attacked;
  for (const [epsilon, value] of successes(more)) {
    const other = base.get(epsilon);
    if (other !== undefined && isNoticeable(value, other, attacked)) return { epsilon, more: value, fewer: other };
  }
  return undefined;
}

function oneStep(attacks: readonly SuiteAttack[]): RobustnessWarning[] {
  const [one, many] = ["fgsm", "pgd"].map((id) => attacks.find(({ entry }) => entry.id === id));
  const found = one && many && better(one, many);
  if (!found) return [];
  const text = `At linf ${shown(found.epsilon)} one step (fgsm) succeeds on ${percent(found.more)}, many (pgd) on ${percent(found.fewer)}: following the gradient leads nowhere.`;
  return [{ kind: "one-step-better", text }];
}

const moreSteps = (attacks: readonly SuiteAttack[]): RobustnessWarning[] =>
  attacks.flatMap((double) => {
    const single = attacks.find(({ entry }) => entry.id === double.entry.doubles);
    const found = single && better(double, single);
    if (!found) return [];
    const text = `At linf ${shown(found.epsilon)} twice the steps of ${single.entry.id} raise its success from ${percent(found.fewer)} to ${percent(found.more)}: it has not converged, more steps may find more.`;
    return [{ kind: "more-steps-help", text } as const];
  });

function unbounded(trials: readonly Trial[], start: Before, linf: readonly number[]): RobustnessWarning[] {
  if (!linf.some((epsilon) => epsilon >= 1)) return [];
  const sighted = trials.filter(({ role }) => role === "paper" || role === "white-box" || role === "adaptive");
  const { success, evasion } = worstCase(sighted, start, "linf", 1);
  if ((success.value ?? 1) < 1) {
    const text = `With no bound on the perturbation gradient attacks change the class of ${percent(success.value)} only, where all could be: they are too weak, and robust accuracies here too high.`;
    return [{ kind: "unbounded-below-100", text }];
  }
  if ((evasion.value ?? 1) === 1) return [];
  const text = `With no bound on the perturbation gradient attacks make ${percent(evasion.value)} wrong and accepted, where all could be (an image of another class is): the attacks on the reject rule are too weak, and robust accuracies with rejection here too high.`;
  return [{ kind: "unbounded-below-100", text }];
}

const shown = (epsilon: number | null): string => (epsilon === null ? "any distance" : Number(epsilon.toPrecision(3)).toString());
