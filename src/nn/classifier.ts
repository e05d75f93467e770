import type { Value } from "../graph/graph.ts";
import { type CriticKind, criticScores, type Negatives, type Scores } from "./critic.ts";
import { classLogLikelihoods } from "./gaussians.ts";
import type { Network } from "./network.ts";
import { type EncoderConfig, encode } from "./resnet.ts";

/** `sdim`: class Gaussians over a representation. `softmax`: the discriminative counterpart, the same encoder with class logits. */
export type Head = "sdim" | "softmax";

export const localFeatureStages = ["stage1", "stage2", "stage3", "stage4"] as const;
export type LocalFeatures = (typeof localFeatureStages)[number];

/**
 * What says that an input is unknown, and is compared with thresholds: `likelihood`, log p(z|c) as in the paper, or `penalised-likelihood`, the same less a
 * penalty for what lies between the classes (`src/nn/scorer.ts` has the formula). They differ in what is refused, never in the class that wins.
 */
export const rejectScores = ["likelihood", "penalised-likelihood"] as const;
export type RejectScore = (typeof rejectScores)[number];

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
}

/** What a model compares with thresholds. */
export const rejectScoreOf = ({ head, rejectBy = "likelihood" }: Pick<ModelConfig, "head" | "rejectBy">): RejectScore | "posterior" =>
  head === "softmax" ? "posterior" : rejectBy;

const scoreNames: Readonly<Record<RejectScore | "posterior", string>> = {
  likelihood: "log-likelihood",
  "penalised-likelihood": "penalised log-likelihood",
  posterior: "log-posterior",
};

/** For a person: what a model compares with thresholds. */
export const rejectScoreInWords = (model: Pick<ModelConfig, "head" | "rejectBy">): string => scoreNames[rejectScoreOf(model)];

export interface Classified {
  /** Per class, higher is likelier: raw log-likelihoods (nats) or, for the softmax head, logits: [N, C]. */
  readonly classScores: Value;
  /** [N, d]; the logits for the softmax head. */
  readonly representation: Value;
}

/** x [N, channels, size, size] in [0, 1] -> class scores. */
export function classify(net: Network, x: Value, config: ModelConfig): Classified {
  const { output } = encode(net, x, config, config.head === "sdim" ? config.dimension : config.classes);
  return { classScores: scores(net, output, config), representation: output };
}

/** The same, and for the sdim head what the critic says of the batch: what training needs. */
export function classifyForTraining(
  net: Network,
  x: Value,
  config: ModelConfig,
  negatives: Negatives,
): Classified & { readonly critic?: Scores } {
  const { output, stages } = encode(net, x, config, config.head === "sdim" ? config.dimension : config.classes);
  const classified = { classScores: scores(net, output, config), representation: output };
  if (config.head === "softmax") return classified;
  const local = stages[localFeatureStages.indexOf(config.localFeatures)]!;
  return { ...classified, critic: criticScores(net, local, output, config.critic, negatives) };
}

const scores = (net: Network, output: Value, { head, classes, logSigmaFloor }: ModelConfig): Value =>
  head === "sdim" ? classLogLikelihoods(net, output, classes, logSigmaFloor) : output;
