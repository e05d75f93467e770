import { existsSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { calibrationSources } from "../classify/card.ts";
import type { Circumstances } from "../core/circumstances.ts";
import { messageOf, UserError } from "../core/errors.ts";
import { readFileAtMost, writeFileAtomic } from "../core/files.ts";
import { problemsIn } from "../core/problems.ts";
import type { Evaluation } from "../evaluate/evaluation.ts";
import { hasCheckpoint, readPosition, sameConfig } from "../train/checkpoint.ts";
import { savedConfigSchema, type TrainConfig } from "../train/config.ts";
import { differingKeys } from "../train/runs.ts";
import type { PlannedTraining } from "./study.ts";

// What came of one training: `<its folder>/outcome.json`, so that a study which goes on neither trains nor measures it again.

const at = { percentile: z.number(), source: z.enum(calibrationSources).nullable() };
const measurementSchema = z.strictObject({
  data: z.string(),
  count: z.int(),
  accuracy: z.number(),
  rejection: z.array(z.strictObject({ ...at, rejectionRate: z.number(), selectiveAccuracy: z.number().nullable() })),
  outliers: z.array(
    z.strictObject({
      data: z.string(),
      count: z.int(),
      auroc: z.number(),
      rejection: z.array(z.strictObject({ ...at, decisionRejectionRate: z.number(), perClassRejectionRate: z.number() })),
    }),
  ),
});

/** Of an evaluation, what a study keeps; evaluation.ts says what the fields mean. */
export type Measurement = z.infer<typeof measurementSchema>;

const outcomeSchema = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("measured"),
    /** To train and calibrate, over all sessions. */
    seconds: z.number(),
    parameters: z.int(),
    /** Means over the last epoch's steps. */
    final: z.strictObject({ loss: z.number(), parts: z.record(z.string(), z.number()), trainAccuracy: z.number() }),
    /** Validation images against the outliers to choose by. */
    choosing: measurementSchema,
    /** Test images against the reported sets. */
    test: measurementSchema,
    /** SHA-256 of the model file. */
    model: z.string(),
  }),
  z.strictObject({ kind: z.literal("failed"), reason: z.string() }),
]);
export type Outcome = z.infer<typeof outcomeSchema>;
export type MeasuredOutcome = Extract<Outcome, { kind: "measured" }>;

const circumstancesSchema = z.strictObject({
  command: z.string(),
  at: z.string(),
  sdim: z.string(),
  node: z.string(),
  onnxruntime: z.string(),
  os: z.string(),
  machine: z.string(),
  cores: z.int(),
  load: z.number(),
}) satisfies z.ZodType<Circumstances>;

const keptSchema = z.strictObject({
  config: savedConfigSchema,
  /** SHA-256 of every set of images, by what it is for. */
  data: z.record(z.string(), z.string()),
  circumstances: circumstancesSchema,
  outcome: outcomeSchema,
});
export type KeptOutcome = z.infer<typeof keptSchema>;

export function measurementOf({ data, count, accuracy, rejection, ood }: Evaluation): Measurement {
  return {
    data,
    count,
    accuracy,
    rejection: rejection.map(({ intervals: _, ...row }) => row),
    outliers: ood.map((set) => ({
      data: set.data,
      count: set.count,
      auroc: set.auroc,
      rejection: set.rejection.map(({ intervals: _, ...row }) => row),
    })),
  };
}

const pathOf = (folder: string): string => join(folder, "outcome.json");

export const keepOutcome = (folder: string, kept: KeptOutcome): void =>
  writeFileAtomic(pathOf(folder), `${JSON.stringify(kept, null, 2)}\n`);

/**
 * What came of a training; undefined where it has yet to be done, or is to be measured anew because what it is measured on has changed.
 * `fingerprints` as of `fingerprintsOf`. Errors: UserError when the folder's training is of another config or other training images, or the file is not ours.
 */
export function keptOutcome(
  folder: string,
  { config }: PlannedTraining,
  fingerprints: Readonly<Record<string, string>>,
): KeptOutcome | undefined {
  const kept = existsSync(pathOf(folder)) ? read(pathOf(folder)) : undefined;
  const begun = kept ? { config: kept.config, training: kept.data["training"] } : begunTraining(folder);
  if (begun) requireSame(folder, begun, { config, training: fingerprints["training"] });
  const isCurrent = (data: KeptOutcome["data"]) =>
    Object.keys(data).length === Object.keys(fingerprints).length &&
    Object.entries(fingerprints).every(([what, sha]) => data[what] === sha);
  return kept && isCurrent(kept.data) ? kept : undefined;
}

interface Begun {
  readonly config: TrainConfig;
  /** SHA-256 of the training images. */
  readonly training: string | undefined;
}

function begunTraining(folder: string): Begun | undefined {
  if (!hasCheckpoint(folder)) return undefined;
  const { config, data } = readPosition(folder);
  return { config, training: data.fingerprint };
}

function requireSame(folder: string, begun: Begun, wanted: Begun): void {
  const remedy = "Remove the folder, or keep this study's trainings elsewhere: --runs";
  if (!sameConfig(begun.config, wanted.config)) {
    const keys = differingKeys([begun.config, wanted.config]);
    throw new UserError(`${folder} holds a training of another config, which differs in ${keys.join(", ")}. ${remedy}`);
  }
  if (begun.training !== wanted.training) throw new UserError(`${folder} holds a training on other images. ${remedy}`);
}

/** More is no outcome of ours. */
const largestFile = 32e6;

function read(path: string): KeptOutcome {
  const text = readFileAtMost(path, largestFile).toString();
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch (error) {
    throw new UserError(`${path}: cannot be read as JSON: ${messageOf(error)}. Remove it to measure anew.`, { cause: error });
  }
  const parsed = keptSchema.safeParse(raw);
  if (parsed.success) return parsed.data;
  throw new UserError(`${problemsIn(`${path}: not the outcome of a training of ours`, parsed.error, raw)}\nRemove it to measure anew.`);
}
