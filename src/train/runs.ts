import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { readModelFile } from "../classify/model-file.ts";
import { messageOf, UserError } from "../core/errors.ts";
import { statIfPossible } from "../core/files.ts";
import { problemsIn } from "../core/problems.ts";
import { checkpointPath, hasCheckpoint, previousCheckpointPath, readPosition, type TrainingPosition } from "./checkpoint.ts";
import { defaults, resolveConfig, savedConfigSchema, type TrainConfig } from "./config.ts";
import { modelName } from "./export.ts";
import { lockHolder, lockPath } from "./lock.ts";
import { stepsOf } from "./loop.ts";
import { metricsPath } from "./metrics-log.ts";
import { type EpochRecord, epochRecord, type HistoryRecord, historyRecord, isExhausted } from "./records.ts";

/** At `step` of `steps` (null before the first record), of the last checkpoint: `stopped` can be resumed, `running` is under way. */
export type RunState =
  | { readonly kind: "finished" }
  | { readonly kind: "running" | "stopped"; readonly step: number; readonly steps: number | null }
  | { readonly kind: "broken"; readonly reason: string };

/** What a run's folder says of it. */
export interface Run {
  readonly folder: string;
  readonly state: RunState;
  readonly config: TrainConfig | null;
  readonly data: string | null;
  readonly step: number;
  readonly elapsedSeconds: number | null;
  readonly history: readonly HistoryRecord[];
  readonly epochs: readonly EpochRecord[];
  /** Of the model file: testAccuracy and the like. */
  readonly measured: Readonly<Record<string, number>>;
}

const configPath = (folder: string): string => join(folder, "config.json");
export const isRun = (folder: string): boolean => existsSync(configPath(folder)) || hasCheckpoint(folder);

/** The runs in `folder`: itself, if it is one, and the folders right inside it, by name. Errors: UserError when there is no such folder. */
export function listRuns(folder: string): Run[] {
  if (!existsSync(folder) || !statSync(folder).isDirectory()) throw new UserError(`runs: there is no folder ${folder}`);
  // Also those that links lead to.
  const inside = readdirSync(folder)
    .map((name) => join(folder, name))
    .filter((path) => statIfPossible(path)?.isDirectory() === true);
  const folders = [folder, ...inside.sort()];
  return folders.filter(isRun).map(readRun);
}

/** Never fails on what is in the folder: a run that cannot be read is a broken one. Errors: UserError when the folder is no run's. */
export function readRun(folder: string): Run {
  if (!isRun(folder)) throw new UserError(`${folder}: expected the folder of a run, with config.json or a checkpoint in it`);
  const odd = filesOfRun(folder).find((path) => existsSync(path) && statSync(path, { throwIfNoEntry: false })?.isFile() === false);
  // A pipe, say, would be waited for without an end.
  if (odd !== undefined) return unreadable(folder, `${odd}: not a file`);
  const config = attempt(() => readConfig(folder));
  const position = attempt(() => (hasCheckpoint(folder) ? readPosition(folder) : undefined));
  const measured = attempt(() => (existsSync(join(folder, modelName)) ? readModelFile(join(folder, modelName)).card.measured : undefined));
  const records = attempt(() => readMetrics(folder));
  const { history, epochs } = records.value ?? { history: [], epochs: [] };
  const problem = [config, position, measured, records].find((one) => one.error !== undefined)?.error;
  return {
    folder,
    state: stateOf({
      problem,
      isFinished: measured.value !== undefined,
      position: position.value,
      isRunning: lockHolder(folder) !== undefined,
    }),
    config: config.value ?? position.value?.config ?? null,
    data: position.value?.data.name ?? null,
    step: position.value?.step ?? 0,
    elapsedSeconds: position.value?.elapsedSeconds ?? null,
    history,
    epochs,
    measured: measured.value ?? {},
  };
}

/** What of a run is read, there or not. */
export const filesOfRun = (folder: string): string[] => [
  configPath(folder),
  checkpointPath(folder),
  previousCheckpointPath(folder),
  metricsPath(folder),
  join(folder, modelName),
  lockPath(folder),
];

const unreadable = (folder: string, reason: string): Run => ({
  folder,
  state: { kind: "broken", reason },
  config: null,
  data: null,
  step: 0,
  elapsedSeconds: null,
  history: [],
  epochs: [],
  measured: {},
});

interface Findings {
  readonly problem: string | undefined;
  readonly isFinished: boolean;
  readonly position: TrainingPosition | undefined;
  readonly isRunning: boolean;
}

function stateOf({ problem, isFinished, position, isRunning }: Findings): RunState {
  if (problem !== undefined) return { kind: "broken", reason: problem };
  if (isFinished) return { kind: "finished" };
  if (!position)
    return isRunning ? { kind: "running", step: 0, steps: null } : { kind: "broken", reason: "it ended before its first checkpoint" };
  const last = position.history.at(-1);
  const steps = last ? stepsOf(position.config, Math.round(last.step / last.epoch)) : null;
  const isTrained = (steps !== null && position.step >= steps) || isExhausted(position.epochs, position.config.patience);
  if (!isRunning && isTrained)
    return { kind: "broken", reason: "trained to the end, but without a model file: --resume makes it, or says why not" };
  return { kind: isRunning ? "running" : "stopped", step: position.step, steps };
}

function attempt<T>(read: () => T): { readonly value?: T; readonly error?: string } {
  try {
    return { value: read() };
  } catch (error) {
    if (error instanceof UserError) return { error: error.message };
    throw error;
  }
}

function readConfig(folder: string): TrainConfig {
  const path = configPath(folder);
  const json = parseJson(readText(path), path);
  const parsed = savedConfigSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  throw new UserError(problemsIn(`${path}: not the config of a run`, parsed.error, json));
}

/** The records of metrics.jsonl; the last line may be cut off by a kill. */
function readMetrics(folder: string): { readonly history: HistoryRecord[]; readonly epochs: EpochRecord[] } {
  const path = metricsPath(folder);
  const [history, epochs]: [HistoryRecord[], EpochRecord[]] = [[], []];
  if (!existsSync(path)) return { history, epochs };
  const text = readText(path);
  const lines = text.slice(0, text.lastIndexOf("\n") + 1).split("\n");
  for (const [i, line] of lines.entries()) {
    if (line === "") continue;
    // Lines of 0.1.0 have no kind.
    const { kind = "steps", ...record } = parseJson(line, `${path}, line ${i + 1}`) as Record<string, unknown>;
    const parsed = (kind === "epoch" ? epochRecord : historyRecord).safeParse(record);
    if (!parsed.success) throw new UserError(problemsIn(`${path}, line ${i + 1}: not a record of ours`, parsed.error, record));
    if (kind === "epoch") epochs.push(parsed.data as EpochRecord);
    else history.push(parsed.data as HistoryRecord);
  }
  return { history, epochs };
}

/** More is no config and no record of a training of ours. */
const largestText = 32e6;

function readText(path: string): string {
  try {
    const { size } = statSync(path);
    if (size > largestText) throw new Error(`${size} bytes, more than the ${largestText} that are read at most`);
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new UserError(`cannot read ${path}: ${messageOf(error)}`, { cause: error });
  }
}

function parseJson(text: string, source: string): unknown {
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === "object" && parsed !== null && !Array.isArray(parsed)) return parsed;
  } catch (error) {
    throw new UserError(`${source}: not JSON: ${messageOf(error)}`, { cause: error });
  }
  throw new UserError(`${source}: expected a JSON object`);
}

const isSame = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

/** The config keys in which `config` is not `base`, by default what `sdim train` takes when nothing else is said. */
export function differencesFrom(config: TrainConfig, base = resolveConfig({})): Partial<TrainConfig> {
  return Object.fromEntries(Object.entries(config).filter(([key, value]) => !isSame(value, base[key as keyof TrainConfig])));
}

/** The config keys in which the configs are not all the same. */
export function differingKeys(configs: readonly TrainConfig[]): (keyof TrainConfig)[] {
  const keys = Object.keys(defaults) as (keyof TrainConfig)[];
  return keys.filter((key) => configs.some((config) => !isSame(config[key], configs[0]?.[key])));
}
