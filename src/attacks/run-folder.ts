import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { messageOf, UserError } from "../core/errors.ts";
import { writeFileAtomic } from "../core/files.ts";
import { packageVersion } from "../core/version.ts";
import { type Attack, type AttackOptions, type AttackResult, runAttack, type Samples } from "./attack.ts";
import { sizeOfImage } from "./distance.ts";
import type { AttackedModel } from "./model.ts";
import { decodeResult, encodeResult, mergeResults } from "./result-file.ts";

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

const manifestName = "attack.json";

/**
 * Attacks samples part by part; the result is that of the whole. With a folder, parts that it holds are not made again, so that a run that
 * was stopped goes on. Attacks that imitate others may imitate any of the samples (unless given `guides`), whatever part they are in.
 * Errors: those of `runAttack`; UserError when the folder holds parts of another attack, model or data (naming what differs), or damaged ones.
 */
export async function attackInChunks(
  model: AttackedModel,
  samples: Samples,
  attack: Attack,
  { folder, model: digest, chunkSize = 64, onProgress, ...options }: ChunkOptions,
): Promise<AttackResult> {
  const { labels } = samples;
  const size = sizeOfImage(model.shape);
  if (labels.length === 0) throw new UserError(`${attack.name}: no samples to attack`);
  if (!Number.isInteger(chunkSize) || chunkSize < 1) throw new UserError(`chunk size: expected a whole number above 0, got ${chunkSize}`);
  if (folder !== undefined) claim(folder, manifestOf(samples, attack, digest, chunkSize, model, options));
  const perSample = Math.max(1, options.epsilons?.length ?? 0);
  const total = labels.length * perSample;
  const parts: AttackResult[] = [];
  let [done, reused] = [0, 0];
  for (let start = 0; start < labels.length; start += chunkSize) {
    const end = Math.min(labels.length, start + chunkSize);
    const path = folder === undefined ? undefined : join(folder, `samples-${padded(start)}-${padded(end - 1)}.safetensors`);
    const finished = end * perSample;
    if (path !== undefined && existsSync(path)) {
      parts.push(readPart(path, labels.subarray(start, end)));
      reused += (end - start) * perSample;
    } else {
      options.checkpoint?.();
      const part = await runAttack(
        model,
        {
          images: samples.images.subarray(start * size, end * size),
          labels: labels.slice(start, end),
          guides: samples.guides ?? samples,
          ...(samples.targets ? { targets: samples.targets.slice(start, end) } : {}),
        },
        attack,
        {
          ...options,
          firstIndex: start,
          onProgress: (epsilon, closed, count) => {
            const before = Math.max(0, options.epsilons?.indexOf(epsilon!) ?? 0);
            const reached = start * perSample + Math.floor((end - start) * (before + (count === 0 ? 1 : closed / count)));
            done = Math.max(done, Math.min(finished, reached));
            onProgress?.({ done, total, reused });
          },
        },
      );
      if (path !== undefined) writeFileAtomic(path, encodeResult(part));
      parts.push(part);
    }
    done = finished;
    onProgress?.({ done, total, reused });
  }
  return mergeResults(parts);
}

const padded = (index: number): string => String(index).padStart(6, "0");

function readPart(path: string, labels: Int32Array): AttackResult {
  const part = decodeResult(readFileSync(path), path);
  if (part.labels.length === labels.length && part.labels.every((label, i) => label === labels[i])) return part;
  throw new UserError(`${path}: holds other samples than its name says; remove it`);
}

type Manifest = Readonly<Record<string, unknown>>;

function manifestOf(
  { images, labels, targets, guides }: Samples,
  { name, settings }: Attack,
  digest: string,
  chunkSize: number,
  model: AttackedModel,
  { criterion, epsilons = [], seed = 0 }: AttackOptions,
): Manifest {
  const digestOf = (...arrays: readonly (Float32Array | Int32Array | undefined)[]) => {
    const hash = createHash("sha256");
    for (const array of arrays) if (array) hash.update(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
    return hash.digest("hex");
  };
  return {
    format: 1,
    sdim: packageVersion(),
    attack: name,
    settings,
    criterion: criterion?.name ?? "the attack's own",
    epsilons,
    seed,
    model: digest,
    thresholds: Array.from(model.thresholds),
    count: labels.length,
    data: digestOf(images, labels),
    targets: targets ? digestOf(targets) : null,
    guides: guides ? digestOf(guides.images, guides.labels) : null,
    samplesPerFile: chunkSize,
  };
}

/** Writes the manifest, or compares it with the one that is there. */
function claim(folder: string, manifest: Manifest): void {
  const path = join(folder, manifestName);
  if (!existsSync(path)) {
    writeFileAtomic(path, `${JSON.stringify(manifest, null, 2)}\n`);
    return;
  }
  const known = flattened(readManifest(path));
  const asked = flattened(JSON.parse(JSON.stringify(manifest)) as Manifest);
  const keys = [...new Set([...known.keys(), ...asked.keys()])];
  const differing = keys.filter((key) => known.get(key) !== asked.get(key));
  if (differing.length === 0) return;
  const shown = differing.map((key) => `${key} (${known.get(key) ?? "none"} there, ${asked.get(key) ?? "none"} now)`);
  throw new UserError(
    `${folder}: holds another run, which differs in ${shown.join(", ")}. Take another folder, or ask for the same as before to go on with it`,
  );
}

function readManifest(path: string): Manifest {
  try {
    const parsed: unknown = JSON.parse(readFileSync(path, "utf8"));
    if (typeof parsed === "object" && parsed !== null) return parsed as Manifest;
  } catch (error) {
    throw new UserError(`${path}: cannot be read: ${messageOf(error)}`, { cause: error });
  }
  throw new UserError(`${path}: expected an object that describes a run of an attack`);
}

/** { settings: { steps: 3 } } -> settings.steps: "3" */
function flattened(manifest: Manifest, prefix = ""): Map<string, string> {
  const flat = new Map<string, string>();
  for (const [key, value] of Object.entries(manifest)) {
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      for (const [inner, text] of flattened(value as Manifest, `${prefix}${key}.`)) flat.set(inner, text);
    } else flat.set(`${prefix}${key}`, JSON.stringify(value));
  }
  return flat;
}
