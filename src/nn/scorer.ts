import { add, argMax, gather, greaterOrEqual, input, logSoftmax, mean, mul, oneHot, parameter, sub, sum } from "../graph/build.ts";
import { gradients } from "../graph/gradients.ts";
import { Graph, type Value } from "../graph/graph.ts";
import { classify, type ModelConfig } from "./classifier.ts";
import { Network, type ParameterSpec } from "./network.ts";
import { preprocess } from "./preprocess.ts";

export interface Inference {
  readonly net: Network;
  readonly outputs: Readonly<Record<string, Value>>;
}

/** Names of the tensors beside the network's own weights in a model file. */
export const thresholdsName = "thresholds";
export const logPriorsName = "log_priors";

/** What a model says of images before it decides. */
export interface Scored {
  /** Nats, [N, C]: what is compared with thresholds, by the model's `rejectBy`: log p(z|c), raw or relative; for the softmax head log p(c|x). */
  readonly scores: Value;
  /** [N, d] */
  readonly representation: Value;
}

/** Of x [N, channels, size, size] in [0, 1]. */
export function score(net: Network, x: Value, config: ModelConfig): Scored {
  const { classScores, representation } = classify(net, x, config);
  if (config.head === "softmax") return { scores: logSoftmax(classScores), representation };
  return { scores: config.rejectBy === "relative-likelihood" ? relativeToMean(classScores) : classScores, representation };
}

/**
 * Class log-likelihoods ll [N, C] against what the classes say on average:
 *   ll_c - 1/C sum_k ll_k = log [ p(z|c) / (p(z|1) .. p(z|C))^(1/C) ]
 * The geometric mean of Gaussians is one Gaussian (not normalised), so it stands for a background that all images share, as the single Gaussian does in
 * the relative Mahalanobis distance (Ren et al. 2021, arXiv 2106.09022). Differences between classes, and so the label and the posterior, stay.
 */
const relativeToMean = (logLikelihoods: Value): Value => sub(logLikelihoods, mean(logLikelihoods, [1], true));

/**
 * The verdicts on class log-likelihoods [N, C], by the parameters `thresholds` and, where there are priors, `log_priors`:
 *   label = argmax_c log p(z|c) + log p(c);  accepted = log p(z|label) >= threshold_label   (paper, 3.2 and Eq. 9)
 * With relative log-likelihoods the label is the same.
 */
export function decide(scores: Value, classes: number, hasPriors: boolean): Readonly<Record<DecisionName, Value>> {
  const { graph } = scores;
  const label = argMax(hasPriors ? add(scores, parameter(graph, logPriorsName, [classes])) : scores);
  const logLikelihood = sum(mul(scores, oneHot(label, classes)), [1]);
  const threshold = gather(parameter(graph, thresholdsName, [classes]), label);
  return { label, accepted: greaterOrEqual(logLikelihood, threshold), log_likelihood: logLikelihood, threshold };
}
type DecisionName = "label" | "accepted" | "log_likelihood" | "threshold";

/** The graph of a model file: `images` uint8 [N, H, W, channels] of any size -> verdicts. */
export function buildInference(config: ModelConfig, hasPriors: boolean): Inference {
  const graph = new Graph();
  const net = new Network(graph, "folded");
  const images = input(graph, "images", "uint8", ["N", "H", "W", config.channels]);
  const { scores, representation } = score(net, preprocess(images, config.imageSize), config);
  return { net, outputs: { ...decide(scores, config.classes, hasPriors), class_log_likelihoods: scores, representation } };
}

/**
 * Input gradients: `x` float32 [N, channels, size, size] in [0, 1] and `class_weights` [N, C] ->
 * class log-likelihoods, representation and the gradient by x of sum_ic class_weights_ic log p(z_i|c).
 */
export function buildInputGradient(config: ModelConfig, batchSize: number): Inference {
  const graph = new Graph();
  const net = new Network(graph, "folded");
  const x = input(graph, "x", "float32", [batchSize, config.channels, config.imageSize, config.imageSize]);
  const weights = input(graph, "class_weights", "float32", [batchSize, config.classes]);
  const { scores, representation } = score(net, x, config);
  const [gradient] = gradients(sum(mul(scores, weights)), [x]);
  return { net, outputs: { class_log_likelihoods: scores, representation, input_gradient: gradient! } };
}

/** The parameters of a trained network as training knows them (before folding), and which norms fold into which layers. */
export function describeNetwork(config: ModelConfig): { readonly parameters: readonly ParameterSpec[]; readonly norms: Network["norms"] } {
  const net = new Network(new Graph(), "inference");
  const x = input(net.graph, "x", "float32", ["N", config.channels, config.imageSize, config.imageSize]);
  classify(net, x, config);
  return { parameters: net.parameters, norms: net.norms };
}
