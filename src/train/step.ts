import { argMax, cast, equal, input, mean } from "../graph/build.ts";
import { Graph, type Value } from "../graph/graph.ts";
import { crossEntropyLoss, type LossConfig, sdimLoss } from "../losses/losses.ts";
import { classifyForTraining, type ModelConfig } from "../nn/classifier.ts";
import type { Negatives } from "../nn/critic.ts";
import { Network, type ParameterSpec } from "../nn/network.ts";
import { preprocess } from "../nn/preprocess.ts";
import { adam, adamDefaults, type StateSpec } from "../optim/adam.ts";
import { movingAverages } from "../optim/average.ts";

export interface StepConfig {
  readonly model: ModelConfig;
  readonly loss: LossConfig;
  readonly negatives: Negatives;
  readonly batchSize: number;
  /** Of the images as they come; the graph resizes them. */
  readonly height: number;
  readonly width: number;
  /** Decoupled, of the weights of convolutions and linear layers; none unless given. */
  readonly weightDecay?: number;
  /** Decay of the moving averages `ema.<name>` of weights and running statistics; none unless given. */
  readonly ema?: number;
}

/** A whole training step as one graph: forward, all gradients, Adam, running statistics. */
export interface TrainingStep {
  readonly graph: Graph;
  readonly parameters: readonly ParameterSpec[];
  /** The moving averages included. */
  readonly optimizerState: readonly StateSpec[];
  /** Scalars by name: `loss`, its parts, `trainAccuracy` of the batch. */
  readonly metrics: Readonly<Record<string, Value>>;
  /** New value by name of every weight, statistic, average and piece of optimizer state. */
  readonly next: ReadonlyMap<string, Value>;
}

/** Inputs: `images` uint8 [N, height, width, channels], `labels` int64 [N], `learningRate` []. */
export function buildTrainingStep(config: StepConfig): TrainingStep {
  const { model, batchSize } = config;
  const graph = new Graph();
  const net = new Network(graph, "training");
  const images = input(graph, "images", "uint8", [batchSize, config.height, config.width, model.channels]);
  const labels = input(graph, "labels", "int64", [batchSize]);
  const { classScores, critic } = classifyForTraining(net, preprocess(images, model.imageSize), model, config.negatives);
  const { total, parts } = critic
    ? sdimLoss(classScores, critic, labels, model.dimension, config.loss)
    : crossEntropyLoss(classScores, labels);
  const isWeight = new Set(net.parameters.filter((spec) => spec.role === "weight").map((spec) => spec.name));
  const weights = graph.parameters().filter((value) => isWeight.has(value.name));
  const isOfLayer = ({ name, type }: Value) => name.endsWith(".weight") && type.shape.length > 1;
  const { next, state } = adam(graph, total, weights, { ...adamDefaults, weightDecay: config.weightDecay ?? 0 }, isOfLayer);
  const networkNext = new Map([...weights.map(({ name }) => [name, next.get(name)!] as const), ...net.statistics]);
  const averages = config.ema === undefined ? undefined : movingAverages(graph, networkNext, config.ema);
  const trainAccuracy = mean(cast(equal(argMax(classScores), labels), "float32"));
  return {
    graph,
    parameters: net.parameters,
    optimizerState: [...state, ...(averages?.state ?? [])],
    metrics: { loss: total, ...parts, trainAccuracy },
    next: new Map([...next, ...net.statistics, ...(averages?.next ?? [])]),
  };
}
