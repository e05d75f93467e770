import type { Attack } from "../../attacks/attack.ts";
import { makeAttack } from "../../attacks/attacks.ts";
import { type Criterion, criteria } from "../../attacks/criteria.ts";
import type { Head } from "../../nn/classifier.ts";
import type { AttackSummary } from "./summary.ts";

// The fixed suite of attacks that `sdim attack --standard` runs: which, with what settings, and what each is there for.

/**
 * paper: the paper's own protocol. white-box: gradients of losses that do not saturate. adaptive: knows the reject rule as well. black-box: scores
 * or decisions only. transfer: made on another model. noise: no attack at all.
 */
export type Role = "paper" | "white-box" | "adaptive" | "black-box" | "transfer" | "noise";

export interface SuiteEntry {
  readonly id: string;
  readonly role: Role;
  readonly attack: string;
  readonly settings: Readonly<Record<string, unknown>>;
  /** Name of a criterion; default: the attack's own. */
  readonly criterion?: string;
  /** Models it can attack; default: all. */
  readonly head?: Head;
  /** Fewest classes of a model it can attack. */
  readonly classes?: number;
  /** Id of the entry that this one repeats with twice the steps. */
  readonly doubles?: string;
}

/** One attack of the suite and what it did. */
export interface SuiteAttack {
  readonly entry: SuiteEntry;
  readonly summary: AttackSummary;
}

const evading = "misclassified-and-accepted";

export const suite: readonly SuiteEntry[] = [
  { id: "noise", role: "noise", attack: "noise", settings: { kind: "uniform" }, criterion: evading },
  { id: "fgsm", role: "paper", attack: "fgsm", settings: { loss: "cross-entropy" } },
  { id: "pgd", role: "paper", attack: "pgd", settings: { loss: "cross-entropy" } },
  { id: "deepfool", role: "paper", attack: "deepfool", settings: {} },
  { id: "cw-l2", role: "paper", attack: "cw-l2", settings: {} },
  { id: "pgd-margin", role: "white-box", attack: "pgd", settings: { loss: "margin" } },
  { id: "apgd-margin", role: "white-box", attack: "apgd", settings: { loss: "margin" } },
  { id: "apgd-dlr", role: "white-box", attack: "apgd", settings: { loss: "dlr" }, classes: 3 },
  { id: "apgd-accepted", role: "adaptive", attack: "apgd", settings: { loss: "accepted" } },
  { id: "apgd-accepted-double", role: "adaptive", attack: "apgd", settings: { loss: "accepted", steps: 200 }, doubles: "apgd-accepted" },
  { id: "apgd-accepted-targets", role: "adaptive", attack: "apgd", settings: { loss: "accepted", targets: 9 } },
  { id: "match-mean", role: "adaptive", attack: "match-mean", settings: {}, head: "sdim" },
  { id: "match-sample", role: "adaptive", attack: "match-sample", settings: {} },
  { id: "cw-l2-accepted", role: "adaptive", attack: "cw-l2", settings: { loss: "accepted" } },
  { id: "square", role: "black-box", attack: "square", settings: { loss: "margin", queries: 1000 } },
  { id: "square-accepted", role: "black-box", attack: "square", settings: { loss: "accepted", queries: 1000 }, criterion: evading },
  { id: "local-search", role: "black-box", attack: "local-search", settings: { trial: "change", loss: "accepted" }, criterion: evading },
  { id: "hopskipjump", role: "black-box", attack: "hopskipjump", settings: {}, criterion: evading },
];

/** Made on the twin, then judged by the model attacked. */
export const transferEntry: SuiteEntry = {
  id: "transfer",
  role: "transfer",
  attack: "apgd",
  settings: { loss: "margin", earlyStop: false },
  criterion: evading,
};

/** Largest perturbations, in units of the [0, 1] pixel range; an linf distance of 1 is no bound at all. */
export const standardEpsilons = { linf: [2 / 255, 8 / 255, 0.1, 0.3, 1], l2: [0.5, 1, 2, 4, 8] } as const;

/** The entries that a model of this kind can be attacked with. */
export const suiteFor = (head: Head, classes: number): readonly SuiteEntry[] =>
  suite.filter((entry) => (entry.head ?? head) === head && (entry.classes ?? 2) <= classes);

/**
 * Whether a success at one epsilon leaves nothing to find at a larger one: wrong and accepted is as bad as it gets. Other attacks make more of a
 * larger epsilon: what was rejected may then be accepted.
 */
export const carriesOver = (entry: SuiteEntry): boolean =>
  entry.role !== "transfer" && (entry.criterion === evading || attackOf(entry).isAdaptive === true);

export const attackOf = ({ attack, settings }: SuiteEntry): Attack => makeAttack(attack, settings);
export const criterionOf = ({ criterion }: SuiteEntry): Criterion | undefined =>
  criterion === undefined ? undefined : criteria.get(criterion)!;
