import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { messageOf, UserError } from "../core/errors.ts";
import { writeFileAtomic } from "../core/files.ts";
import { takeLock } from "../core/lock.ts";
import { requireKnownKeys } from "../core/names.ts";
import { type Attack, type AttackOptions, type AttackResult, optionNames, runAttack, type Samples, understood } from "./attack.ts";
import { sizeOfImage } from "./distance.ts";
import type { AttackedModel } from "./model.ts";
import { NothingToImitate, type Problem } from "./problem.ts";
import { decodeResult, encodeResult, mergeResults } from "./result-file.ts";
import { claim, nameOfPart, type Part, partsIn, partsOf } from "./run-manifest.ts";

// Attacks that take hours: a set is attacked in parts, each kept in a folder as soon as it is finished.

export interface ChunkOptions extends Omit<AttackOptions, "firstIndex" | "onProgress"> {
  /** Where finished parts are kept and found again. Default: nowhere. */
  readonly folder?: string;
  /** Says which model this is (SHA-256 of its file): a folder with parts of another is refused. */
  readonly model: string;
  /** Samples of a part; default 64, a batch of gradients. */
  readonly chunkSize?: number;
  /** `done` of `total`: samples times epsilons. Parts found in the folder are told by `reused`, samples times epsilons as well. */
  readonly onProgress?: (progress: ChunkProgress) => void;
}

export interface ChunkProgress {
  readonly done: number;
  readonly total: number;
  readonly reused: number;
}

/**
 * Attacks samples part by part; the result is that of the whole. With a folder, parts that it holds are not made again, so that a run that
 * was stopped goes on, and one of the first N samples of a set becomes one of the first M. Attacks that use guides may take any of the samples (unless given `guides`), whatever part they are in; without
 * `guides` other samples are another run.
 * Errors: those of `runAttack`; UserError when another process attacks in the folder, or it holds parts of another attack, model, data or guides (naming
 * what differs), damaged ones, or parts that nothing says of what they are.
 */
export async function attackInChunks(model: AttackedModel, samples: Samples, attack: Attack, options: ChunkOptions): Promise<AttackResult> {
  requireKnownKeys("attackInChunks", options, [...optionNames.filter((name) => name !== "firstIndex"), "folder", "model", "chunkSize"]);
  const { folder, model: digest, chunkSize = 64, onProgress: _, ...asked } = options;
  // A folder must not be claimed for what cannot be done.
  understood(model, samples, attack, asked);
  const { labels } = samples;
  if (labels.length === 0) throw new UserError(`${attack.name}: no samples to attack`);
  if (!Number.isInteger(chunkSize) || chunkSize < 1) throw new UserError(`chunk size: expected a whole number above 0, got ${chunkSize}`);
  if (folder === undefined) return attackParts(model, samples, attack, partsOf(labels.length, chunkSize), options);
  const unlock = takeLock(join(folder, "attack.lock"), folder, "attacking in this folder");
  try {
    const planned = plannedParts(folder, labels.length, chunkSize);
    claim(folder, planned, { samples, attack, model, digest, chunkSize, options: asked });
    return await attackParts(model, samples, attack, planned, options);
  } finally {
    unlock();
  }
}

async function attackParts(
  model: AttackedModel,
  samples: Samples,
  attack: Attack,
  planned: readonly Part[],
  { folder, model: _, chunkSize: __, onProgress, ...options }: ChunkOptions,
): Promise<AttackResult> {
  const { labels } = samples;
  const size = sizeOfImage(model.shape);
  const perSample = Math.max(1, options.epsilons?.length ?? 0);
  const total = labels.length * perSample;
  let [reached, reused] = [0, 0];
  const reach = (done: number): void => {
    reached = Math.max(reached, done);
    onProgress?.({ done: reached, total, reused });
  };
  const make = async (part: Part, by: Attack): Promise<AttackResult> => {
    const { start, end } = part;
    options.checkpoint?.();
    const onPart = (epsilon: number | null, closed: number, count: number): void => {
      const share = count === 0 ? 1 : closed / count;
      const epsilonsDone = epsilon === null ? perSample * share : epsilonsBefore(epsilon, options) + share;
      reach(Math.min(end * perSample, start * perSample + Math.floor((end - start) * epsilonsDone)));
    };
    const made = await runAttack(model, samplesOf(samples, part, size), by, { ...options, firstIndex: start, onProgress: onPart });
    if (folder !== undefined) writeFileAtomic(pathOf(folder, part), encodeResult(made));
    return made;
  };
  const results = new Map<Part, AttackResult>();
  let nothing: NothingToImitate | undefined;
  for (const part of planned) {
    const { start, end } = part;
    if (folder !== undefined && existsSync(pathOf(folder, part))) {
      results.set(part, readPart(pathOf(folder, part), labels.subarray(start, end)));
      reused += (end - start) * perSample;
    } else {
      try {
        results.set(part, await make(part, attack));
      } catch (error) {
        if (!(error instanceof NothingToImitate)) throw error;
        nothing = error;
      }
    }
    reach(end * perSample);
  }
  if (nothing && results.size === 0) throw nothing;
  // Samples with nothing to imitate are left as they are, also where they fill a part.
  const leaveAlone: Attack = { ...attack, perturb: ({ images }: Problem) => Promise.resolve(images) };
  const inOrder: AttackResult[] = [];
  for (const part of planned) inOrder.push(results.get(part) ?? (await make(part, leaveAlone)));
  return mergeResults(inOrder);
}

const pathOf = (folder: string, part: Part): string => join(folder, `${nameOfPart(part)}.safetensors`);

/** Guides stay those of the whole set. */
function samplesOf(samples: Samples, { start, end }: Part, size: number): Samples {
  const { images, labels, targets, guides = samples } = samples;
  return {
    images: images.subarray(start * size, end * size),
    labels: labels.slice(start, end),
    guides,
    ...(targets ? { targets: targets.slice(start, end) } : {}),
  };
}

/** Parts of `chunkSize`, but where the folder has some of a part's samples: those, and what is left of it. */
function plannedParts(folder: string, count: number, chunkSize: number): Part[] {
  const there = partsIn(folder);
  return partsOf(count, chunkSize).flatMap(({ start, end }) => {
    const parts: Part[] = [];
    for (let at = start; at < end; at = parts.at(-1)!.end) {
      const kept = there.filter((part) => part.start === at && part.end <= end).map((part) => part.end);
      parts.push({ start: at, end: kept.length > 0 ? Math.max(...kept) : end });
    }
    return parts;
  });
}

/** How many epsilons a part has behind it at this one. */
function epsilonsBefore(epsilon: number, { epsilons = [], carryOver }: AttackOptions): number {
  return carryOver ? epsilons.filter((other) => other < epsilon).length : Math.max(0, epsilons.indexOf(epsilon));
}

function readPart(path: string, labels: Int32Array): AttackResult {
  let part: AttackResult;
  try {
    part = decodeResult(readFileSync(path), path);
  } catch (error) {
    throw new UserError(`${messageOf(error)}; remove that file, and its samples are attacked again`, { cause: error });
  }
  if (part.labels.length === labels.length && part.labels.every((label, i) => label === labels[i])) return part;
  throw new UserError(`${path}: holds other samples than its name says; remove it`);
}
