import { type Command, InvalidArgumentError, Option } from "commander";
import { z } from "zod";
import type { ModelCard } from "../classify/card.ts";
import { UserError } from "../core/errors.ts";
import { type ImageSet, passedOver } from "../data/image-set.ts";
import { type LoadOptions, loadDataset, type Split } from "../data/registry.ts";
import { wholeNumber } from "./options.ts";
import { note, ProgressLine } from "./output.ts";

/** What the command line says about loading data. */
export interface DataOptions {
  readonly dataDir?: string;
  readonly channels?: 1 | 3;
  readonly testShare?: number;
  readonly splitSeed?: number;
  readonly skipBroken?: boolean;
}

function share(text: string): number {
  const value = text.trim() === "" ? Number.NaN : Number(text);
  if (!(value >= 0 && value <= 1)) throw new InvalidArgumentError(`expected a number from 0 to 1, got "${text}"`);
  return value;
}

/** The options of folders and CSV files of images. `withChannels`: where no model file says how many there are. */
export function ownImageOptions(command: Command, withChannels: boolean): Command {
  if (withChannels) {
    command.addOption(
      new Option("--channels <n>", "own images: 1 grey, 3 colour (default: grey if all images are)")
        .choices(["1", "3"])
        .argParser(channels),
    );
  }
  return command
    .option("--test-share <share>", "own images: share of each class set aside for testing if there is no test/ (default: 0.2)", share)
    .option("--split-seed <n>", "own images: seed of that split (default: 1)", wholeNumber)
    .option("--skip-broken", "own images: leave out files that cannot be read, and say which");
}

function channels(text: string): 1 | 3 {
  if (text !== "1" && text !== "3") throw new InvalidArgumentError(`expected 1 or 3, got "${text}"`);
  return text === "1" ? 1 : 3;
}

/** `start`: what a model or a checkpoint says; the command line wins over it. */
export function loadOptions(options: DataOptions, start: Partial<LoadOptions> = {}): LoadOptions {
  const { dataDir, channels, testShare, splitSeed, skipBroken } = options;
  return {
    ...start,
    ...(dataDir === undefined ? {} : { dataDir }),
    ...(channels === undefined ? {} : { channels }),
    ...(testShare === undefined ? {} : { testShare }),
    ...(splitSeed === undefined ? {} : { splitSeed }),
    ...(skipBroken ? { onBroken: "skip" } : {}),
  };
}

const trainingData = z.looseObject({
  data: z.looseObject({ loading: z.looseObject({ testShare: z.number(), splitSeed: z.int() }).optional() }),
});

/** The size and channels a model takes, and the split it was trained with: other shares or seeds would test it on training images. */
export function optionsOfModel({ model, training }: ModelCard): Partial<LoadOptions> {
  const { imageSize, channels } = model;
  const loading = trainingData.safeParse(training).data?.data.loading;
  return { imageSize, channels, ...(loading ? { testShare: loading.testShare, splitSeed: loading.splitSeed } : {}) };
}

/** Loads data with a progress line, and says what of it was left out. */
export async function loadWithProgress(spec: string, split: Split, options: LoadOptions): Promise<ImageSet> {
  const line = new ProgressLine();
  let set: ImageSet;
  try {
    const onProgress = (what: string, done: number, total: number) => line.show(`${spec}: ${what}, ${done} of ${total}`, done === total);
    set = await loadDataset(spec, split, { ...options, onProgress });
  } finally {
    line.end();
  }
  for (const text of leftOut(set)) note(text);
  return set;
}

function leftOut({ name, count, split, origin }: ImageSet): string[] {
  if (!origin) return [];
  const { skipped, cacheProblem } = origin;
  const others = passedOver(origin);
  return [
    ...(others === undefined ? [] : [`${name}: ${others}`]),
    ...(skipped.length > 0
      ? [`${name} (${split}): skipped ${skipped.length} of ${count + skipped.length} images that cannot be read:`]
      : []),
    ...skipped.map(({ file, reason }) => `  ${file}: ${reason}`),
    ...(cacheProblem === undefined ? [] : [`${name}: not kept for the next time: ${cacheProblem}`]),
  ];
}

/** Errors: UserError when options of own images were given, and none of the data is such. */
export function requireOwnImages(options: DataOptions, sets: readonly ImageSet[]): void {
  const { channels, testShare, splitSeed, skipBroken } = options;
  const given = Object.entries({ channels, "test-share": testShare, "split-seed": splitSeed, "skip-broken": skipBroken })
    .filter(([, value]) => value !== undefined)
    .map(([name]) => `--${name}`);
  if (given.length === 0 || sets.some(({ origin }) => origin)) return;
  throw new UserError(`${given.join(", ")}: for a folder or CSV of images only; ${sets.map(({ name }) => name).join(", ")} is as it is`);
}
