import type { Command } from "commander";
import { UserError } from "../core/errors.ts";
import { convertChannels } from "../data/channels.ts";
import type { ImageSet } from "../data/image-set.ts";
import { loadOutOfDistribution } from "../data/out-of-distribution.ts";
import type { LoadOptions } from "../data/registry.ts";
import { syntheticNames } from "../data/synthetic.ts";
import { pathList, wholeNumber } from "./options.ts";
import { loadWithProgress } from "./own-images.ts";

// Data a classifier should refuse, as commands are told of it.

export interface OodOptions {
  readonly ood?: readonly string[];
  readonly syntheticCount?: number;
  readonly convertChannels?: boolean;
  readonly seed: number;
}

/** All but `--seed`, which every command describes itself. */
export const oodOptions = (command: Command): Command =>
  command
    .option(
      "--ood <name|folder|csv,...>",
      `data it should refuse: test splits of data sets, all of a folder or CSV of images without one, or synthetic (${syntheticNames.join(", ")})`,
      pathList,
    )
    .option("--synthetic-count <n>", "images of each synthetic set (default: 2000)", wholeNumber)
    .option(
      "--convert-channels",
      "turn grey out-of-distribution images into RGB by repetition, RGB into grey by luminance, as the model takes",
    );

/** Errors: UserError when options of such data are given, and no such data. */
export function requireOodNamed({ ood, syntheticCount, convertChannels }: OodOptions): void {
  const given = Object.entries({ "synthetic-count": syntheticCount, "convert-channels": convertChannels }).filter(
    ([, value]) => value !== undefined,
  );
  if (ood !== undefined || given.length === 0) return;
  throw new UserError(`${given.map(([name]) => `--${name}`).join(", ")}: of what data? Name it with --ood`);
}

/** One set after another, so that a mistake in the last name does not depend on how fast the others are read. */
export async function loadOod(
  { ood = [], syntheticCount, convertChannels: convert, seed }: OodOptions,
  data: ImageSet,
  channels: 1 | 3,
  loading: LoadOptions,
): Promise<ImageSet[]> {
  const sets: ImageSet[] = [];
  for (const name of ood) {
    const synthetic = { seed, ...(syntheticCount === undefined ? {} : { count: syntheticCount }) };
    const set = await loadOutOfDistribution(name, data, { ...loading, isLabelled: false, ...synthetic }, loadWithProgress);
    sets.push(convert ? convertChannels(set, channels) : set);
  }
  return sets;
}
