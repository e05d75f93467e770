import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { messageOf, UserError } from "../core/errors.ts";
import { writeFileAtomic } from "../core/files.ts";
import { decodeSafetensors, encodeSafetensors } from "../core/safetensors.ts";
import type { LoadChoices } from "../data/image-set.ts";
import type { StateTensor } from "../runtime/feedback.ts";
import { type TrainConfig, trainConfigSchema } from "./config.ts";

/** One line of `metrics.jsonl`: averages over the steps since the line before. */
export const historyRecord = z.strictObject({
  step: z.int(),
  epoch: z.number(),
  loss: z.number(),
  parts: z.record(z.string(), z.number()),
  trainAccuracy: z.number(),
  learningRate: z.number(),
  imagesPerSecond: z.number(),
});
export type HistoryRecord = z.infer<typeof historyRecord>;

/** How a user's own images were loaded: what finding the same ones again takes. */
const loading = z.strictObject({
  channels: z.union([z.literal(1), z.literal(3)]),
  testShare: z.number().min(0).max(1),
  splitSeed: z.int(),
  onBroken: z.enum(["refuse", "skip"]),
}) satisfies z.ZodType<LoadChoices>;

const position = z.strictObject({
  config: trainConfigSchema,
  data: z.strictObject({ name: z.string(), split: z.string(), fingerprint: z.string(), loading: loading.optional() }),
  /** Steps done. */
  step: z.int(),
  history: z.array(historyRecord),
  /** Sums of the metrics since the last history record, and over how many steps. */
  pending: z.strictObject({ steps: z.int(), sums: z.record(z.string(), z.number()) }),
  elapsedSeconds: z.number(),
});

/** Where a training stands. The order of the data follows from seed and step, so no random state of its own is needed. */
export type TrainingPosition = z.infer<typeof position>;

export interface Checkpoint {
  readonly position: TrainingPosition;
  readonly state: Map<string, StateTensor>;
}

export const checkpointPath = (folder: string): string => join(folder, "checkpoint.safetensors");

/** One safetensors file: weights, statistics and optimizer state by name, and the position as metadata `sdim`. Replaced atomically. */
export function saveCheckpoint(folder: string, { position, state }: Checkpoint): void {
  const tensors = new Map([...state].map(([name, { shape, data }]) => [name, { dtype: "F32" as const, shape: [...shape], data }]));
  writeFileAtomic(checkpointPath(folder), encodeSafetensors(tensors, { sdim: JSON.stringify(position) }));
  writeFileAtomic(join(folder, "metrics.jsonl"), position.history.map((record) => `${JSON.stringify(record)}\n`).join(""));
}

/** Errors: UserError when there is no checkpoint, or it is damaged. */
export function loadCheckpoint(folder: string): Checkpoint {
  const path = checkpointPath(folder);
  if (!existsSync(path)) throw new UserError(`--resume: there is no checkpoint in ${folder}`);
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    throw new UserError(`cannot read ${path}: ${messageOf(error)}`, { cause: error });
  }
  const { tensors, metadata } = decodeSafetensors(bytes, path);
  const parsed = position.safeParse(JSON.parse(readMetadata(metadata, path)));
  if (!parsed.success) throw new UserError(`${path}: not a training checkpoint of ours:\n${z.prettifyError(parsed.error)}`);
  const state = new Map([...tensors].map(([name, { shape, data }]) => [name, { shape, data: data as Float32Array }]));
  return { position: parsed.data, state };
}

function readMetadata(metadata: Readonly<Record<string, string>>, path: string): string {
  const text = metadata["sdim"];
  if (text === undefined) throw new UserError(`${path}: not a training checkpoint of ours: it has no metadata "sdim"`);
  return text;
}

export const sameConfig = (a: TrainConfig, b: TrainConfig): boolean => JSON.stringify(a) === JSON.stringify(b);
