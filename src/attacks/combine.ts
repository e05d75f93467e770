import { UserError } from "../core/errors.ts";
import type { Attack, Procedure } from "./attack.ts";
import { type Distance, isWithin, perturbationSizes } from "./distance.ts";
import { nearestClasses } from "./nearest-classes.ts";
import { NothingToImitate, type Problem } from "./problem.ts";
import { indices, row } from "./rows.ts";

// Several attacks as one: of each sample the best that any of them finds.

/** One try at the samples that are still open. */
export interface Round {
  /** Sets its random numbers apart from those of other rounds. */
  readonly purpose: string;
  /** Samples that take part. Default: all. */
  readonly takesPart?: (sample: number) => boolean;
  /** Classes to head for, [N]. Default: the problem's. */
  readonly targets?: Int32Array;
  /** Images for `part`, whose samples are the named rows of the whole problem. */
  readonly perturb: (part: Problem, rows: readonly number[]) => Promise<Float32Array>;
}

/**
 * Per sample the best image of all rounds: one that meets the problem's criterion before any that does not; of two that do, the one with the
 * smaller `distance`. Without a distance the first will do: a sample sits out the rounds after its first success. Where no round succeeds, the
 * first round's image is returned.
 */
export async function bestOfRounds(problem: Problem, rounds: readonly Round[], distance?: Distance): Promise<Float32Array> {
  const { size } = problem;
  const best = problem.images.slice();
  const isTried = new Uint8Array(problem.count);
  const found = new Uint8Array(problem.count);
  const smallest = new Float32Array(problem.count).fill(Number.POSITIVE_INFINITY);
  for (const { purpose, takesPart = () => true, targets, perturb } of rounds) {
    const isOpen = (sample: number) => (distance !== undefined || found[sample] === 0) && takesPart(sample);
    const rows = indices(problem.count).filter(isOpen);
    if (rows.length === 0) continue;
    const part = problem.part(rows, purpose, targets && Int32Array.from(rows, (sample) => targets[sample]!));
    const made = await perturb(part, rows);
    const { isAdversarial } = await part.score(indices(rows.length), made);
    const sizes = distance && perturbationSizes(part.images, made, problem.shape)[distance];
    rows.forEach((sample, i) => {
      const length = sizes ? sizes[i]! : 0;
      const isBetter = isAdversarial[i] === 1 && (found[sample] === 0 || length < smallest[sample]!);
      if (!isBetter && isTried[sample] === 1) return;
      best.set(row(made, size, i), sample * size);
      isTried[sample] = 1;
      if (!isBetter) return;
      found[sample] = 1;
      smallest[sample] = length;
    });
  }
  return best;
}

const perturbBy = (attack: Procedure, problem: Problem, epsilon: number | undefined): Promise<Float32Array> =>
  attack.kind === "minimal" ? attack.perturb(problem) : attack.perturb(problem, epsilon!);

/** What decides between two successes of an attack: of a minimal one the size. */
const decisive = ({ kind, distance }: Procedure): Distance | undefined => (kind === "minimal" ? distance : undefined);

/**
 * Untargeted by targets: heads for each sample's `count` nearest wrong classes, one after another. A loss that follows the wrong class that
 * is best at the moment may climb a hill that is too low; this tries all of them. A targeted run is left as it is.
 */
export function overTargets<A extends Procedure>(attack: A, count: number): A {
  const perturb = async (problem: Problem, epsilon?: number): Promise<Float32Array> => {
    if (problem.isTargeted) return perturbBy(attack, problem, epsilon);
    const nearest = await nearestClasses(problem, count);
    const rounds = indices(nearest[0]?.length ?? 0).map((rank): Round => {
      const targets = Int32Array.from(nearest, (classes) => classes[rank]!);
      return { purpose: `target ${rank}`, targets, perturb: (part) => perturbBy(attack, part, epsilon) };
    });
    return bestOfRounds(problem, rounds, decisive(attack));
  };
  return { ...attack, ...noted(attack, { overTargets: count }), perturb };
}

/** Runs an attack `count` times with other random numbers. */
export function overRestarts<A extends Procedure>(attack: A, count: number): A {
  const perturb = (problem: Problem, epsilon?: number): Promise<Float32Array> => {
    const rounds = indices(count).map((i): Round => ({ purpose: `run ${i}`, perturb: (part) => perturbBy(attack, part, epsilon) }));
    return bestOfRounds(problem, rounds, decisive(attack));
  };
  return { ...attack, ...noted(attack, { overRestarts: count }), perturb };
}

/** What was done to an attack, among its settings where it has such: in a folder of parts another number of runs is another attack. */
function noted(attack: Partial<Attack>, done: Readonly<Record<string, number>>): Pick<Attack, "settings"> | undefined {
  return attack.settings && { settings: { ...attack.settings, ...done } };
}

const demands = ["decisions", "scores", "gradients"] as const;

/**
 * Several attacks of one distance as one that has all their powers. Where a fixed-epsilon attack is among them so is the whole, and an
 * adversarial of a minimal one counts within epsilon. Its settings name them with theirs. Errors: UserError when there is none, or the distances differ.
 */
export function bestOfAttacks(attacks: readonly Attack[]): Attack {
  const [first] = attacks;
  if (!first) throw new UserError("best of attacks: expected at least one attack, got none");
  const other = attacks.find(({ distance }) => distance !== first.distance);
  if (other) {
    throw new UserError(
      `best of attacks: expected attacks of one distance, got ${first.name} (${first.distance}) and ${other.name} (${other.distance})`,
    );
  }
  const { distance } = first;
  const roundsAt = (epsilon: number | undefined) =>
    attacks.map((attack, i): Round => ({ purpose: `${attack.name} ${i}`, perturb: (part) => perturbWithin(attack, part, epsilon) }));
  const common = {
    name: `best of ${attacks.map(({ name }) => name).join(", ")}`,
    settings: { attacks: attacks.map(({ name, settings }) => ({ name, ...settings })) },
    distance,
    needs: demands[Math.max(...attacks.map(({ needs }) => demands.indexOf(needs)))]!,
    isAdaptive: attacks.some(({ isAdaptive }) => isAdaptive === true),
    usesGuides: attacks.some(({ usesGuides }) => usesGuides === true),
  };
  if (attacks.every(({ kind }) => kind === "minimal")) {
    return { ...common, kind: "minimal", perturb: (problem) => bestOfRounds(problem, roundsAt(undefined), distance) };
  }
  return { ...common, kind: "fixed-epsilon", perturb: (problem, epsilon) => bestOfRounds(problem, roundsAt(epsilon)) };
}

/** A minimal attack's image beyond epsilon is no use: the original stands for it, as where there is nothing to imitate. */
async function perturbWithin(attack: Attack, problem: Problem, epsilon: number | undefined): Promise<Float32Array> {
  const made = await perturbBy(attack, problem, epsilon).catch((error: unknown) => {
    if (error instanceof NothingToImitate) return problem.images;
    throw error;
  });
  if (attack.kind !== "minimal" || epsilon === undefined) return made;
  const sizes = perturbationSizes(problem.images, made, problem.shape)[attack.distance];
  const kept = made.slice();
  for (let i = 0; i < problem.count; i++) {
    if (!isWithin(sizes[i]!, epsilon)) kept.set(row(problem.images, problem.size, i), i * problem.size);
  }
  return kept;
}
