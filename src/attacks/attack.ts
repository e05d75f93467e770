import type { z } from "zod";
import { InternalError, UserError } from "../core/errors.ts";
import { oneOf, requireKnownKeys } from "../core/names.ts";
import { problemsIn } from "../core/problems.ts";
import { requireSeed } from "../core/random.ts";
import { type Criterion, judge, misclassified, misclassifiedAndAccepted, targeted, targetedAndAccepted } from "./criteria.ts";
import { type Distance, type ImageShape, isWithin, perturbationSizes, sizeOfImage } from "./distance.ts";
import { requireKinds } from "./kinds.ts";
import type { AttackedModel, Scores } from "./model.ts";
import { type Guides, NothingToImitate, Problem, type Queries } from "./problem.ts";
import { requireEpsilon, requireSamples } from "./requirements.ts";
import { indices, row, takeRows } from "./rows.ts";

// What an attack is, and the book-keeping of all of them: who is attacked, bounds, fresh judgement, sizes, queries.

interface AttackCommon {
  readonly name: string;
  /** What it keeps small. */
  readonly distance: Distance;
  /** What it asks of the model; decisions: labels and acceptance alone. */
  readonly needs: "gradients" | "scores" | "decisions";
  /** Made against the reject rule: unless another criterion is named, an adversarial must be accepted, too. */
  readonly isAdaptive?: boolean;
  /** Imitates guides or starts from them: only then a problem has any, and a sample's adversarial depends on who they are. */
  readonly usesGuides?: boolean;
  /** As resolved: what a result file says. */
  readonly settings: Readonly<Record<string, unknown>>;
}

/** The best image within a distance of the original. */
export interface FixedEpsilonAttack extends AttackCommon {
  readonly kind: "fixed-epsilon";
  /** -> images [N, channels, height, width]; must not change those of the problem. */
  readonly perturb: (problem: Problem, epsilon: number) => Promise<Float32Array>;
}

/** The nearest adversarial image it can find. Where it finds none, it returns the original. */
export interface MinimalAttack extends AttackCommon {
  readonly kind: "minimal";
  readonly perturb: (problem: Problem) => Promise<Float32Array>;
}

export type Attack = FixedEpsilonAttack | MinimalAttack;

type Nameless<A> = Omit<A, "name" | "settings">;
/** What an attack does, before it has a name and settings to report. */
export type Procedure = Nameless<FixedEpsilonAttack> | Nameless<MinimalAttack>;

/** An attack by name, before its settings are known. */
export interface AttackDefinition {
  readonly name: string;
  /** One line for a list of attacks. */
  readonly about: string;
  /** Who described it. */
  readonly source: string;
  readonly settings: z.ZodObject;
  /** Errors: UserError for an unknown setting (with the nearest match) or a value out of range. */
  readonly create: (settings?: Readonly<Record<string, unknown>>) => Attack;
}

/** `settings`: every one with a description and, unless it may be left out, a default. */
export function defineAttack<S extends z.ZodObject>(definition: {
  readonly name: string;
  readonly about: string;
  readonly source: string;
  readonly settings: S;
  readonly create: (settings: z.output<S>) => Procedure;
}): AttackDefinition {
  const { name, settings: schema } = definition;
  return {
    ...definition,
    create: (given = {}) => {
      for (const key of Object.keys(given)) oneOf(`setting of ${name}`, key, Object.keys(schema.shape));
      const parsed = schema.safeParse(given);
      if (!parsed.success) throw new UserError(problemsIn(name, parsed.error, given));
      return { ...definition.create(parsed.data), name, settings: parsed.data };
    },
  };
}

/** Images to attack, as the network sees them. */
export interface Samples {
  /** [N, channels, height, width] in [0, 1] */
  readonly images: Float32Array;
  /** True classes, [N]. */
  readonly labels: Int32Array;
  /** Classes wanted, [N]: makes the attack a targeted one. */
  readonly targets?: Int32Array;
  /**
   * Whom attacks may imitate, or start from where they see decisions alone. Default: the samples that are attacked; give them where a set is
   * attacked in parts. Attacks that use none (`usesGuides`) do not see them.
   */
  readonly guides?: Guides;
}

export interface AttackOptions {
  /** Default: misclassified, or targeted where there are targets; of an adaptive attack: and accepted. */
  readonly criterion?: Criterion;
  /** Of the attack's distance; a fixed-epsilon attack runs for each, a minimal one is judged at each. */
  readonly epsilons?: readonly number[];
  /**
   * Whether a fixed-epsilon attack leaves alone, at a larger epsilon, what it has an adversarial of at a smaller one: that lies in the larger
   * ball, too. Success then never falls as epsilon grows, and costs little where much has given way; a sample's adversarial is that of the
   * smallest epsilon that it gave way at. Default: false, each epsilon by itself.
   */
  readonly carryOver?: boolean;
  readonly seed?: number;
  /**
   * Index of the first sample in the set it comes from: a set attacked in parts gives what it gives attacked as one, up to the rounding of
   * other batch sizes. Default: 0.
   */
  readonly firstIndex?: number;
  readonly onProgress?: (epsilon: number | null, finished: number, count: number) => void;
  /** Throws to stop between two steps. */
  readonly checkpoint?: () => void;
}

/** Of `AttackOptions`: callers without a compiler may give others. */
export const optionNames = [
  "criterion",
  "epsilons",
  "carryOver",
  "seed",
  "firstIndex",
  "onProgress",
  "checkpoint",
] as const satisfies readonly (keyof AttackOptions)[];

/** What became of all N samples within one distance. Those not attacked are as they were. */
export interface AttackOutcome {
  /** null: any distance. */
  readonly epsilon: number | null;
  /** [N, channels, height, width] in [0, 1] */
  readonly images: Float32Array;
  /** Of the final images, by a pass of their own. */
  readonly scores: Scores;
  /** 1 where the criterion is met by that pass and the perturbation is within epsilon, [N]. */
  readonly success: Uint8Array;
  readonly sizes: Readonly<Record<Distance, Float32Array>>;
  /** At this epsilon alone: none of what was carried over to it. */
  readonly queries: Queries;
}

export interface AttackResult {
  readonly attack: string;
  readonly settings: Readonly<Record<string, unknown>>;
  readonly distance: Distance;
  readonly criterion: string;
  readonly isTargeted: boolean;
  readonly carryOver: boolean;
  readonly seed: number;
  readonly labels: Int32Array;
  readonly targets: Int32Array | undefined;
  /** Of the original images. */
  readonly clean: Scores;
  /** 1 where the original is classified correctly: only these are attacked, [N]. */
  readonly attacked: Uint8Array;
  /** In the order of `epsilons`. */
  readonly outcomes: readonly AttackOutcome[];
}

/**
 * Attacks the samples that are classified correctly. Errors: UserError when an argument is of another kind, an option is unknown, images
 * leave [0, 1] or have the wrong size, a label or target is not a class, a target is the sample's own class, an epsilon is missing or out
 * of range, or the attack needs gradients that the model does not give.
 */
export async function runAttack(
  model: AttackedModel,
  samples: Samples,
  attack: Attack,
  options: AttackOptions = {},
): Promise<AttackResult> {
  requireKnownKeys("runAttack", options, optionNames);
  const { seed, criterion, epsilons } = understood(model, samples, attack, options);
  const { images, labels, targets } = samples;
  const clean = await model.score(images);
  const attacked = Uint8Array.from(labels, (label, i) => Number(clean.labels[i] === label));
  const run: Run = { model, samples, criterion, attacked, rows: indices(labels.length).filter((i) => attacked[i] === 1), options };
  const outcomes =
    attack.kind === "minimal" ? await nearest(run, attack, epsilons) : await atEachEpsilon(run, attack, epsilons as readonly number[]);
  const { name, settings, distance } = attack;
  const carryOver = usesCarryOver(attack, options);
  return {
    ...{ attack: name, settings, distance, criterion: criterion.name, isTargeted: targets !== undefined, carryOver, seed },
    ...{ labels, targets, clean, attacked, outcomes },
  };
}

/** What is asked of an attack, with its defaults. Errors: UserError when that cannot be done; known before any work is. */
export function understood(model: AttackedModel, samples: Samples, attack: Attack, options: AttackOptions) {
  requireKinds({ model, samples, attack, criterion: options.criterion, epsilons: options.epsilons });
  const { seed = 0, criterion = defaultCriterion(attack, samples) } = options;
  requireSeed(seed);
  requireSamples(model, samples, criterion);
  const epsilons = epsilonsOf(attack, options.epsilons, model.shape);
  if (attack.needs === "gradients" && !model.gradient) {
    throw new UserError(`${attack.name}: needs gradients, the model gives scores only; take an attack that needs scores or decisions`);
  }
  return { seed, criterion, epsilons };
}

/** What all of an attack's problems have in common. */
interface Run {
  readonly model: AttackedModel;
  readonly samples: Samples;
  readonly criterion: Criterion;
  /** 1 where a sample is attacked, [N]. */
  readonly attacked: Uint8Array;
  /** Indices of those. */
  readonly rows: readonly number[];
  readonly options: AttackOptions;
}

/** What became of the samples, whatever the epsilon. */
type Judgement = Omit<AttackOutcome, "epsilon">;

/** Found once, and judged at each epsilon. */
async function nearest(run: Run, attack: MinimalAttack, epsilons: readonly (number | null)[]): Promise<AttackOutcome[]> {
  const problem = problemOf(run, attack, null, run.rows);
  const judged = await judgedAnew(run, attack, problem, run.rows, await attack.perturb(problem));
  return epsilons.map((epsilon) => ({ ...judged, epsilon, success: within(judged, attack.distance, epsilon) }));
}

async function atEachEpsilon(run: Run, attack: FixedEpsilonAttack, epsilons: readonly number[]): Promise<AttackOutcome[]> {
  const carryOver = usesCarryOver(attack, run.options);
  // The smallest first, so that there is something to carry over.
  const order = carryOver ? indices(epsilons.length).sort((a, b) => epsilons[a]! - epsilons[b]!) : indices(epsilons.length);
  const outcomes: AttackOutcome[] = [];
  let last: AttackOutcome | undefined;
  for (const k of order) {
    const epsilon = epsilons[k]!;
    const smaller = carryOver ? last : undefined;
    const rows = run.rows.filter((i) => smaller?.success[i] !== 1);
    const problem = problemOf(run, attack, epsilon, rows);
    const made = rows.length > 0 ? await perturbed(attack, problem, epsilon, last !== undefined) : problem.images;
    const judged = await judgedAnew(run, attack, problem, rows, made, smaller?.images);
    last = { ...judged, epsilon, success: within(judged, attack.distance, epsilon) };
    outcomes[k] = last;
  }
  return outcomes;
}

/** Samples that are left over from a smaller epsilon may have nothing to imitate: they stay as they are. Where all of a set have none, that is an error. */
async function perturbed(attack: FixedEpsilonAttack, problem: Problem, epsilon: number, areLeftOver: boolean): Promise<Float32Array> {
  try {
    return await attack.perturb(problem, epsilon);
  } catch (error) {
    if (!(error instanceof NothingToImitate) || !areLeftOver) throw error;
    return problem.images;
  }
}

/** Of some of the samples. */
function problemOf(
  { model, samples, criterion, rows: all, options }: Run,
  attack: Attack,
  epsilon: number | null,
  rows: readonly number[],
): Problem {
  const { images, labels, targets, guides } = samples;
  const { seed = 0, firstIndex = 0, checkpoint, onProgress } = options;
  const ofRows = (some: readonly number[]) => ({
    images: takeRows(images, sizeOfImage(model.shape), some),
    labels: Int32Array.from(some, (i) => labels[i]!),
  });
  return new Problem({
    model,
    ...ofRows(rows),
    ...(targets ? { targets: Int32Array.from(rows, (i) => targets[i]!) } : {}),
    ...(attack.usesGuides ? { guides: guides ?? ofRows(all) } : {}),
    criterion,
    seed,
    sampleIndices: rows.map((i) => firstIndex + i),
    ...(onProgress ? { onProgress: (finished, count) => onProgress(epsilon, finished, count) } : {}),
    ...(checkpoint ? { checkpoint } : {}),
  });
}

/** `made`: images of the rows. `before`: where the samples that are not among these are as they were left. */
async function judgedAnew(
  { model, samples, criterion, attacked }: Run,
  { name }: Attack,
  { queries }: Problem,
  rows: readonly number[],
  made: Float32Array,
  before = samples.images,
): Promise<Judgement> {
  const { images, labels, targets } = samples;
  const size = sizeOfImage(model.shape);
  const final = before.slice();
  for (const [at, i] of rows.entries()) final.set(clipped(row(made, size, at)), i * size);
  if (final.some(Number.isNaN)) throw new InternalError(`${name}: it made an image with pixels that are no numbers`);
  const scores = await model.score(final);
  const isMet = judge(criterion, scores, { labels, targets });
  return {
    images: final,
    scores,
    success: attacked.map((value, i) => value & isMet[i]!),
    sizes: perturbationSizes(images, final, model.shape),
    queries: spreadQueries(queries, rows, labels.length),
  };
}

/** A minimal attack has nothing to carry over: its adversarials are the same for every epsilon. */
export const usesCarryOver = ({ kind }: Attack, { carryOver = false }: AttackOptions): boolean => kind === "fixed-epsilon" && carryOver;

function defaultCriterion({ isAdaptive = false }: Attack, { targets }: Samples): Criterion {
  if (targets) return isAdaptive ? targetedAndAccepted : targeted;
  return isAdaptive ? misclassifiedAndAccepted : misclassified;
}

const within = ({ success, sizes }: Judgement, distance: Distance, epsilon: number | null): Uint8Array =>
  success.map((value, i) => Number(value === 1 && isWithin(sizes[distance][i]!, epsilon)));

const clipped = (image: Float32Array): Float32Array => image.map((value) => Math.min(1, Math.max(0, value)));

function spreadQueries(queries: Queries, rows: readonly number[], count: number): Queries {
  const spread = (values: Uint32Array) => {
    const all = new Uint32Array(count);
    for (const [at, i] of rows.entries()) all[i] = values[at]!;
    return all;
  };
  return { scores: spread(queries.scores), gradients: spread(queries.gradients), zeroGradients: spread(queries.zeroGradients) };
}

function epsilonsOf(attack: Attack, epsilons: readonly number[] | undefined, shape: ImageShape): readonly (number | null)[] {
  if (epsilons === undefined || epsilons.length === 0) {
    if (attack.kind === "minimal") return [null];
    throw new UserError(
      `${attack.name}: needs epsilons (--epsilon): the largest ${attack.distance} distance, in units of the [0, 1] pixel range`,
    );
  }
  for (const epsilon of epsilons) requireEpsilon(attack.distance, epsilon, shape);
  return epsilons;
}
