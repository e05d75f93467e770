import { InternalError } from "../core/errors.ts";
import { Random } from "../core/random.ts";
import type { Criterion, Goal } from "./criteria.ts";
import { type ImageShape, sizeOfImage } from "./distance.ts";
import type { AttackedModel, ObjectiveInputs, Scores, ScoresWithGradient } from "./model.ts";
import type { Objective } from "./objectives.ts";

export interface Judged {
  /** 1 where the criterion is met, [N]. */
  readonly isAdversarial: Uint8Array;
}

/** How often each sample's model was asked, [N]. */
export interface Queries {
  readonly scores: Uint32Array;
  readonly gradients: Uint32Array;
  /** Gradients that were zero in every pixel: a sign of masked gradients. */
  readonly zeroGradients: Uint32Array;
}

/** Clean images, and the classes they are of. */
export interface StartingImages {
  /** [M, channels, height, width] in [0, 1] */
  readonly images: Float32Array;
  /** [M] */
  readonly labels: Int32Array;
}

export interface ProblemParts {
  readonly model: AttackedModel;
  /** [N, channels, height, width] in [0, 1] */
  readonly images: Float32Array;
  /** True classes, [N]. */
  readonly labels: Int32Array;
  /** Classes wanted, [N]. */
  readonly targets?: Int32Array;
  readonly criterion: Criterion;
  /** What attacks by decisions may start from. */
  readonly starts: StartingImages;
  readonly seed: number;
  /** Index of each sample in the whole set: its random numbers depend on that and the seed alone, not on who else is attacked. */
  readonly sampleIndices: readonly number[];
  /** Samples finished, of N. */
  readonly onProgress?: (finished: number, count: number) => void;
  /** Throws to stop an attack between two steps. */
  readonly checkpoint?: () => void;
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
  readonly starts: StartingImages;
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
    this.starts = parts.starts;
    this.count = parts.labels.length;
    this.shape = parts.model.shape;
    this.size = sizeOfImage(this.shape);
    const counters = () => new Uint32Array(this.count);
    this.queries = { scores: counters(), gradients: counters(), zeroGradients: counters() };
  }

  get isTargeted(): boolean {
    return this.targets !== undefined;
  }

  goal(row: number): Goal {
    return { label: this.labels[row]!, target: this.targets?.[row] };
  }

  /** A generator of this sample's own for one purpose. */
  random(row: number, purpose: string): Random {
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
    for (const row of rows) this.queries.scores[row]!++;
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
    const of = (values: Int32Array) => Int32Array.from(rows, (row) => values[row]!);
    const result = await this.model.gradient(objective, x, {
      ...inputs,
      labels: of(this.labels),
      ...(this.targets ? { targets: of(this.targets) } : {}),
    });
    rows.forEach((row, i) => {
      this.queries.gradients[row]!++;
      const gradient = result.gradient.subarray(i * this.size, (i + 1) * this.size);
      if (gradient.every((value) => value === 0)) this.queries.zeroGradients[row]!++;
    });
    return { ...result, isAdversarial: this.judge(rows, result) };
  }

  private judge(rows: readonly number[], { labels, accepted }: Scores): Uint8Array {
    return Uint8Array.from(rows, (row, i) =>
      Number(this.criterion.isMet({ label: labels[i]!, accepted: accepted[i] === 1 }, this.goal(row))),
    );
  }

  private requireSize(rows: readonly number[], x: Float32Array): void {
    if (x.length === rows.length * this.size) return;
    throw new InternalError(`attack: expected ${rows.length} images of ${this.size} values, got ${x.length} values`);
  }
}
