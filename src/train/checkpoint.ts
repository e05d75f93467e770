import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { messageOf, UserError } from "../core/errors.ts";
import { writeFileAtomic } from "../core/files.ts";
import { problemsIn } from "../core/problems.ts";
import { decodeSafetensors, encodeSafetensors, readSafetensorsMetadata, type Safetensor } from "../core/safetensors.ts";
import type { LoadChoices } from "../data/image-set.ts";
import type { StateTensor } from "../runtime/feedback.ts";
import { savedConfigSchema, type TrainConfig } from "./config.ts";
import { epochRecord, historyRecord, noSums, runningSums } from "./records.ts";

export type { HistoryRecord } from "./records.ts";

/** How a user's own images were loaded: what finding the same ones again takes. */
const loading = z.strictObject({
  channels: z.union([z.literal(1), z.literal(3)]),
  testShare: z.number().min(0).max(1),
  splitSeed: z.int(),
  onBroken: z.enum(["refuse", "skip"]),
}) satisfies z.ZodType<LoadChoices>;

export const earlierTraining = z.strictObject({ config: savedConfigSchema, data: z.string(), steps: z.int() });

/** A training whose weights another began with. */
export type EarlierTraining = z.infer<typeof earlierTraining>;

const position = z.strictObject({
  config: savedConfigSchema,
  /** Trainings that came before, the first first, where this one began with the weights of another. */
  startedFrom: z.array(earlierTraining).optional(),
  data: z.strictObject({ name: z.string(), split: z.string(), fingerprint: z.string(), loading: loading.optional() }),
  /** Steps done. */
  step: z.int(),
  history: z.array(historyRecord),
  epochs: z.array(epochRecord).default([]),
  /** Since the last history record. */
  pending: runningSums,
  /** Since the last epoch record. */
  pendingEpoch: runningSums.default(noSums),
  elapsedSeconds: z.number(),
});

/** Where a training stands. The order of the data follows from seed and step, so no random state of its own is needed. */
export type TrainingPosition = z.infer<typeof position>;

export interface Checkpoint {
  readonly position: TrainingPosition;
  readonly state: ReadonlyMap<string, StateTensor>;
  /** The exported weights of the best epoch so far, where the config keeps such. */
  readonly kept: ReadonlyMap<string, StateTensor>;
}

export interface LoadedCheckpoint extends Checkpoint {
  /** What is wrong with the newest file, where the one before it had to serve. */
  readonly damage?: string;
}

const keptPrefix = "kept.";

export const checkpointPath = (folder: string): string => join(folder, "checkpoint.safetensors");
export const previousCheckpointPath = (folder: string): string => join(folder, "checkpoint.previous.safetensors");
export const hasCheckpoint = (folder: string): boolean => existsSync(checkpointPath(folder)) || existsSync(previousCheckpointPath(folder));

/**
 * One safetensors file: weights, statistics and optimizer state by name, kept weights as `kept.<name>`; the position as metadata `sdim`, and
 * `sha256` over all of it. Replaced atomically; the checkpoint before it stays beside it.
 */
export function saveCheckpoint(folder: string, { position, state, kept }: Checkpoint): void {
  const entries = [...state, ...[...kept].map(([name, tensor]) => [`${keptPrefix}${name}`, tensor] as const)];
  const tensors = new Map(entries.map(([name, { shape, data }]) => [name, { dtype: "F32" as const, shape: [...shape], data }]));
  const text = JSON.stringify(position);
  const content = encodeSafetensors(tensors, { sdim: text, sha256: digestOf(tensors, text) });
  writeFileAtomic(checkpointPath(folder), content, { keepOldAt: previousCheckpointPath(folder) });
}

/** Reads the newest checkpoint or, where that is damaged or missing, the one before it. Errors: UserError when neither can be used. */
export function loadCheckpoint(folder: string): LoadedCheckpoint {
  const [newest, previous] = [checkpointPath(folder), previousCheckpointPath(folder)];
  if (!hasCheckpoint(folder)) throw new UserError(`there is no checkpoint in ${folder}: expected the folder of a training`);
  try {
    return read(newest);
  } catch (error) {
    if (!(error instanceof UserError) || !existsSync(previous)) throw error;
    try {
      return { ...read(previous), damage: error.message };
    } catch (older) {
      throw new UserError(`${error.message}\nand the checkpoint before it: ${messageOf(older)}`, { cause: error });
    }
  }
}

function read(path: string): Checkpoint {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    throw new UserError(`cannot read ${path}: ${messageOf(error)}`, { cause: error });
  }
  const { tensors, metadata } = decodeSafetensors(bytes, path);
  const { sdim: text, sha256 } = metadata;
  const where = parsePosition(text, path);
  // Checkpoints of 0.1.0 have no digest.
  if (sha256 !== undefined && digestOf(tensors, text!) !== sha256) {
    throw new UserError(`${path}: damaged: its content does not have the SHA-256 that was written with it`);
  }
  const [state, kept] = [new Map<string, StateTensor>(), new Map<string, StateTensor>()];
  for (const [name, { dtype, shape, data }] of tensors) {
    if (dtype !== "F32") throw new UserError(`${path}: tensor "${name}": expected F32, got ${dtype}`);
    if (name.startsWith(keptPrefix)) kept.set(name.slice(keptPrefix.length), { shape, data });
    else state.set(name, { shape, data });
  }
  return { position: where, state, kept };
}

/** The position alone, without the tensors (nor looking whether they are whole), of the checkpoint that can be read. Errors: UserError as for loadCheckpoint. */
export function readPosition(folder: string): TrainingPosition {
  const [newest, previous] = [checkpointPath(folder), previousCheckpointPath(folder)];
  const positionIn = (path: string) => parsePosition(readSafetensorsMetadata(path)["sdim"], path);
  if (!existsSync(newest)) return positionIn(previous);
  try {
    return positionIn(newest);
  } catch (error) {
    if (!(error instanceof UserError) || !existsSync(previous)) throw error;
    return positionIn(previous);
  }
}

function parsePosition(text: string | undefined, path: string): TrainingPosition {
  if (text === undefined) throw new UserError(`${path}: not a training checkpoint of ours: it has no metadata "sdim"`);
  const json = parseJson(text, path);
  const parsed = position.safeParse(json);
  if (!parsed.success) throw new UserError(problemsIn(`${path}: not a training checkpoint of ours`, parsed.error, json));
  return parsed.data;
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UserError(`${path}: its metadata "sdim" is not JSON: ${messageOf(error)}`, { cause: error });
  }
}

function digestOf(tensors: ReadonlyMap<string, Safetensor>, text: string): string {
  const hash = createHash("sha256").update(text);
  for (const name of [...tensors.keys()].sort()) {
    const { data } = tensors.get(name)!;
    hash.update(`\n${name}\n`).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return hash.digest("hex");
}

export const sameConfig = (a: TrainConfig, b: TrainConfig): boolean => JSON.stringify(a) === JSON.stringify(b);
