import { z } from "zod";
import { thresholdScopes } from "../classify/card.ts";
import { networkShape, tooManyWeights } from "../classify/network-schema.ts";
import { UserError } from "../core/errors.ts";
import { oneOf } from "../core/names.ts";
import { problemsIn } from "../core/problems.ts";
import { miBounds } from "../losses/bounds.ts";
import type { LossConfig } from "../losses/losses.ts";
import type { ModelConfig } from "../nn/classifier.ts";
import { rejectScores } from "../nn/reject-score.ts";

export const keeps = ["last", "lowest-training-loss", "best-validation"] as const;

/** More is a slip of the hand: what float32 holds, and what ends. */
const largest = 1_000_000;

/** Everything a training depends on besides its data. Unknown keys are errors. */
export const trainConfigSchema = z
  .strictObject({
    head: networkShape.head,
    depth: networkShape.depth,
    widths: networkShape.widths,
    imageSize: networkShape.imageSize,
    dimension: networkShape.dimension,
    critic: networkShape.critic,
    localFeatures: networkShape.localFeatures,
    negatives: z.enum(["shuffled", "all-pairs"]).describe("pairs the mutual-information loss tells from true ones"),
    miBound: z.enum(miBounds).describe("lower bound of the mutual information"),
    alpha: z.number().min(0).max(largest).describe("weight of the mutual-information loss"),
    beta: z.number().min(0).max(largest).describe("weight of the negative log-likelihood"),
    gamma: z.number().min(0).max(largest).describe("weight of the margin loss"),
    margin: z.number().min(0).max(largest).describe("K: wanted margin between the true class and each other"),
    perDimension: z.boolean().describe("whether the likelihood losses use ll / d"),
    logSigmaFloor: networkShape.logSigmaFloor,
    meanSpread: z.number().positive().max(largest).describe("standard deviation that the class means are drawn with at the start"),
    prior: z.enum(["uniform", "training-frequency"]).describe("of the classes, in the decision"),
    cropPadding: z.int().min(0).max(largest).describe("zeros around a training image, of which a random window is cut"),
    flip: z.boolean().describe("whether training images are mirrored at random"),
    randomErasing: z.number().min(0).max(1).describe("probability that a random rectangle of a training image is filled with noise"),
    epochs: z.number().positive().max(largest).describe("times every training image is seen; fractions are fine"),
    batchSize: z.int().min(2).max(65_536).describe("images of a step"),
    learningRate: z.number().positive().max(largest).describe("of Adam; with one-cycle, its peak"),
    weightDecay: z
      .number()
      .min(0)
      .max(largest)
      .describe("decoupled, of convolutions and linear layers (AdamW): share of them taken off per step and unit of learning rate"),
    schedule: z.enum(["constant", "one-cycle"]).describe("of the learning rate"),
    validation: z.number().min(0).lt(1).describe("share of every class held out of the training set and scored each epoch; 0: none"),
    patience: z
      .int()
      .min(1)
      .max(largest)
      .nullable()
      .describe("epochs without a better validation score after which training ends; null: never"),
    keep: z.enum(keeps).describe("which weights become the model: of the last step or of the best epoch"),
    ema: z
      .number()
      .gt(0)
      .refine((decay) => Math.fround(decay) < 1, "expected a number below 1, in float32")
      .nullable()
      .describe("decay of the moving average of weights that is validated and exported; null: none"),
    rejectBy: z
      .enum(rejectScores)
      .describe(
        "what is compared with thresholds: log p(z|c), or that less penalties for what lies between the classes and for statistics unlike those of known images",
      ),
    testTimeFlip: z
      .boolean()
      .describe(
        "whether scores are means over an image and its mirror image: more accurate where training images are mirrored too, in twice the time",
      ),
    percentile: z.number().min(0).lt(100).describe("percentile of the thresholds put in force"),
    thresholdsFrom: z.enum(["training", "validation"]).describe("images the thresholds put in force are taken from"),
    thresholdsFor: z.enum(thresholdScopes).describe("whether every class has a threshold of its own or all have the same"),
    seed: z.int().min(0).max(0xffffffff).describe("of weights, order, augmentation and split"),
  })
  .check(({ value, issues }) => {
    const excess = tooManyWeights(value);
    if (excess !== undefined) issues.push({ code: "custom", input: value, path: ["widths"], message: excess });
    if (value.head === "softmax" && value.rejectBy !== "likelihood") {
      issues.push({ code: "custom", input: value, path: ["rejectBy"], message: "the softmax head has no likelihoods: leave it out" });
    }
    if (value.head === "softmax" && value.prior !== "uniform") {
      const message = "the softmax head learns how frequent classes are by itself: with priors on top they would count twice. Leave it out";
      issues.push({ code: "custom", input: value, path: ["prior"], message });
    }
    if (value.validation > 0) return;
    const needs = (key: string) =>
      issues.push({ code: "custom", input: value, path: [key], message: `needs held-out images: set validation, for example to 0.1` });
    if (value.patience !== null) needs("patience");
    if (value.keep === "best-validation") needs("keep");
    if (value.thresholdsFrom === "validation") needs("thresholdsFrom");
  });

export type TrainConfig = z.infer<typeof trainConfigSchema>;

/** The paper's choices, with few epochs on a one-cycle schedule in place of its 500 constant ones. */
export const defaults: TrainConfig = {
  head: "sdim",
  depth: 10,
  widths: [32, 64, 128, 256],
  imageSize: 32,
  dimension: 64,
  critic: "concat",
  localFeatures: "stage4",
  negatives: "shuffled",
  miBound: "jensen-shannon",
  alpha: 1,
  beta: 1,
  gamma: 1,
  margin: 10,
  perDimension: true,
  logSigmaFloor: null,
  meanSpread: 0.1,
  prior: "uniform",
  cropPadding: 0,
  flip: false,
  randomErasing: 0,
  epochs: 5,
  batchSize: 128,
  learningRate: 0.003,
  weightDecay: 0,
  schedule: "one-cycle",
  validation: 0,
  patience: null,
  keep: "last",
  ema: null,
  rejectBy: "likelihood",
  testTimeFlip: false,
  percentile: 1,
  thresholdsFrom: "training",
  thresholdsFor: "each-class",
  seed: 1,
};

/** Named starting points, each a small difference from the defaults. */
export const presets = {
  /** Two epochs: a first classifier in minutes. */
  quick: { epochs: 2, rejectBy: "penalised-likelihood" },
  /**
   * Class means start far apart, and the margin loss weighs a tenth: more accurate for the same time, and it refuses more, as docs/ablation.md has it.
   * Rejects what docs/training.md says the likelihood lets pass.
   */
  standard: { gamma: 0.1, meanSpread: 3, rejectBy: "penalised-likelihood" },
  /** Appendix B.2: Adam at 0.001 throughout, 500 epochs, the weights of the lowest training loss. */
  paper: { epochs: 500, learningRate: 0.001, schedule: "constant", keep: "lowest-training-loss" },
} satisfies Record<string, Partial<TrainConfig>>;

export type PresetName = keyof typeof presets;
export const presetNames = Object.keys(presets) as PresetName[];

const keys = Object.keys(trainConfigSchema.shape) as (keyof TrainConfig)[];

/** Defaults, then the preset, then `overrides`. Errors: UserError for an unknown key (with the nearest match) or a value out of range. */
export function resolveConfig(overrides: Readonly<Record<string, unknown>> = {}, preset: PresetName = "standard"): TrainConfig {
  for (const key of Object.keys(overrides)) oneOf("config key", key, keys);
  // The softmax head has no likelihoods to penalise.
  const score = overrides["head"] === "softmax" ? { rejectBy: defaults.rejectBy } : {};
  const config = { ...defaults, ...presets[preset], ...score, ...overrides };
  const parsed = trainConfigSchema.safeParse(config);
  if (!parsed.success) throw new UserError(problemsIn("config", parsed.error, config));
  return parsed.data;
}

/** The keys that came later, as trainings worked before there were any: what an older checkpoint means. */
const before: Partial<TrainConfig> = {
  miBound: "jensen-shannon",
  meanSpread: 0.1,
  cropPadding: 0,
  flip: false,
  randomErasing: 0,
  weightDecay: 0,
  validation: 0,
  patience: null,
  keep: "last",
  ema: null,
  rejectBy: "likelihood",
  testTimeFlip: false,
  thresholdsFrom: "training",
  thresholdsFor: "each-class",
};

/** The config as a checkpoint or a run's folder has it. */
export const savedConfigSchema = z.preprocess(
  (saved) => (typeof saved === "object" && saved !== null ? { ...before, ...saved } : saved),
  trainConfigSchema,
);

/** The keys that say what is scored and how thresholds are taken, once the training is over. */
export const calibrationKeys = [
  "rejectBy",
  "testTimeFlip",
  "percentile",
  "thresholdsFrom",
  "thresholdsFor",
] as const satisfies (keyof TrainConfig)[];

/** The training of `config`, calibrated as `other` says. */
export const withCalibrationOf = (config: TrainConfig, other: TrainConfig): TrainConfig => ({
  ...config,
  ...Object.fromEntries(calibrationKeys.map((key) => [key, other[key]])),
});

/** Of what is trained: what it rejects by is decided when it is calibrated. */
export function modelConfigOf(config: TrainConfig, classes: number, channels: 1 | 3): ModelConfig {
  const { head, depth, widths, imageSize, dimension, critic, localFeatures, logSigmaFloor, testTimeFlip } = config;
  const views = testTimeFlip ? { testTimeFlip } : {};
  return { head, classes, channels, imageSize, depth, widths, dimension, critic, localFeatures, logSigmaFloor, ...views };
}

export function lossConfigOf({ alpha, beta, gamma, miBound, margin, perDimension }: TrainConfig): LossConfig {
  return { alpha, beta, gamma, miBound, margin, perDimension };
}
