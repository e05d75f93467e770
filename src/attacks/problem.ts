import { InternalError, UserError } from "../core/errors.ts";
import { Random } from "../core/random.ts";
import { type Criterion, type Goal, judge } from "./criteria.ts";
import { type ImageShape, sizeOfImage } from "./distance.ts";
import type { AttackedModel, ObjectiveInputs, Scores, ScoresWithGradient } from "./model.ts";
import type { Objective } from "./objectives.ts";
import { takeRows } from "./rows.ts";

export interface Judged {
  /** 1 where the criterion is met, [N]. */
  readonly isAdversarial: Uint8Array;
}

/** How often each sample's model was asked, [N]. */
export interface Queries {
  readonly scores: Uint32Array;
  readonly gradients: Uint32Array;
  /** Gradients that were zero in every pixel of an image that is not adversarial yet: a sign of masked gradients. */
  readonly zeroGradients: Uint32Array;
}

/** Clean images and their classes, for attacks that imitate others or start from them. */
export interface Guides {
  /** [M, channels, height, width] in [0, 1] */
  readonly images: Float32Array;
  /** [M] */
  readonly labels: Int32Array;
}

/** An attack that imitates guides finds none that it could, for any of a problem's samples. */
export class NothingToImitate extends UserError {}

export interface ProblemParts {
  readonly model: AttackedModel;
  /** [N, channels, height, width] in [0, 1] */
  readonly images: Float32Array;
  /** True classes, [N]. */
  readonly labels: Int32Array;
  /** Classes wanted, [N]. */
  readonly targets?: Int32Array;
  /** Of an attack that uses them. */
  readonly guides?: Guides;
  readonly criterion: Criterion;
  readonly seed: number;
  /** Index of each sample in the whole set: its random numbers depend on that and the seed alone, not on who else is attacked. */
  readonly sampleIndices: readonly number[];
  /** Samples finished, of N. */
  readonly onProgress?: (finished: number, count: number) => void;
  /** Throws to stop an attack between two steps. */
  readonly checkpoint?: () => void;
  /** Where this is a part of a larger problem: its rows there, and what the part is for. */
  readonly within?: { readonly problem: Problem; readonly rows: readonly number[]; readonly purpose: string };
}

/**
 * The samples an attack is to change, and the only door to the model: it counts queries and judges every image by the criterion.
 * Rows are numbers of samples; an attack drops those it has finished from the rows it asks about.
 */
export class Problem {
  readonly model: AttackedModel;
  readonly images: Float32Array;
  readonly labels: Int32Array;
  readonly targets: Int32Array | undefined;
  readonly criterion: Criterion;
  readonly count: number;
  readonly shape: ImageShape;
  /** Values of an image. */
  readonly size: number;
  readonly queries: Queries;
  private readonly parts: ProblemParts;

  constructor(parts: ProblemParts) {
    this.parts = parts;
    this.model = parts.model;
    this.images = parts.images;
    this.labels = parts.labels;
    this.targets = parts.targets;
    this.criterion = parts.criterion;
    this.count = parts.labels.length;
    this.shape = parts.model.shape;
    this.size = sizeOfImage(this.shape);
    const counters = () => new Uint32Array(this.count);
    this.queries = { scores: counters(), gradients: counters(), zeroGradients: counters() };
  }

  get isTargeted(): boolean {
    return this.targets !== undefined;
  }

  /** Errors: UserError when the attack does not say that it uses guides: parts kept of it would be taken for those of other guides. */
  get guides(): Guides {
    if (this.parts.guides) return this.parts.guides;
    throw new UserError("attack: asks for guides without saying so; give it `usesGuides: true`");
  }

  goal(row: number): Goal {
    return { label: this.labels[row]!, target: this.targets?.[row] };
  }

  /**
   * Some of the samples, with targets of their own (one per row named; default: those they have) as a problem of its own. It is judged by
   * the criterion of this one, its queries count here too, and its random numbers are others for another purpose.
   */
  part(rows: readonly number[], purpose: string, targets?: Int32Array): Problem {
    const wanted = targets ?? (this.targets && atRows(this.targets, rows));
    const { guides } = this.parts;
    return new Problem({
      model: this.model,
      images: takeRows(this.images, this.size, rows),
      labels: atRows(this.labels, rows),
      ...(wanted ? { targets: wanted } : {}),
      ...(guides ? { guides } : {}),
      criterion: this.criterion,
      seed: this.parts.seed,
      sampleIndices: rows.map((row) => this.parts.sampleIndices[row]!),
      onProgress: (finished, count) => this.progress(count - finished),
      within: { problem: this, rows, purpose },
    });
  }

  /** A generator of this sample's own for one purpose. */
  random(row: number, purpose: string): Random {
    const { within } = this.parts;
    if (within) return within.problem.random(within.rows[row]!, `${within.purpose}, ${purpose}`);
    return Random.stream(this.parts.seed, `${purpose} of sample ${this.parts.sampleIndices[row]}`);
  }

  /** Says that all but `open` samples are finished, and stops here if the caller wants that. */
  progress(open: number): void {
    this.parts.checkpoint?.();
    this.parts.onProgress?.(this.count - open, this.count);
  }

  /** Scores images x, one per row named. */
  async score(rows: readonly number[], x: Float32Array): Promise<Scores & Judged> {
    this.requireSize(rows, x);
    this.enter("scores", rows);
    const scores = await this.model.score(x);
    return { ...scores, isAdversarial: this.judge(rows, scores) };
  }

  /** Gradients of the objective at images x, one per row named. Labels and targets are the samples'. */
  async gradient(
    objective: Objective,
    rows: readonly number[],
    x: Float32Array,
    inputs: Omit<ObjectiveInputs, "labels" | "targets"> = {},
  ): Promise<ScoresWithGradient & Judged> {
    this.requireSize(rows, x);
    if (!this.model.gradient) throw new InternalError("attack: asked a score-only model for gradients");
    const result = await this.model.gradient(objective, x, {
      ...inputs,
      labels: atRows(this.labels, rows),
      ...(this.targets ? { targets: atRows(this.targets, rows) } : {}),
    });
    const isAdversarial = this.judge(rows, result);
    const isZero = (i: number) => result.gradient.subarray(i * this.size, (i + 1) * this.size).every((value) => value === 0);
    this.enter("gradients", rows);
    this.enter(
      "zeroGradients",
      rows.filter((_, i) => isAdversarial[i] !== 1 && isZero(i)),
    );
    return { ...result, isAdversarial };
  }

  private enter(kind: keyof Queries, rows: readonly number[]): void {
    for (const row of rows) this.queries[kind][row]!++;
    const { within } = this.parts;
    within?.problem.enter(
      kind,
      rows.map((row) => within.rows[row]!),
    );
  }

  private judge(rows: readonly number[], scores: Scores): Uint8Array {
    return judge(this.criterion, scores, { labels: atRows(this.labels, rows), targets: this.targets && atRows(this.targets, rows) });
  }

  private requireSize(rows: readonly number[], x: Float32Array): void {
    if (x.length === rows.length * this.size) return;
    throw new InternalError(`attack: expected ${rows.length} images of ${this.size} values, got ${x.length} values`);
  }
}

const atRows = (values: Int32Array, rows: readonly number[]): Int32Array => Int32Array.from(rows, (row) => values[row]!);
