import {
  add,
  argMax,
  gather,
  greater,
  greaterOrEqual,
  input,
  logSoftmax,
  matmul,
  mean,
  mul,
  oneHot,
  parameter,
  relu,
  scalar,
  square,
  sub,
  sum,
  where,
} from "../graph/build.ts";
import { gradients } from "../graph/gradients.ts";
import { Graph, type Value } from "../graph/graph.ts";
import { classify, type ModelConfig } from "./classifier.ts";
import { firstOfPairs, meanOfPairs, withMirrorImages } from "./mirror.ts";
import { Network, type ParameterSpec } from "./network.ts";
import { preprocess } from "./preprocess.ts";
import { channelStatistics, statisticsCount } from "./statistics.ts";

export interface Inference {
  readonly net: Network;
  readonly outputs: Readonly<Record<string, Value>>;
}

/** Names of the tensors beside the network's own weights in a model file. */
export const thresholdsName = "thresholds";
export const logPriorsName = "log_priors";
const penaltyNames = {
  backgroundLimit: "background_limit",
  statisticsMean: "statistics_mean",
  statisticsWhitening: "statistics_whitening",
  statisticsLimit: "statistics_limit",
} as const;

/** What the penalties of `penalised` begin at, and what they are measured by. */
export interface Penalty {
  /** b0, nats. */
  readonly backgroundLimit: number;
  /** mu, [S] */
  readonly statisticsMean: Float32Array;
  /** W, [S, S], row by row. */
  readonly statisticsWhitening: Float32Array;
  /** u0, nats. */
  readonly statisticsLimit: number;
}

/** By the names of their tensors. */
export const penaltyTensors = (penalty: Penalty): ReadonlyMap<string, Float32Array> =>
  new Map([
    [penaltyNames.backgroundLimit, Float32Array.of(penalty.backgroundLimit)],
    [penaltyNames.statisticsMean, penalty.statisticsMean],
    [penaltyNames.statisticsWhitening, penalty.statisticsWhitening],
    [penaltyNames.statisticsLimit, Float32Array.of(penalty.statisticsLimit)],
  ]);

/** What a model says of images before it decides. */
export interface Scored {
  /** Nats, [N, C]: what is compared with thresholds, by the model's `rejectBy`: log p(z|c), raw or penalised; for the softmax head log p(c|x). */
  readonly scores: Value;
  /** [N, d]: of the image itself, where mirror images are looked at too. */
  readonly representation: Value;
  /** t, [N, S]: see `statistics.ts`. Where it is asked for, of the sdim head. */
  readonly statistics?: Value;
}

/**
 * Of x [N, channels, size, size] in [0, 1]. With a test-time flip class log-likelihoods (or logits) and statistics are means over x and its mirror image x':
 *   ll_c = 1/2 (log p(z(x)|c) + log p(z(x')|c)),  t = 1/2 (t(x) + t(x'))
 */
export function score(net: Network, x: Value, config: ModelConfig, { withStatistics = false } = {}): Scored {
  const count = x.type.shape[0]!;
  const isFlipped = config.testTimeFlip === true;
  const classified = classify(net, isFlipped ? withMirrorImages(x) : x, config);
  const overViews = (values: Value) => (isFlipped ? meanOfPairs(values, count) : values);
  const representation = isFlipped ? firstOfPairs(classified.representation, count) : classified.representation;
  const classScores = overViews(classified.classScores);
  if (config.head === "softmax") return { scores: logSoftmax(classScores), representation };
  const isPenalised = config.rejectBy === "penalised-likelihood";
  if (!isPenalised && !withStatistics) return { scores: classScores, representation };
  const statistics = overViews(channelStatistics(classified.stages));
  return { scores: isPenalised ? penalised(classScores, statistics, statisticsCount(config)) : classScores, representation, statistics };
}

/**
 * Class log-likelihoods ll [N, C] less two penalties, which are the same for all classes: label and posterior stay.
 *   s_c = ll_c - max(0, b - b0) - max(0, u - u0)
 *   b = 1/C sum_k ll_k = log (p(z|1) .. p(z|C))^(1/C)
 *   u = 1/2 |W (t - mu)|^2 = -log N(t; mu, Sigma) + constant,  W Sigma W^T = I
 * b is large where z lies between the classes, near to all of them for an image of one; cf. the relative Mahalanobis distance (Ren et al. 2021, arXiv
 * 2106.09022), which takes the log-density of a single background Gaussian off. u is large where the channel statistics t are not those of known images; it
 * is half a squared Mahalanobis distance (Lee et al. 2018, arXiv 1807.03888), of all classes together. Below the limits, high percentiles over the calibration
 * images, nothing is taken off, so that among known images it is mostly the likelihood that decides what to refuse. (A difference of ll_c and b without a limit would let in
 * what is far from every class.)
 */
function penalised(logLikelihoods: Value, statistics: Value, count: number): Value {
  const { graph } = logLikelihoods;
  const background = mean(logLikelihoods, [1], true);
  const centred = sub(statistics, parameter(graph, penaltyNames.statisticsMean, [count]));
  const whitened = matmul(centred, parameter(graph, penaltyNames.statisticsWhitening, [count, count]), { transposeB: true });
  const unlikeness = mul(sum(square(whitened), [1], true), scalar(graph, 0.5));
  const above = (value: Value, limit: string) => relu(sub(value, parameter(graph, limit, [1])));
  return sub(sub(logLikelihoods, above(background, penaltyNames.backgroundLimit)), above(unlikeness, penaltyNames.statisticsLimit));
}

/**
 * The verdicts on class log-likelihoods [N, C], by the parameters `thresholds` and, where there are priors, `log_priors`:
 *   label = argmax_c log p(z|c) + log p(c);  accepted = log p(z|label) >= threshold_label   (paper, 3.2 and Eq. 9)
 */
export function decide(scores: Value, classes: number, hasPriors: boolean): Readonly<Record<DecisionName, Value>> {
  const { graph } = scores;
  const label = argMax(hasPriors ? add(scores, parameter(graph, logPriorsName, [classes])) : scores);
  // Picked, not multiplied: another class may be at minus infinity, which times 0 is no number.
  const logLikelihood = sum(where(greater(oneHot(label, classes), scalar(graph, 0)), scores, scalar(graph, 0)), [1]);
  const threshold = gather(parameter(graph, thresholdsName, [classes]), label);
  return { label, accepted: greaterOrEqual(logLikelihood, threshold), log_likelihood: logLikelihood, threshold };
}
type DecisionName = "label" | "accepted" | "log_likelihood" | "threshold";

/**
 * The graph of a model file: `images` uint8 [N, H, W, channels] of any size -> verdicts. `withStatistics`: and `statistics`, where the head has them; a penalty is
 * made of these.
 */
export function buildInference(config: ModelConfig, hasPriors: boolean, { withStatistics = false } = {}): Inference {
  const graph = new Graph();
  const net = new Network(graph, "folded");
  const images = input(graph, "images", "uint8", ["N", "H", "W", config.channels]);
  const { scores, representation, statistics } = score(net, preprocess(images, config.imageSize), config, { withStatistics });
  const verdicts = { ...decide(scores, config.classes, hasPriors), class_log_likelihoods: scores, representation };
  return { net, outputs: withStatistics && statistics ? { ...verdicts, statistics } : verdicts };
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
