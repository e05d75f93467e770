import type { Value } from "../graph/graph.ts";
import { type CriticKind, criticScores, type Negatives, type Scores } from "./critic.ts";
import { classLogLikelihoods } from "./gaussians.ts";
import type { Network } from "./network.ts";
import type { RejectScore } from "./reject-score.ts";
import { type Encoded, type EncoderConfig, encode } from "./resnet.ts";

/** `sdim`: class Gaussians over a representation. `softmax`: the discriminative counterpart, the same encoder with class logits. */
export type Head = "sdim" | "softmax";

export const localFeatureStages = ["stage1", "stage2", "stage3", "stage4"] as const;
export type LocalFeatures = (typeof localFeatureStages)[number];

/** What a classifier is made of: everything that decides its parameters, and what it rejects by. */
export interface ModelConfig extends EncoderConfig {
  readonly head: Head;
  readonly classes: number;
  readonly channels: 1 | 3;
  /** Height and width of what the encoder sees. */
  readonly imageSize: number;
  /** d: numbers in a representation. */
  readonly dimension: number;
  readonly critic: CriticKind;
  readonly localFeatures: LocalFeatures;
  readonly logSigmaFloor: number | null;
  /** Of the sdim head; the paper's where not said. The softmax head rejects by log p(c|x). */
  readonly rejectBy?: RejectScore | undefined;
  /** Whether what it says of an image is the mean over the image and its mirror image; not, where it is not said. */
  readonly testTimeFlip?: boolean | undefined;
}

export interface Classified {
  /** Per class, higher is likelier: raw log-likelihoods (nats) or, for the softmax head, logits: [N, C]. */
  readonly classScores: Value;
  /** [N, d]; the logits for the softmax head. */
  readonly representation: Value;
  readonly stages: Encoded["stages"];
}

/** Numbers in a representation: d, or for the softmax head a logit per class. */
export const representationSize = ({ head, dimension, classes }: Pick<ModelConfig, "head" | "dimension" | "classes">): number =>
  head === "sdim" ? dimension : classes;

/** x [N, channels, size, size] in [0, 1] -> class scores. */
export function classify(net: Network, x: Value, config: ModelConfig): Classified {
  const { output, stages } = encode(net, x, config, representationSize(config));
  return { classScores: scores(net, output, config), representation: output, stages };
}

/** The same, and for the sdim head what the critic says of the batch: what training needs. */
export function classifyForTraining(
  net: Network,
  x: Value,
  config: ModelConfig,
  negatives: Negatives,
): Classified & { readonly critic?: Scores } {
  const classified = classify(net, x, config);
  if (config.head === "softmax") return classified;
  const local = classified.stages[localFeatureStages.indexOf(config.localFeatures)]!;
  return { ...classified, critic: criticScores(net, local, classified.representation, config.critic, negatives) };
}

const scores = (net: Network, output: Value, { head, classes, logSigmaFloor }: ModelConfig): Value =>
  head === "sdim" ? classLogLikelihoods(net, output, classes, logSigmaFloor) : output;
