import { Random } from "../core/random.ts";
import { type Mark, type Merits, markOf, marks, mean, spreadOf } from "./marks.ts";

/** Studies drawn. */
const draws = 20_000;

/**
 * How often a variant that changes nothing gets each mark, by chance: shares that add up to 1. Studies are drawn in which base and variant have
 * the same distribution, normal in both merits, which do not depend on each other. `baseSeeds` at least 2, `variantSeeds` at least 1.
 */
export function marksByChance(baseSeeds: number, variantSeeds: number): Record<Mark, number> {
  const random = Random.stream(0, `marks by chance, ${baseSeeds} against ${variantSeeds}`);
  const normals = (count: number) => Array.from({ length: count }, () => random.normal());
  const counts = Object.fromEntries(marks.map((mark) => [mark, 0])) as Record<Mark, number>;
  for (let i = 0; i < draws; i++) {
    const [accuracy, auroc] = [normals(baseSeeds), normals(baseSeeds)];
    const difference: Merits = { accuracy: mean(normals(variantSeeds)) - mean(accuracy), auroc: mean(normals(variantSeeds)) - mean(auroc) };
    counts[markOf(difference, { accuracy: spreadOf(accuracy), auroc: spreadOf(auroc) })] += 1 / draws;
  }
  return counts;
}
