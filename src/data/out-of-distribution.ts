import { existsSync } from "node:fs";
import { oneOf } from "../core/names.ts";
import type { ImageSet } from "./image-set.ts";
import { datasetNames, type LoadOptions, loadDataset } from "./registry.ts";
import { type SyntheticOptions, synthesise, syntheticNames } from "./synthetic.ts";

/**
 * A set to be refused: a synthetic one by its name, of the shape of `like`, the data it is compared with; else the test split of a data set or
 * a folder. (A folder that has the name of a synthetic set is `./name`.) Errors: as `synthesise` and `loadDataset`; an unknown name's error lists
 * both kinds. `load`: what loads sets that are not synthetic, where not in silence.
 */
export async function loadOutOfDistribution(
  spec: string,
  like: ImageSet,
  options: LoadOptions & SyntheticOptions = {},
  load: (spec: string, split: "test", options: LoadOptions) => Promise<ImageSet> = loadDataset,
): Promise<ImageSet> {
  if ((syntheticNames as readonly string[]).includes(spec)) return synthesise(spec, like, options);
  if (!existsSync(spec)) oneOf("out-of-distribution set (and no such folder)", spec, [...datasetNames, ...syntheticNames]);
  return load(spec, "test", options);
}
