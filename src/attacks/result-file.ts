import { z } from "zod";
import { messageOf, UserError } from "../core/errors.ts";
import { decodeSafetensors, encodeSafetensors, type Safetensor } from "../core/safetensors.ts";
import type { AttackOutcome, AttackResult } from "./attack.ts";
import { distances } from "./distance.ts";
import type { Scores } from "./model.ts";
import type { Queries } from "./problem.ts";

// An attack's result as one safetensors file: its arrays as tensors, the rest as JSON in the metadata.

const header = z.strictObject({
  attack: z.string(),
  settings: z.record(z.string(), z.unknown()),
  distance: z.enum(distances),
  criterion: z.string(),
  isTargeted: z.boolean(),
  carryOver: z.boolean(),
  seed: z.int(),
  count: z.int().nonnegative(),
  classes: z.int().positive(),
  dimension: z.int().positive(),
  /** Values of an image. */
  size: z.int().positive(),
  epsilons: z.array(z.number().nullable()),
});
type Header = z.infer<typeof header>;

export function encodeResult(result: AttackResult): Uint8Array {
  const { labels, targets, clean, attacked, outcomes, ...rest } = result;
  const [count, first] = [labels.length, outcomes[0]!];
  const head: Header = {
    ...rest,
    settings: { ...rest.settings },
    count,
    classes: clean.classLogLikelihoods.length / count,
    dimension: clean.representations.length / count,
    size: first.images.length / count,
    epsilons: outcomes.map(({ epsilon }) => epsilon),
  };
  const tensors = new Map<string, Safetensor>();
  const f32 = (name: string, data: Float32Array) => tensors.set(name, { dtype: "F32", shape: [count, data.length / count], data });
  const i32 = (name: string, data: Int32Array) => tensors.set(name, { dtype: "I32", shape: [count], data });
  const u8 = (name: string, data: Uint8Array) => tensors.set(name, { dtype: "U8", shape: [count], data });
  const scores = (name: string, { labels: winners, accepted, classLogLikelihoods, representations }: Scores) => {
    i32(`${name}.labels`, winners);
    u8(`${name}.accepted`, accepted);
    f32(`${name}.classLogLikelihoods`, classLogLikelihoods);
    f32(`${name}.representations`, representations);
  };
  i32("labels", labels);
  if (targets) i32("targets", targets);
  u8("attacked", attacked);
  scores("clean", clean);
  outcomes.forEach((outcome, k) => {
    const name = `outcome${k}`;
    u8(`${name}.success`, outcome.success);
    // A minimal attack's adversarials are the same within every distance: once is enough.
    if (k > 0 && outcome.images === first.images) return;
    f32(`${name}.images`, outcome.images);
    scores(name, outcome.scores);
    for (const distance of distances) f32(`${name}.sizes.${distance}`, outcome.sizes[distance]);
    for (const kind of queryKinds) i32(`${name}.queries.${kind}`, Int32Array.from(outcome.queries[kind]));
  });
  return encodeSafetensors(tensors, { attack: JSON.stringify(head) });
}

interface Arrays {
  F32: Float32Array;
  I32: Int32Array;
  U8: Uint8Array;
}

const queryKinds = ["scores", "gradients", "zeroGradients"] as const satisfies readonly (keyof Queries)[];

/** `source`: the file's name. Errors: UserError when it is not the whole result of an attack. */
export function decodeResult(bytes: Uint8Array, source: string): AttackResult {
  const { tensors, metadata } = decodeSafetensors(bytes, source);
  const head = headerOf(metadata["attack"], source);
  const { count, classes, dimension, size, epsilons, ...rest } = head;
  const take = <D extends keyof Arrays>(name: string, dtype: D, values: number): Arrays[D] => {
    const found = tensors.get(name);
    if (found?.dtype === dtype && found.data.length === values) return found.data as Arrays[D];
    throw new UserError(`${source}: expected a tensor ${name} with ${values} values of ${dtype}, got ${describe(found)}; remove the file`);
  };
  const scores = (name: string): Scores => ({
    labels: take(`${name}.labels`, "I32", count),
    accepted: take(`${name}.accepted`, "U8", count),
    classLogLikelihoods: take(`${name}.classLogLikelihoods`, "F32", count * classes),
    representations: take(`${name}.representations`, "F32", count * dimension),
  });
  const outcomes: AttackOutcome[] = [];
  for (const [k, epsilon] of epsilons.entries()) {
    const name = `outcome${k}`;
    const success = take(`${name}.success`, "U8", count);
    if (k > 0 && !tensors.has(`${name}.images`)) {
      outcomes.push({ ...outcomes[0]!, epsilon, success });
      continue;
    }
    const sizes = (distance: string) => take(`${name}.sizes.${distance}`, "F32", count);
    const queries = (kind: string) => Uint32Array.from(take(`${name}.queries.${kind}`, "I32", count));
    outcomes.push({
      epsilon,
      success,
      images: take(`${name}.images`, "F32", count * size),
      scores: scores(name),
      sizes: { l0: sizes("l0"), l2: sizes("l2"), linf: sizes("linf") },
      queries: { scores: queries("scores"), gradients: queries("gradients"), zeroGradients: queries("zeroGradients") },
    });
  }
  return {
    ...rest,
    labels: take("labels", "I32", count),
    targets: head.isTargeted ? take("targets", "I32", count) : undefined,
    clean: scores("clean"),
    attacked: take("attacked", "U8", count),
    outcomes,
  };
}

const describe = (found: Safetensor | undefined): string => (found ? `${found.data.length} of ${found.dtype}` : "none");

function headerOf(text: string | undefined, source: string): Header {
  if (text === undefined) throw new UserError(`${source}: not the result of an attack: its metadata "attack" is missing`);
  try {
    return header.parse(JSON.parse(text));
  } catch (error) {
    throw new UserError(`${source}: its metadata "attack" is not as expected: ${messageOf(error)}`, { cause: error });
  }
}

/** Results of parts of a set, in order, as the result of the whole. At least one part; all of the same attack. */
export function mergeResults(parts: readonly AttackResult[]): AttackResult {
  const first = parts[0]!;
  const merged = mergeArrays;
  const scores = (of: (part: AttackResult) => Scores): Scores => ({
    labels: merged(parts.map((part) => of(part).labels)),
    accepted: merged(parts.map((part) => of(part).accepted)),
    classLogLikelihoods: merged(parts.map((part) => of(part).classLogLikelihoods)),
    representations: merged(parts.map((part) => of(part).representations)),
  });
  const outcomes: AttackOutcome[] = [];
  for (const [k, { epsilon, images }] of first.outcomes.entries()) {
    const success = merged(parts.map((part) => part.outcomes[k]!.success));
    if (k > 0 && images === first.outcomes[0]!.images) {
      outcomes.push({ ...outcomes[0]!, epsilon, success });
      continue;
    }
    const sizes = (distance: (typeof distances)[number]) => merged(parts.map((part) => part.outcomes[k]!.sizes[distance]));
    const queries = (kind: keyof Queries) => merged(parts.map((part) => part.outcomes[k]!.queries[kind]));
    outcomes.push({
      epsilon,
      success,
      images: merged(parts.map((part) => part.outcomes[k]!.images)),
      scores: scores((part) => part.outcomes[k]!.scores),
      sizes: { l0: sizes("l0"), l2: sizes("l2"), linf: sizes("linf") },
      queries: { scores: queries("scores"), gradients: queries("gradients"), zeroGradients: queries("zeroGradients") },
    });
  }
  return {
    ...first,
    labels: merged(parts.map(({ labels }) => labels)),
    targets: first.targets && merged(parts.map(({ targets }) => targets!)),
    clean: scores(({ clean }) => clean),
    attacked: merged(parts.map(({ attacked }) => attacked)),
    outcomes,
  };
}

function mergeArrays<T extends Float32Array | Int32Array | Uint8Array | Uint32Array>(parts: readonly T[]): T {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const all = new (parts[0]!.constructor as new (length: number) => T)(length);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
