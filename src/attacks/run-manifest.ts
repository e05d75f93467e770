import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { messageOf, UserError } from "../core/errors.ts";
import { writeFileAtomic } from "../core/files.ts";
import { problemsIn } from "../core/problems.ts";
import { packageVersion } from "../core/version.ts";
import { type Attack, type AttackOptions, type Samples, usesCarryOver } from "./attack.ts";
import { sizeOfImage } from "./distance.ts";
import type { AttackedModel } from "./model.ts";

// What a folder of parts was made of: another run is refused, the same run of more or fewer samples goes on with what is there.

/** Samples [start, end) of a set. */
export interface Part {
  readonly start: number;
  readonly end: number;
}

export interface RunFacts {
  readonly samples: Samples;
  readonly attack: Attack;
  readonly model: AttackedModel;
  /** Of the model's file. */
  readonly digest: string;
  readonly chunkSize: number;
  readonly options: AttackOptions;
}

export const partsOf = (count: number, chunkSize: number): Part[] =>
  Array.from({ length: Math.ceil(count / chunkSize) }, (_, i) => ({ start: i * chunkSize, end: Math.min(count, (i + 1) * chunkSize) }));

const padded = (index: number): string => String(index).padStart(6, "0");

/** `samples-000064-000127` */
export const nameOfPart = ({ start, end }: Part): string => `samples-${padded(start)}-${padded(end - 1)}`;

const partName = /^samples-(\d{6,})-(\d{6,})$/;

/** Undefined for another name. */
export function partNamed(name: string): Part | undefined {
  const found = partName.exec(name);
  return found ? { start: Number(found[1]), end: Number(found[2]) + 1 } : undefined;
}

const digests = z.record(z.string().regex(partName), z.string());
const manifest = z.strictObject({
  format: z.literal(2),
  /** What must be the same for any of the parts to be used. */
  run: z.record(z.string(), z.unknown()),
  /** SHA-256 of the images and labels of every part that was begun, by its name. */
  data: digests,
  /** Of the classes wanted. */
  targets: digests,
});
type Manifest = z.infer<typeof manifest>;

const manifestName = "attack.json";

/** The parts that are in a folder. */
export const partsIn = (folder: string): Part[] =>
  existsSync(folder) ? readdirSync(folder).flatMap((name) => partNamed(name.replace(/\.safetensors$/, "")) ?? []) : [];

/**
 * Writes what the parts are about to be made of, or compares it with what the folder's were, where it has any. Errors: UserError when it differs (saying
 * in what), when the manifest there is none, or there are parts without one.
 */
export function claim(folder: string, parts: readonly Part[], facts: RunFacts): void {
  const path = join(folder, manifestName);
  const asked = manifestOf(parts.map(nameOfPart), facts);
  // Of an attack that was begun, and came to nothing.
  const known = partsIn(folder).length > 0 ? readManifest(path) : undefined;
  if (known) {
    const reached = Object.keys(known.data).filter((name) => partNamed(name)!.end <= facts.samples.labels.length);
    const differing = [...differences(known.run, asked.run), ...differencesOfData(known, manifestOf(reached, facts), reached)];
    if (differing.length > 0) {
      throw new UserError(
        `${folder}: holds another run, which differs in ${differing.join(", ")}. Take another folder, or ask for the same as before to go on with it`,
      );
    }
    if (parts.every((part) => nameOfPart(part) in known.data)) return;
  }
  const all: Manifest = { ...asked, data: { ...known?.data, ...asked.data }, targets: { ...known?.targets, ...asked.targets } };
  writeFileAtomic(path, `${JSON.stringify(all, null, 2)}\n`);
}

function manifestOf(names: readonly string[], { samples, attack, model, digest, chunkSize, options }: RunFacts): Manifest {
  const { images, labels, targets, guides } = samples;
  const { criterion, epsilons = [], seed = 0 } = options;
  const size = sizeOfImage(model.shape);
  const ofParts = (of: (part: Part) => string) => Object.fromEntries(names.map((name) => [name, of(partNamed(name)!)]));
  const imitated = guides ?? samples;
  return {
    format: 2,
    run: {
      sdim: packageVersion(),
      attack: attack.name,
      settings: attack.settings,
      criterion: criterion?.name ?? "the attack's own",
      epsilons,
      carryOver: usesCarryOver(attack, options),
      seed,
      model: digest,
      thresholds: Array.from(model.thresholds),
      targeted: targets !== undefined,
      guides: attack.usesGuides ? digestOf(imitated.images, imitated.labels) : null,
      samplesPerFile: chunkSize,
    },
    data: ofParts(({ start, end }) => digestOf(images.subarray(start * size, end * size), labels.subarray(start, end))),
    targets: targets ? ofParts(({ start, end }) => digestOf(targets.subarray(start, end))) : {},
  };
}

function digestOf(...arrays: readonly (Float32Array | Int32Array)[]): string {
  const hash = createHash("sha256");
  for (const { buffer, byteOffset, byteLength } of arrays) hash.update(new Uint8Array(buffer, byteOffset, byteLength));
  return hash.digest("hex");
}

function readManifest(path: string): Manifest {
  const wrong = `${path}: not the description of a run that can go on (take another folder)`;
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new UserError(`${wrong}: ${messageOf(error)}`, { cause: error });
  }
  const parsed = manifest.safeParse(json);
  if (!parsed.success) throw new UserError(problemsIn(wrong, parsed.error, json));
  return parsed.data;
}

/** `settings.steps (5 there, 6 now)` */
function differences(there: Manifest["run"], asked: Manifest["run"]): string[] {
  const known = flattened(there);
  const now = flattened(JSON.parse(JSON.stringify(asked)) as Manifest["run"]);
  const keys = [...new Set([...known.keys(), ...now.keys()])].filter((key) => known.get(key) !== now.get(key));
  return keys.map((key) => `${key} (${known.get(key) ?? "none"} there, ${now.get(key) ?? "none"} now)`);
}

/** Of data and of targets the first part whose are others: `data (of samples-000064-000127)`. */
const differencesOfData = (there: Manifest, asked: Manifest, names: readonly string[]): string[] =>
  (["data", "targets"] as const).flatMap((what) => {
    const other = names.find((name) => there[what][name] !== asked[what][name]);
    return other === undefined ? [] : [`${what} (of ${other})`];
  });

/** { settings: { steps: 3 } } -> settings.steps: "3" */
function flattened(values: Readonly<Record<string, unknown>>, prefix = ""): Map<string, string> {
  const flat = new Map<string, string>();
  for (const [key, value] of Object.entries(values)) {
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      for (const [inner, text] of flattened(value as Readonly<Record<string, unknown>>, `${prefix}${key}.`)) flat.set(inner, text);
    } else flat.set(`${prefix}${key}`, JSON.stringify(value));
  }
  return flat;
}
