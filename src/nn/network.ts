import {
  add,
  batchNormInference,
  batchNormTraining,
  batchStatistics,
  conv2d,
  matmul,
  mul,
  parameter,
  perChannelCount,
} from "../graph/build.ts";
import type { Graph, Value } from "../graph/graph.ts";
import type { StaticShape } from "../graph/types.ts";
import { staticDim } from "../graph/types.ts";

/** How a parameter starts: `uniform` over [-bound, bound), `normal` around 0, or one value everywhere. */
export type Initial =
  | { readonly kind: "uniform"; readonly bound: number }
  | { readonly kind: "normal"; readonly deviation: number }
  | { readonly kind: "constant"; readonly value: number };

/** `weight`: trained by gradients. `statistic`: a running average, kept beside the weights. */
export interface ParameterSpec {
  readonly name: string;
  readonly shape: StaticShape;
  readonly role: "weight" | "statistic";
  readonly initial: Initial;
}

/**
 * `training`: batch normalisation by the batch's statistics, running statistics brought up to date.
 * `inference`: by the running statistics. `folded`: no batch normalisation, its scale and shift are in the layers before it.
 */
export type Mode = "training" | "inference" | "folded";

/** Layers start uniform over +-1/sqrt(fan in), as PyTorch starts its convolutions and linear layers. */
const freshBound = (fanIn: number): number => 1 / Math.sqrt(fanIn);

const epsilon = 1e-5;
const momentum = 0.1;

/** A network under construction: a graph, the mode its layers are built in, and the parameters they declared. */
export class Network {
  readonly graph: Graph;
  readonly mode: Mode;
  readonly parameters: ParameterSpec[] = [];
  /** In training: the new value of each running statistic, by parameter name. */
  readonly statistics = new Map<string, Value>();
  /** Which norm follows which layer, by parameter path, and what that layer puts out: what folding needs to know, and undoing it. */
  readonly norms: { readonly layer: string; readonly norm: string; readonly output: Value }[] = [];

  constructor(graph: Graph, mode: Mode) {
    this.graph = graph;
    this.mode = mode;
  }

  scope<T>(name: string, build: () => T): T {
    return this.graph.scope(name, build);
  }

  weight(name: string, shape: StaticShape, initial: Initial): Value {
    this.parameters.push({ name: this.graph.path(name), shape, role: "weight", initial });
    return parameter(this.graph, name, shape);
  }

  private statistic(name: string, shape: StaticShape, value: number): Value {
    this.parameters.push({ name: this.graph.path(name), shape, role: "statistic", initial: { kind: "constant", value } });
    return parameter(this.graph, name, shape);
  }

  private layerWeight(name: string, shape: StaticShape, fanIn: number): Value {
    return this.weight(name, shape, { kind: "uniform", bound: freshBound(fanIn) });
  }

  /** x [N, C, H, W] -> [N, filters, H', W']. With `norm`, a batch normalisation of that name follows. */
  conv(x: Value, name: string, { filters, kernel, stride = 1, bias = false, norm }: ConvOptions): Value {
    const channels = staticDim(x.type.shape[1], name);
    const fanIn = channels * kernel * kernel;
    const weight = this.layerWeight(`${name}.weight`, [filters, channels, kernel, kernel], fanIn);
    const hasBias = bias || (norm !== undefined && this.mode === "folded");
    const offset = hasBias ? { bias: this.layerWeight(`${name}.bias`, [filters], fanIn) } : {};
    const y = conv2d(x, weight, { stride, padding: kernel >> 1, ...offset });
    return norm === undefined ? y : this.norm(y, name, norm);
  }

  /** y = x W^T + b: x [N, inputs] -> [N, outputs]. With `norm`, a batch normalisation of that name follows. */
  linear(x: Value, name: string, { outputs, norm }: { readonly outputs: number; readonly norm?: string }): Value {
    const inputs = staticDim(x.type.shape[1], name);
    const weight = this.layerWeight(`${name}.weight`, [outputs, inputs], inputs);
    const y = add(matmul(x, weight, { transposeB: true }), this.layerWeight(`${name}.bias`, [outputs], inputs));
    return norm === undefined ? y : this.norm(y, name, norm);
  }

  /** Batch normalisation of [N, C, ...]; running averages with momentum 0.1, of the unbiased variance (as PyTorch keeps them). */
  private norm(x: Value, layer: string, name: string): Value {
    this.norms.push({ layer: this.graph.path(layer), norm: this.graph.path(name), output: x });
    if (this.mode === "folded") return x;
    const channels = staticDim(x.type.shape[1], name);
    const gamma = this.weight(`${name}.weight`, [channels], { kind: "constant", value: 1 });
    const beta = this.weight(`${name}.bias`, [channels], { kind: "constant", value: 0 });
    const runningMean = this.statistic(`${name}.runningMean`, [channels], 0);
    const runningVariance = this.statistic(`${name}.runningVariance`, [channels], 1);
    if (this.mode === "inference") return batchNormInference(x, { gamma, beta, mean: runningMean, variance: runningVariance }, epsilon);
    const { mean, variance } = batchStatistics(x);
    const count = perChannelCount(x);
    const follow = (running: Value, seen: Value, unbias: number) => add(mul(running, 1 - momentum), mul(seen, momentum * unbias));
    this.statistics.set(runningMean.name, follow(runningMean, mean, 1));
    this.statistics.set(runningVariance.name, follow(runningVariance, variance, count / (count - 1)));
    return batchNormTraining(x, { gamma, beta, mean, variance }, epsilon);
  }
}

export interface ConvOptions {
  readonly filters: number;
  /** Square and odd; the padding keeps the size at stride 1. */
  readonly kernel: number;
  readonly stride?: number;
  readonly bias?: boolean;
  readonly norm?: string;
}

/** Numbers trained by gradients; running statistics do not count. */
export const countWeights = (parameters: readonly ParameterSpec[]): number =>
  parameters
    .filter((spec) => spec.role === "weight")
    .reduce((total, { shape }) => total + shape.reduce((product, dim) => product * dim, 1), 0);

export type NormPlace = Pick<Network["norms"][number], "layer" | "norm">;

/**
 * Weights of the `folded` network, from those of a trained one: with r = gamma / sqrt(runningVariance + epsilon),
 *   weight' = weight * r (per output),  bias' = beta + (bias - runningMean) r.
 */
export function foldNorms(norms: readonly NormPlace[], weights: ReadonlyMap<string, Float32Array>): Map<string, Float32Array> {
  const folded = new Map(weights);
  for (const { layer, norm } of norms) {
    const get = (name: string) => weights.get(`${norm}.${name}`)!;
    const [gamma, beta, mean, variance] = [get("weight"), get("bias"), get("runningMean"), get("runningVariance")];
    const scale = gamma.map((value, i) => value / Math.sqrt(variance[i]! + epsilon));
    const weight = weights.get(`${layer}.weight`)!;
    const bias = weights.get(`${layer}.bias`);
    const perOutput = weight.length / gamma.length;
    folded.set(
      `${layer}.weight`,
      weight.map((value, i) => value * scale[Math.floor(i / perOutput)]!),
    );
    folded.set(
      `${layer}.bias`,
      beta.map((value, i) => value + ((bias?.[i] ?? 0) - mean[i]!) * scale[i]!),
    );
    for (const name of ["weight", "bias", "runningMean", "runningVariance"]) folded.delete(`${norm}.${name}`);
  }
  return folded;
}

/** Of what one layer of the folded network puts out for many images, per channel. */
export interface OutputStatistics {
  readonly mean: Float32Array;
  /** Biased. */
  readonly variance: Float32Array;
}

/**
 * The other way: weights with batch normalisation that give what the folded ones give, and go on giving it when training normalises by the batch. With m
 * and s^2 the statistics of the folded layer's output (by layer) and any scale k per output:
 *   weight = k weight',  bias = 0,  runningMean = k (m - bias'),  runningVariance = k^2 s^2,
 *   gamma = sqrt(k^2 s^2 + epsilon) / k,  beta = m.
 * k makes each output's weights as large as those of `like`, or as fresh ones: normalisation hides their size, and the larger they are, the less a step turns them.
 */
export function unfoldNorms(
  norms: readonly NormPlace[],
  folded: ReadonlyMap<string, Float32Array>,
  statistics: ReadonlyMap<string, OutputStatistics>,
  like?: ReadonlyMap<string, Float32Array>,
): Map<string, Float32Array> {
  const weights = new Map(folded);
  const rootMeanSquare = (values: Float32Array): number => Math.sqrt(values.reduce((sum, value) => sum + value ** 2, 0) / values.length);
  for (const { layer, norm } of norms) {
    const weight = folded.get(`${layer}.weight`)!;
    const bias = folded.get(`${layer}.bias`)!;
    const { mean, variance } = statistics.get(layer)!;
    const perOutput = weight.length / bias.length;
    const other = like?.get(`${layer}.weight`);
    const scale = bias.map((_, i) => {
      const sizeIn = (all: Float32Array): number => rootMeanSquare(all.subarray(i * perOutput, (i + 1) * perOutput));
      const size = sizeIn(weight);
      // A uniform draw over +-b has the root mean square b / sqrt 3.
      const wanted = other ? sizeIn(other) : freshBound(perOutput) / Math.sqrt(3);
      return size === 0 || wanted === 0 ? 1 : wanted / size;
    });
    const per = (value: (i: number) => number): Float32Array => bias.map((_, i) => value(i));
    weights.set(
      `${layer}.weight`,
      weight.map((value, i) => value * scale[Math.floor(i / perOutput)]!),
    );
    weights.set(
      `${layer}.bias`,
      per(() => 0),
    );
    weights.set(`${norm}.bias`, mean);
    weights.set(
      `${norm}.weight`,
      per((i) => Math.sqrt(scale[i]! ** 2 * variance[i]! + epsilon) / scale[i]!),
    );
    weights.set(
      `${norm}.runningMean`,
      per((i) => scale[i]! * (mean[i]! - bias[i]!)),
    );
    weights.set(
      `${norm}.runningVariance`,
      per((i) => scale[i]! ** 2 * variance[i]!),
    );
  }
  return weights;
}
