import { classGaussiansOf } from "../classify/class-gaussians.ts";
import type { ClassifierOptions } from "../classify/classifier.ts";
import { floatWeights, logPriorsOf, type ModelFile, readModelFile, thresholdsInForce } from "../classify/model-file.ts";
import { InternalError, UserError } from "../core/errors.ts";
import { add, input, parameter, sum } from "../graph/build.ts";
import { gradients } from "../graph/gradients.ts";
import { Graph, type Value } from "../graph/graph.ts";
import { representationSize } from "../nn/classifier.ts";
import { Network } from "../nn/network.ts";
import { decide, logPriorsName, type Scored, score, thresholdsName } from "../nn/scorer.ts";
import { lower, portable } from "../onnx/lower.ts";
import { encodeModel } from "../onnx/model-file.ts";
import { targetFor } from "../runtime/layout.ts";
import { Session, type Tensor, tensor } from "../runtime/session.ts";
import { type ImageShape, sizeOfImage } from "./distance.ts";
import { buildObjective, classesNeeded, type Objective } from "./objectives.ts";

/** Verdicts over N images. */
export interface Scores {
  /** [N] */
  readonly labels: Int32Array;
  /** 1 where the winning log-likelihood is not below its threshold, [N]. */
  readonly accepted: Uint8Array;
  /** Raw, nats, [N, C]. */
  readonly classLogLikelihoods: Float32Array;
  /** [N, d] */
  readonly representations: Float32Array;
}

/** Per sample, what an objective is about; one that needs what is not given is our error. */
export interface ObjectiveInputs {
  /** True classes, [N]. */
  readonly labels?: Int32Array;
  /** Classes wanted, [N]. */
  readonly targets?: Int32Array;
  /** [N, C] */
  readonly classWeights?: Float32Array;
  /** [N, d] */
  readonly anchors?: Float32Array;
}

export interface ScoresWithGradient extends Scores {
  /** Value of the objective, [N]. */
  readonly objective: Float32Array;
  /** d objective_i / d x_i, [N, channels, height, width]. */
  readonly gradient: Float32Array;
}

/** What attacks see of a classifier: images in [0, 1] in, class log-likelihoods and verdicts out, gradients if it has them. */
export interface AttackedModel {
  readonly shape: ImageShape;
  readonly classes: number;
  readonly dimension: number;
  /** In force, nats, [C]. */
  readonly thresholds: Float32Array;
  /** log p(c), [C], where classes are not equally likely beforehand: what decides is log p(z|c) + log p(c). */
  readonly logPriors?: Float32Array;
  /** Means of the class Gaussians, [C, d]; none for a discriminative model. */
  readonly classMeans?: Float32Array;
  /** Of x [N, channels, height, width], any N. */
  score(x: Float32Array): Promise<Scores>;
  /** None where only scores may be had. */
  gradient?(objective: Objective, x: Float32Array, inputs: ObjectiveInputs): Promise<ScoresWithGradient>;
  release(): Promise<void>;
}

/** A classifier as a graph: what it computes of images, and with which weights. */
export interface ScoringGraph {
  readonly shape: ImageShape;
  readonly classes: number;
  readonly dimension: number;
  /** x [N, channels, height, width] -> log-likelihoods [N, C] and representation [N, d]; its parameters are named in `weights`. */
  readonly build: (graph: Graph, x: Value) => Scored;
  readonly weights: ReadonlyMap<string, Float32Array>;
  readonly thresholds: Float32Array;
  readonly logPriors?: Float32Array;
  readonly classMeans?: Float32Array;
}

/** From a model file of ours. Errors: UserError when it is none, or an export, whose weights are no longer floats. */
export function loadAttackedModel(model: string | ModelFile, options: ClassifierOptions = {}): AttackedModel {
  const file = typeof model === "string" ? readModelFile(model) : model;
  const { model: config } = file.card;
  const weights = floatWeights(file, "attack");
  const logPriors = logPriorsOf(file);
  const classMeans = classGaussiansOf(file)?.means;
  return new GraphModel(
    {
      shape: { channels: config.channels, height: config.imageSize, width: config.imageSize },
      classes: config.classes,
      dimension: representationSize(config),
      build: (graph, x) => score(new Network(graph, "folded"), x, config),
      weights,
      thresholds: thresholdsInForce(file.card),
      ...(logPriors ? { logPriors } : {}),
      ...(classMeans ? { classMeans } : {}),
    },
    options,
  );
}

/** Images per run: whole batches of the largest size, then of the next. A batch that is not full is padded with zeros. */
const batchSizes = [64, 16, 4] as const;

/** Runs a scoring graph, and its gradients by objective, by ONNX Runtime. Graphs are built when first asked for. */
export class GraphModel implements AttackedModel {
  readonly shape: ImageShape;
  readonly classes: number;
  readonly dimension: number;
  readonly thresholds: Float32Array;
  readonly logPriors?: Float32Array;
  readonly classMeans?: Float32Array;
  private readonly described: ScoringGraph;
  private readonly options: ClassifierOptions;
  private readonly sessions = new Map<string, Promise<Session>>();

  constructor(described: ScoringGraph, options: ClassifierOptions = {}) {
    this.described = described;
    this.options = options;
    this.shape = described.shape;
    this.classes = described.classes;
    this.dimension = described.dimension;
    this.thresholds = described.thresholds;
    if (described.logPriors) this.logPriors = described.logPriors;
    if (described.classMeans) this.classMeans = described.classMeans;
  }

  async score(x: Float32Array): Promise<Scores> {
    const result = this.emptyScores(this.countOf(x));
    const session = await this.session("score", () => this.scoringModel());
    for (const { start, count } of batches(this.countOf(x), [batchSizes[0]])) {
      const size = sizeOfImage(this.shape);
      const images = tensor("float32", x.subarray(start * size, (start + count) * size), this.imagesShape(count));
      this.keepScores(await session.run({ x: images }), result, start, count);
    }
    return result;
  }

  /** Errors: UserError when the objective needs more classes than there are. */
  async gradient(objective: Objective, x: Float32Array, inputs: ObjectiveInputs): Promise<ScoresWithGradient> {
    const count = this.countOf(x);
    const size = sizeOfImage(this.shape);
    const result = { ...this.emptyScores(count), objective: new Float32Array(count), gradient: new Float32Array(count * size) };
    for (const { start, count: filled, size: batch } of batches(count, batchSizes)) {
      const session = await this.session(`${JSON.stringify(objective)} ${batch}`, () => this.gradientModel(objective, batch));
      const part = (values: Float32Array, width: number) => padded(values.subarray(start * width, (start + filled) * width), batch * width);
      const classIndices = (values: Int32Array) =>
        tensor(
          "int64",
          BigInt64Array.from({ length: batch }, (_, i) => BigInt(i < filled ? values[start + i]! : 0)),
          [batch],
        );
      const feeds: Record<string, Tensor> = { x: tensor("float32", part(x, size), this.imagesShape(batch)) };
      for (const name of session.inputNames) {
        if (name === "x") continue;
        const given = inputs[name as keyof ObjectiveInputs];
        if (!given) throw new InternalError(`objective ${objective.kind}: needs ${name}`);
        if (given instanceof Int32Array) feeds[name] = classIndices(given);
        else feeds[name] = tensor("float32", part(given, given.length / count), [batch, given.length / count]);
      }
      const outputs = await session.run(feeds);
      this.keepScores(outputs, result, start, filled);
      result.objective.set((outputs["objective"]!.data as Float32Array).subarray(0, filled), start);
      result.gradient.set((outputs["gradient"]!.data as Float32Array).subarray(0, filled * size), start * size);
    }
    return result;
  }

  async release(): Promise<void> {
    const open = [...this.sessions.values()];
    this.sessions.clear();
    await Promise.all(open.map(async (session) => (await session).release()));
  }

  private session(key: string, build: () => Promise<Uint8Array>): Promise<Session> {
    const known = this.sessions.get(key);
    if (known) return known;
    const made = build().then((bytes) => Session.create(bytes, this.options));
    this.sessions.set(key, made);
    // One that could not be made is not kept.
    made.catch(() => this.sessions.delete(key));
    return made;
  }

  private readonly imagesShape = (count: number): readonly number[] => [count, this.shape.channels, this.shape.height, this.shape.width];

  private weights(): Map<string, Float32Array> {
    const { weights, thresholds, logPriors } = this.described;
    const all = new Map(weights).set(thresholdsName, thresholds);
    return logPriors ? all.set(logPriorsName, logPriors) : all;
  }

  private outputs({ scores, representation }: Scored): Record<string, Value> {
    const { label, accepted } = decide(scores, this.classes, this.described.logPriors !== undefined);
    return { label, accepted, class_log_likelihoods: scores, representation };
  }

  private async scoringModel(): Promise<Uint8Array> {
    const graph = new Graph();
    const { channels, height, width } = this.shape;
    const x = input(graph, "x", "float32", ["N", channels, height, width]);
    return encodeModel(lower(this.outputs(this.described.build(graph, x)), { target: portable, weights: this.weights() }));
  }

  private async gradientModel(objective: Objective, batch: number): Promise<Uint8Array> {
    if (this.classes < classesNeeded(objective)) {
      throw new UserError(`loss ${objective.kind}: needs ${classesNeeded(objective)} classes, the model has ${this.classes}; take margin`);
    }
    const graph = new Graph();
    const x = input(graph, "x", "float32", this.imagesShape(batch));
    const scored = this.described.build(graph, x);
    const outputs = this.outputs(scored);
    const hasPriors = this.described.logPriors !== undefined;
    const value = buildObjective(objective, {
      ...scored,
      decision: hasPriors ? add(scored.scores, parameter(graph, logPriorsName, [this.classes])) : scored.scores,
      thresholds: parameter(graph, thresholdsName, [this.classes]),
      classes: this.classes,
      label: () => input(graph, "labels", "int64", [batch]),
      target: () => input(graph, "targets", "int64", [batch]),
      classWeights: () => input(graph, "classWeights", "float32", [batch, this.classes]),
      anchors: () => input(graph, "anchors", "float32", [batch, this.dimension]),
    });
    const [gradient] = gradients(sum(value), [x]);
    const target = await targetFor(this.options.provider ?? "cpu");
    return encodeModel(lower({ ...outputs, objective: value, gradient: gradient! }, { target, weights: this.weights() }));
  }

  private countOf(x: Float32Array): number {
    const count = x.length / sizeOfImage(this.shape);
    if (Number.isInteger(count)) return count;
    throw new UserError(`images: expected a multiple of ${sizeOfImage(this.shape)} values, got ${x.length}`);
  }

  private emptyScores(count: number): Scores {
    return {
      labels: new Int32Array(count),
      accepted: new Uint8Array(count),
      classLogLikelihoods: new Float32Array(count * this.classes),
      representations: new Float32Array(count * this.dimension),
    };
  }

  private keepScores(outputs: Readonly<Record<string, Tensor>>, into: Scores, start: number, count: number): void {
    const floats = (name: string, width: number) => (outputs[name]!.data as Float32Array).subarray(0, count * width);
    const labels = outputs["label"]!.data as BigInt64Array;
    for (let i = 0; i < count; i++) into.labels[start + i] = Number(labels[i]);
    into.accepted.set((outputs["accepted"]!.data as Uint8Array).subarray(0, count), start);
    into.classLogLikelihoods.set(floats("class_log_likelihoods", this.classes), start * this.classes);
    into.representations.set(floats("representation", this.dimension), start * this.dimension);
  }
}

/** `count` samples as batches of the given sizes, largest first; the last may be filled in part. */
function batches(count: number, sizes: readonly number[]): { readonly start: number; readonly count: number; readonly size: number }[] {
  const made = [];
  let start = 0;
  while (start < count) {
    const left = count - start;
    const size = sizes.find((candidate) => candidate <= left) ?? sizes.at(-1)!;
    made.push({ start, count: Math.min(size, left), size });
    start += size;
  }
  return made;
}

function padded(values: Float32Array, length: number): Float32Array {
  if (values.length === length) return values;
  const result = new Float32Array(length);
  result.set(values);
  return result;
}
