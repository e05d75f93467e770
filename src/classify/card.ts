import { z } from "zod";
import { messageOf, UserError } from "../core/errors.ts";
import { problemsIn } from "../core/problems.ts";
import type { ModelConfig } from "../nn/classifier.ts";
import { rejectScores } from "../nn/reject-score.ts";
import { networkShape, tooManyWeights } from "./network-schema.ts";

// What a model file says of itself, in its ONNX metadata under `sdim`: everything but the tensors.

const modelConfig = z
  .strictObject({
    head: networkShape.head,
    classes: z.int().min(2).max(65_536),
    channels: z.union([z.literal(1), z.literal(3)]),
    imageSize: networkShape.imageSize,
    depth: networkShape.depth,
    widths: networkShape.widths.readonly(),
    dimension: networkShape.dimension,
    critic: networkShape.critic,
    localFeatures: networkShape.localFeatures,
    logSigmaFloor: networkShape.logSigmaFloor,
    rejectBy: z.enum(rejectScores).optional(),
    testTimeFlip: z.boolean().optional(),
  })
  .check(({ value, issues }) => {
    const excess = tooManyWeights(value);
    if (excess !== undefined) issues.push({ code: "custom", input: value, path: ["widths"], message: excess });
  }) satisfies z.ZodType<ModelConfig>;

const thresholdSet = z.strictObject({ percentile: z.number(), values: z.array(z.number()) });

/** Where thresholds were taken from: the training images, images held out of them, or data given to `sdim calibrate`. */
export const calibrationSources = ["training", "validation", "given"] as const;
export type CalibrationSource = (typeof calibrationSources)[number];

/** Whether each class has a threshold of its own (the paper's), or all have one, of the samples of all classes together. */
export const thresholdScopes = ["each-class", "all-classes"] as const;
export type ThresholdScope = (typeof thresholdScopes)[number];

const calibration = z.strictObject({
  /** Cards before format 2 do not say: see `sourceOf`. */
  source: z.enum(calibrationSources).optional(),
  /** Data and split the thresholds were taken from; only correctly classified samples count. */
  data: z.string(),
  split: z.string(),
  fingerprint: z.string(),
  correctOnly: z.literal(true),
  /** Correctly classified samples per class. */
  counts: z.array(z.int()),
  /** Each class for itself where it is not said. */
  thresholdsFor: z.enum(thresholdScopes).optional(),
  /** The percentile of the thresholds in force, or of those that were. */
  percentile: z.number(),
  /** Thresholds by percentile, any of which may be put in force. */
  thresholds: z.array(thresholdSet),
});
export type Calibration = z.infer<typeof calibration>;

/**
 * 1: one calibration that does not name its source. 2: it does, and there may be others beside it. 3: the model may say what it rejects by and that it
 * looks at mirror images too, and a calibration that its thresholds are for all classes.
 */
export const newestFormat = 3;

const cardShape = z.strictObject({
  format: z.union([z.literal(1), z.literal(2), z.literal(newestFormat)]),
  /** Version of sdim that wrote the file. */
  version: z.string(),
  model: modelConfig,
  classNames: z.array(z.string()),
  /** Weights trained, the critic's included. */
  parameters: z.int(),
  prior: z.enum(["uniform", "training-frequency"]),
  /** The one whose thresholds are in force. */
  calibration,
  /** The others, each of another source. */
  otherCalibrations: z.array(calibration).optional(),
  training: z.record(z.string(), z.unknown()),
  measured: z.record(z.string(), z.number()),
});

/** The parts of a card fit each other: something for every class, under names of their own, and thresholds at the percentile in force. */
const card = cardShape.check(({ value, issues }) => {
  const add = (path: (string | number)[], message: string) => issues.push({ code: "custom", input: value, path, message });
  const { classes } = value.model;
  const expectPerClass = (path: (string | number)[], values: readonly unknown[], what: string) => {
    if (values.length !== classes) add(path, `there must be ${what} for each of the ${classes} classes, not ${values.length}`);
  };
  expectPerClass(["classNames"], value.classNames, "a name");
  const seen = new Set<string>();
  const twice = value.classNames.find((name) => seen.size === seen.add(name).size);
  if (twice !== undefined) add(["classNames"], `${JSON.stringify(twice)} is the name of two classes`);

  const expectCalibration = (path: (string | number)[], { counts, thresholds }: Calibration) => {
    expectPerClass([...path, "counts"], counts, "a count");
    for (const [k, { values }] of thresholds.entries()) expectPerClass([...path, "thresholds", k, "values"], values, "a threshold");
  };
  expectCalibration(["calibration"], value.calibration);
  for (const [i, other] of (value.otherCalibrations ?? []).entries()) expectCalibration(["otherCalibrations", i], other);
  const { percentile, thresholds } = value.calibration;
  if (!thresholds.some((set) => set.percentile === percentile))
    add(["calibration", "percentile"], `there are no thresholds at the percentile in force, ${percentile}`);
});

/** What a model file says of itself. */
export type ModelCard = z.infer<typeof card>;
export type ThresholdSet = z.infer<typeof thresholdSet>;

const trainingData = z.looseObject({ data: z.looseObject({ name: z.string() }) });

/** Name of the data that the model was trained on; undefined where its card does not say. */
export const trainedOn = ({ training }: Pick<ModelCard, "training">): string | undefined =>
  trainingData.safeParse(training).data?.data.name;

/** Errors: UserError naming the file and what is wrong with its card. */
export function parseCard(text: string, source: string): ModelCard {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new UserError(`${source}: its metadata "sdim" is not JSON: ${messageOf(error)}`);
  }
  const { format } = typeof json === "object" && json !== null && "format" in json ? json : { format: undefined };
  if (typeof format === "number" && format > newestFormat) {
    throw new UserError(`${source}: its card has format ${format}, written by a newer sdim; this one reads up to ${newestFormat}`);
  }
  const parsed = card.safeParse(json);
  if (!parsed.success) throw new UserError(problemsIn(`${source}: its metadata "sdim" is not as expected`, parsed.error, json));
  return parsed.data;
}
