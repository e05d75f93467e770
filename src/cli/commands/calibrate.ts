import { type Command, Option } from "commander";
import { calibrationsOf, putInForce, sourceOf } from "../../classify/calibrations.ts";
import { type CalibrationSource, calibrationSources, type ModelCard, type ThresholdScope, thresholdScopes } from "../../classify/card.ts";
import { encodeModelFile, type ModelFile, readModelFile, withCard } from "../../classify/model-file.ts";
import { UserError } from "../../core/errors.ts";
import { requireNew, requireWritable, writeFileAtomic } from "../../core/files.ts";
import type { Split } from "../../data/registry.ts";
import { type RejectScore, rejectScoreInWords, rejectScoreOf, rejectScores } from "../../nn/reject-score.ts";
import { calibrateModel } from "../../reject/calibrate.ts";
import { storedPercentiles } from "../../train/train.ts";
import { dataDirOption, dataOption, numberList, threadsOption } from "../options.ts";
import { ProgressLine, printJson, printLine } from "../output.ts";
import { type DataOptions, loadOptions, loadWithProgress, optionsOfModel, ownImageOptions, requireOwnImages } from "../own-images.ts";

interface CalibrateCommandOptions extends DataOptions {
  readonly data?: string;
  readonly split: Split;
  readonly percentile?: readonly number[];
  readonly rejectBy?: RejectScore;
  readonly thresholdsFor?: ThresholdScope;
  readonly testTimeFlip?: boolean;
  readonly use?: CalibrationSource;
  readonly out?: string;
  readonly force?: boolean;
  readonly threads?: number;
  readonly json?: boolean;
}

export function addCalibrate(program: Command): void {
  const command = program
    .command("calibrate <model>")
    .summary("take a model's reject thresholds anew; weights stay")
    .description(
      "Takes the class thresholds of a model file from correctly classified samples of --data and rewrites the file's `thresholds` tensor and metadata. The first --percentile is put in force; without any, the one in force stays; all of them, and the usual ones, can be evaluated later. With --use, thresholds that the file carries already are put in force, without any data.",
    )
    .addOption(dataOption(false))
    .addOption(dataDirOption())
    .addOption(new Option("--split <name>", "split the thresholds are taken from").choices(["train", "val", "test"]).default("train"))
    .addOption(
      new Option("--reject-by <score>", "what is compared with thresholds (default: what the model rejects by already)").choices(
        rejectScores,
      ),
    )
    .addOption(
      new Option("--thresholds-for <scope>", "a threshold for each class, or one for all (default: as the model has them already)").choices(
        thresholdScopes,
      ),
    )
    .option(
      "--test-time-flip",
      "score an image by the mean over it and its mirror image: for models trained on mirrored images; takes twice the time",
    )
    .option("--no-test-time-flip", "score the image alone (default of both: as the model does already)")
    .addOption(
      new Option("--use <source>", "put thresholds of this source in force")
        .choices(calibrationSources)
        .conflicts([
          "data",
          "dataDir",
          "split",
          "rejectBy",
          "thresholdsFor",
          "testTimeFlip",
          "skipBroken",
          "testShare",
          "splitSeed",
          "threads",
        ]),
    )
    .option("--percentile <p,...>", "percentiles of the log-likelihood, the first in force (default: the one in force already)", numberList)
    .option("--out <file>", "write another file in place of this one")
    .option("--force", "replace --out if it is there already")
    .addOption(threadsOption())
    .option("--json", "print the thresholds as JSON on stdout")
    .addHelpText(
      "after",
      "\nExamples:\n  $ sdim calibrate runs/a/model.onnx --data mnist --percentile 2\n  $ sdim calibrate runs/a/model.onnx --use validation\n  $ sdim calibrate runs/a/model.onnx --data photos --reject-by penalised-likelihood --thresholds-for all-classes --out strict.onnx",
    );
  ownImageOptions(command, false).action(async (path: string, options: CalibrateCommandOptions) => {
    const model = readModelFile(path);
    const out = options.out ?? path;
    if (options.out !== undefined) requireNew(out, options.force);
    requireWritable(out);
    const percentiles = options.percentile ?? [model.card.calibration.percentile];
    const file = options.use === undefined ? await calibrated(model, percentiles, options) : switched(model, options.use, percentiles[0]!);
    writeFileAtomic(out, encodeModelFile(file));
    if (options.json) {
      const { calibration, otherCalibrations = [], classNames, model } = file.card;
      return printJson({
        model: out,
        classNames,
        rejectBy: rejectScoreOf(model),
        testTimeFlip: model.testTimeFlip ?? false,
        ...calibration,
        otherCalibrations,
      });
    }
    print(out, file.card);
  });
}

const switched = (model: ModelFile, source: CalibrationSource, percentile: number): ModelFile =>
  withCard(model, putInForce(model.card, source, percentile));

async function calibrated(model: ModelFile, percentiles: readonly number[], options: CalibrateCommandOptions): Promise<ModelFile> {
  const { data: spec, split, rejectBy, thresholdsFor, testTimeFlip, threads } = options;
  if (spec === undefined) throw new UserError("--data: name a data set or a folder to take thresholds from, or --use what the file has");
  const data = await loadWithProgress(spec, split, loadOptions(options, optionsOfModel(model.card)));
  requireOwnImages(options, [data]);
  const line = new ProgressLine();
  try {
    const { file } = await calibrateModel(model, data, {
      percentile: percentiles[0]!,
      percentiles: [...storedPercentiles, ...percentiles],
      ...(rejectBy ? { rejectBy } : {}),
      ...(thresholdsFor ? { thresholdsFor } : {}),
      ...(testTimeFlip === undefined ? {} : { testTimeFlip }),
      ...(threads === undefined ? {} : { threads }),
      onProgress: (done, total) => line.show(`calibrating: ${done} of ${total} images scored`, done === total),
    });
    return file;
  } finally {
    line.end();
  }
}

function print(path: string, card: ModelCard): void {
  const { data, split, percentile, counts, thresholdsFor } = card.calibration;
  const scope = thresholdsFor === "all-classes" ? ", one for all classes" : "";
  const views = card.model.testTimeFlip ? " (mean over the image and its mirror image)" : "";
  printLine(
    `${path}: thresholds of the ${rejectScoreInWords(card.model)}${views} at percentile ${percentile} of ${data} (${split}), ${sourceOf(card.calibration)} images${scope}`,
  );
  const inForce = card.calibration.thresholds.find((set) => set.percentile === percentile)!;
  for (const [c, name] of card.classNames.entries())
    printLine(`  ${name.padEnd(12)} ${inForce.values[c]!.toFixed(2)}  (${counts[c]} samples)`);
  for (const other of calibrationsOf(card).slice(1))
    printLine(`also stored: ${sourceOf(other)} images, ${other.data} (${other.split}); put in force with --use ${sourceOf(other)}`);
}
