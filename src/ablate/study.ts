import { z } from "zod";
import { UserError } from "../core/errors.ts";
import { oneOf } from "../core/names.ts";
import { problemsIn } from "../core/problems.ts";
import { augmentationOf } from "../data/registry.ts";
import { syntheticNames } from "../data/synthetic.ts";
import { defaults, resolveConfig, type TrainConfig } from "../train/config.ts";
import { differingKeys } from "../train/runs.ts";

/** Among the outlier sets that are chosen by: training images of the held-out classes. */
export const heldOutSet = "held-out-classes";
const outlierNames = [...syntheticNames, heldOutSet] as const;
const baseId = "base";

const seed = z.int().min(0).max(0xffffffff);
const seeds = z.array(seed).min(1);
/** Names of folders and of files. */
const idPattern = /^[a-z0-9]+([.-][a-z0-9]+)*$/;
const idRule = "expected lower-case letters and digits, with single hyphens or dots between";
const isId = (text: string): boolean => idPattern.test(text);
const config = z.record(z.string(), z.unknown());

const variantSchema = z.strictObject({
  description: z.string().trim().min(1),
  config,
  seeds: seeds.optional(),
});

const studySchema = z.strictObject({
  name: z.string().regex(idPattern, idRule),
  data: z.string().min(1),
  limit: z.int().min(2).nullable().default(null),
  validation: z.number().gt(0).lt(1).default(0.1),
  heldOutClasses: z.array(z.union([z.string(), z.int().min(0)])).default([]),
  base: config.default({}),
  seeds,
  outliers: z.array(z.string()).min(1),
  outlierCount: z.int().min(1).default(2000),
  reported: z.array(z.string().min(1)).default([]),
  variants: z.record(z.string(), variantSchema),
});

/** The base, or a small difference from it. */
export interface Variant {
  readonly id: string;
  readonly description: string;
  /** The keys in which it is not the base. */
  readonly changes: Readonly<Record<string, unknown>>;
  /** Resolved; its seed is the first of `seeds`. */
  readonly config: TrainConfig;
  readonly seeds: readonly number[];
}

/** What a study file says, with its defaults. docs/ablation.md explains every key. */
export interface Study extends Omit<z.infer<typeof studySchema>, "base" | "seeds" | "variants"> {
  readonly base: Variant;
  readonly variants: readonly Variant[];
}

/** One training of a study. */
export interface PlannedTraining {
  readonly id: string;
  readonly seed: number;
  readonly config: TrainConfig;
}

/**
 * A study from what its file holds; `source` names it in messages.
 * Errors: UserError for an unknown key or set (with the nearest match), a value out of range, no variant, or one that changes nothing.
 */
export function parseStudy(raw: Readonly<Record<string, unknown>>, source: string): Study {
  return explained(source, () => {
    known("study key", raw, Object.keys(studySchema.shape));
    for (const [name, variant] of entriesOf(raw["variants"])) {
      explained(`variant ${name}`, () => {
        if (!isId(name)) throw new UserError(`as an id, ${idRule}`);
        known("variant key", variant, Object.keys(variantSchema.shape));
      });
    }
    const parsed = studySchema.safeParse(raw);
    if (!parsed.success) throw new UserError(problemsIn("not a study", parsed.error, raw));
    const { base, variants, ...rest } = parsed.data;
    requireSets(rest);
    const start = { ...augmentationOf(rest.data), ...base };
    const baseVariant = explained(baseId, () => variantOf(baseId, "what every variant differs from", start, distinct("seeds", rest.seeds)));
    const all = Object.entries(variants).map(([name, one]) =>
      explained(`variant ${name}`, () =>
        changed(
          baseVariant,
          variantOf(name, one.description, { ...start, ...one.config }, distinct("seeds", one.seeds ?? [rest.seeds[0]!])),
        ),
      ),
    );
    if (all.length === 0)
      throw new UserError("variants: expected at least one, for example: margin-20: {description: .., config: {margin: 20}}");
    requireDifferent(all);
    const { seeds: _, ...study } = rest;
    return { ...study, base: baseVariant, variants: all };
  });
}

/** In the order they are run: the base with all its seeds, which are the yardstick, then the variants as the file has them. */
export const trainingsOf = ({ base, variants }: Study): PlannedTraining[] =>
  [base, ...variants].flatMap((variant) => variant.seeds.map((seed) => ({ id: variant.id, seed, config: { ...variant.config, seed } })));

/** The trainings of these variants. Errors: UserError for an id that is none (with the nearest match). */
export function chosenTrainings(study: Study, only: readonly string[] | undefined): PlannedTraining[] {
  const all = trainingsOf(study);
  if (only === undefined) return all;
  const ids = [baseId, ...study.variants.map((variant) => variant.id)];
  const wanted = only.map((one) => oneOf("variant", one, ids));
  return all.filter((training) => wanted.includes(training.id));
}

function explained<T>(where: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof UserError) throw new UserError(`${where}: ${error.message}`, { cause: error });
    throw error;
  }
}

const entriesOf = (value: unknown): [string, unknown][] => (typeof value === "object" && value !== null ? Object.entries(value) : []);

/** Before the schema looks: it would not name the nearest key. */
function known(what: string, value: unknown, keys: readonly string[]): void {
  for (const [key] of entriesOf(value)) oneOf(what, key, keys);
}

function variantOf(name: string, description: string, given: Readonly<Record<string, unknown>>, seedsOf: readonly number[]): Variant {
  if ("seed" in given) throw new UserError("seed: the study's own key seeds says with which seeds to train; leave it out of the config");
  return { id: name, description, changes: {}, config: resolveConfig({ ...defaults, ...given, seed: seedsOf[0] }), seeds: seedsOf };
}

function changed(base: Variant, variant: Variant): Variant {
  if (variant.id === baseId) throw new UserError(`"${baseId}" is the name of what the others differ from; choose another`);
  const keys = differingKeys([base.config, variant.config]).filter((key) => key !== "seed");
  if (keys.length === 0) throw new UserError("its config is the base's: a variant must change something");
  return { ...variant, changes: Object.fromEntries(keys.map((key) => [key, variant.config[key]])) };
}

function requireDifferent(variants: readonly Variant[]): void {
  const seen = new Map<string, string>();
  for (const variant of variants) {
    const changes = JSON.stringify(variant.changes);
    const twin = seen.get(changes);
    if (twin !== undefined)
      throw new UserError(`variants ${twin} and ${variant.id} are the same: ${changes}; for more trainings of one, give it seeds`);
    seen.set(changes, variant.id);
  }
}

function distinct<T>(what: string, values: readonly T[]): readonly T[] {
  const again = values.find((value, i) => values.indexOf(value) < i);
  if (again !== undefined) throw new UserError(`${what}: ${String(again)} is there twice`);
  return values;
}

function requireSets({ outliers, reported, heldOutClasses }: Pick<Study, "outliers" | "reported" | "heldOutClasses">): void {
  for (const name of distinct("outliers", outliers)) oneOf("outlier set to choose by", name, outlierNames);
  for (const name of distinct("reported", reported)) {
    if ((outlierNames as readonly string[]).includes(name)) {
      throw new UserError(`reported: ${name} is a set to choose by, expected others: what is reported must not be chosen by`);
    }
  }
  distinct("heldOutClasses", heldOutClasses);
  if (outliers.includes(heldOutSet) && heldOutClasses.length === 0) {
    throw new UserError(`outliers: ${heldOutSet} needs heldOutClasses, for example [8, 9]`);
  }
}
