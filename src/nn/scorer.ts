import { add, argMax, gather, greaterOrEqual, input, logSoftmax, mean, mul, oneHot, parameter, relu, sub, sum } from "../graph/build.ts";
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
export const backgroundLimitName = "background_limit";

/** What a model says of images before it decides. */
export interface Scored {
  /** Nats, [N, C]: what is compared with thresholds, by the model's `rejectBy`: log p(z|c), raw or penalised; for the softmax head log p(c|x). */
  readonly scores: Value;
  /** [N, d] */
  readonly representation: Value;
}

/** Of x [N, channels, size, size] in [0, 1]. */
export function score(net: Network, x: Value, config: ModelConfig): Scored {
  const { classScores, representation } = classify(net, x, config);
  if (config.head === "softmax") return { scores: logSoftmax(classScores), representation };
  return { scores: config.rejectBy === "penalised-likelihood" ? penalised(classScores) : classScores, representation };
}

/**
 * Class log-likelihoods ll [N, C] less what their mean has above the parameter `background_limit`, b0:
 *   ll_c - max(0, b - b0),  b = 1/C sum_k ll_k = log (p(z|1) .. p(z|C))^(1/C)
 * b is large where z lies between the classes, near to all of them for an image of one. b0 is a high percentile of b over the calibration images, so that
 * nearly all of those have no penalty. A difference of ll_c and b alone would let in what is far from every class; cf. the relative Mahalanobis distance
 * (Ren et al. 2021, arXiv 2106.09022), which takes the log-density of a single background Gaussian off. All classes have the same penalty: label and
 * posterior stay.
 */
function penalised(logLikelihoods: Value): Value {
  const limit = parameter(logLikelihoods.graph, backgroundLimitName, [1]);
  return sub(logLikelihoods, relu(sub(mean(logLikelihoods, [1], true), limit)));
}

/**
 * The verdicts on class log-likelihoods [N, C], by the parameters `thresholds` and, where there are priors, `log_priors`:
 *   label = argmax_c log p(z|c) + log p(c);  accepted = log p(z|label) >= threshold_label   (paper, 3.2 and Eq. 9)
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
