import { join } from "node:path";
import type { Command } from "commander";
import { ablate, type StudyResult } from "../../ablate/ablate.ts";
import { loadStudyData } from "../../ablate/data.ts";
import { chosenTrainings, parseStudy, type Study } from "../../ablate/study.ts";
import { writeStudy } from "../../ablate/write.ts";
import { commandLine } from "../../core/circumstances.ts";
import { Interrupted } from "../../core/errors.ts";
import { requireWritable } from "../../core/files.ts";
import { readMapping } from "../config-file.ts";
import { dataDirOption, threadsOption, wordList } from "../options.ts";
import { note, ProgressLine, printLine } from "../output.ts";
import { loadWithProgress } from "../own-images.ts";
import { trainWithProgress } from "./train.ts";

interface AblateCommandOptions {
  readonly out: string;
  readonly runs?: string;
  readonly only?: readonly string[];
  readonly threads?: number;
  readonly dataDir?: string;
  readonly svhn?: string;
}

export function addAblate(program: Command): void {
  program
    .command("ablate <study>")
    .summary("train small differences from a base, and say which of them matter")
    .description(
      "Trains the base of a study file with several seeds and each variant, measures them, and writes a table, a figure and JSON: each variant's difference from the base, with the spread of the base's seeds as the yardstick. Stopped half way, the same command goes on.",
    )
    .requiredOption("--out <path>", "where results go: <path>.md, .json, .svg and .png, written anew after every training")
    .option("--runs <folder>", "where trainings are kept (default: runs/ablation/<name of the study>)")
    .option("--only <id,...>", "only these variants now (base: the base)", wordList)
    .addOption(threadsOption())
    .addOption(dataDirOption())
    .option("--svhn <spec>", "data set, folder or file that stands for SVHN among the reported sets (default: svhn)")
    .addHelpText(
      "after",
      "\nExamples:\n  $ sdim ablate studies/fashion-mnist.yaml --out results/ablation-fashion-mnist\n  $ sdim ablate studies/fashion-mnist.yaml --out results/ablation-fashion-mnist --only base,margin-20",
    )
    .action(runAblate);
}

async function runAblate(path: string, options: AblateCommandOptions): Promise<void> {
  const { out, only, threads } = options;
  const study = parseStudy(readMapping(path, path, "the keys of a study, for example data, seeds and variants"), path);
  // A mistake in --only is better known before data is loaded.
  chosenTrainings(study, only);
  requireWritable(`${out}.json`);
  const data = await loadStudyData(study, { ...locations(options), load: loadWithProgress });
  const line = new ProgressLine();
  try {
    const result = await ablate(study, data, {
      runs: options.runs ?? join("runs", "ablation", study.name),
      command: commandLine("sdim", process.argv.slice(2)),
      ...(only === undefined ? {} : { only }),
      ...(threads === undefined ? {} : { threads }),
      train: ({ config, data: images, ...machine }) => trainWithProgress(machine, config, images),
      onTraining: ({ id, seed }, index, total) => note(`training ${index + 1} of ${total}: ${id}, seed ${seed}`),
      onProgress: (set, done, total) => line.show(`scoring ${set}: ${done} of ${total}`, done === total),
      onResult: (so) => writeStudy(so, out),
    });
    printLine(summary(study, result, out));
  } catch (error) {
    if (error instanceof Interrupted) throw new Interrupted("stopped; the same command goes on from there");
    throw error;
  } finally {
    line.end();
  }
}

const locations = ({ dataDir, svhn }: AblateCommandOptions) => ({
  ...(dataDir === undefined ? {} : { dataDir }),
  ...(svhn === undefined ? {} : { svhn }),
});

/** What a person looks for first; the rest is in the files. */
function summary(study: Study, { comparison, trainings }: StudyResult, out: string): string {
  const done = trainings.filter(({ outcome }) => outcome.kind !== "missing").length;
  const failed = trainings.filter(({ outcome }) => outcome.kind === "failed").length;
  const better = comparison.variants.filter(({ mark }) => mark === "better").map(({ id }) => id);
  const failures = failed === 0 ? "" : `, ${failed} of them failed`;
  return [
    `${study.name}: ${done} of ${trainings.length} trainings done${failures}; better than the base: ${better.length === 0 ? "none" : better.join(", ")}`,
    `${out}.md, .json, .svg and .png`,
  ].join("\n");
}
