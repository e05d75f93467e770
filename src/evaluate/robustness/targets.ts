import type { Samples } from "../../attacks/attack.ts";
import { sizeOfImage } from "../../attacks/distance.ts";
import type { AttackedModel } from "../../attacks/model.ts";
import { indices, takeRows } from "../../attacks/rows.ts";
import { UserError } from "../../core/errors.ts";
import { oneOf } from "../../core/names.ts";
import { Random } from "../../core/random.ts";

/** How the classes wanted by a targeted attack are chosen, beside the name of a class. */
export const targetRules = ["random", "next", "all", "least-likely"] as const;

/** Samples with their targets, and which of the given ones they are: [N], indices. */
export interface TargetedSamples {
  readonly samples: Samples & { readonly targets: Int32Array };
  readonly sources: Int32Array;
}

/**
 * Targets per sample: `random` (of the wrong classes, by seed), `next` (label + 1), `all` (each sample once per wrong class), `least-likely`
 * (the wrong class that the model gives the lowest log-likelihood), or a class by name, for all samples that are not of it. A sample's
 * targets depend on no other sample; all given samples stay guides, those left out, too.
 * Errors: UserError for a rule that is none and no class, or when no sample is left.
 */
export async function withTargets(
  model: AttackedModel,
  { images, labels, guides = { images, labels } }: Samples,
  classNames: readonly string[],
  rule: string,
  seed: number,
): Promise<TargetedSamples> {
  const { classes } = model;
  const size = sizeOfImage(model.shape);
  const rows = indices(labels.length);
  const made = (sources: readonly number[], targets: readonly number[]): TargetedSamples => ({
    samples: {
      images: takeRows(images, size, sources),
      labels: Int32Array.from(sources, (i) => labels[i]!),
      targets: Int32Array.from(targets),
      guides,
    },
    sources: Int32Array.from(sources),
  });
  const wrongClasses = (i: number) => indices(classes).filter((c) => c !== labels[i]);
  const named = classNames.indexOf(rule);
  if (named >= 0) {
    const sources = rows.filter((i) => labels[i] !== named);
    if (sources.length === 0) throw new UserError(`targets: all ${labels.length} images are of class ${rule} itself; take another class`);
    return made(
      sources,
      sources.map(() => named),
    );
  }
  switch (oneOf("targets", rule, [...targetRules, ...classNames])) {
    case "next":
      return made(
        rows,
        rows.map((i) => (labels[i]! + 1) % classes),
      );
    case "random": {
      const drawn = rows.map((i) => Random.stream(seed, `target of sample ${i}`).below(classes - 1));
      return made(
        rows,
        drawn.map((value, i) => wrongClasses(i)[value]!),
      );
    }
    case "all":
      return made(
        rows.flatMap((i) => wrongClasses(i).map(() => i)),
        rows.flatMap(wrongClasses),
      );
    default: {
      const { classLogLikelihoods } = await model.score(images);
      const scoreOf = (i: number, c: number) => classLogLikelihoods[i * classes + c]!;
      return made(
        rows,
        rows.map((i) => wrongClasses(i).reduce((lowest, c) => (scoreOf(i, c) < scoreOf(i, lowest) ? c : lowest))),
      );
    }
  }
}
