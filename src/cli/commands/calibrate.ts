import { type Command, Option } from "commander";
import { encodeModelFile, readModelFile } from "../../classify/model-file.ts";
import { writeFileAtomic } from "../../core/files.ts";
import type { Split } from "../../data/registry.ts";
import { calibrateModel } from "../../reject/calibrate.ts";
import { storedPercentiles } from "../../train/train.ts";
import { dataDirOption, dataOption, numberList } from "../options.ts";
import { ProgressLine, printJson, printLine } from "../output.ts";
import { type DataOptions, loadOptions, loadWithProgress, optionsOfModel, ownImageOptions, requireOwnImages } from "../own-images.ts";

interface CalibrateCommandOptions extends DataOptions {
  readonly data: string;
  readonly split: Split;
  readonly percentile: readonly number[];
  readonly json?: boolean;
}

export function addCalibrate(program: Command): void {
  const command = program
    .command("calibrate <model>")
    .summary("take a model's reject thresholds anew; weights stay")
    .description(
      "Takes the class thresholds of a model file from correctly classified samples of --data and rewrites the file's `thresholds` tensor and\nmetadata. The first --percentile is put in force; all of them, and the usual ones, can be evaluated later.",
    )
    .addOption(dataOption(true))
    .addOption(dataDirOption())
    .addOption(new Option("--split <name>", "split the thresholds are taken from").choices(["train", "val", "test"]).default("train"))
    .option("--percentile <p,...>", "percentiles of the log-likelihood, the first in force", numberList, [1])
    .option("--json", "print the thresholds as JSON on stdout")
    .addHelpText("after", "\nExample:\n  $ sdim calibrate runs/a/model.onnx --data mnist --percentile 2");
  ownImageOptions(command, false).action(async (path: string, options: CalibrateCommandOptions) => {
    const model = readModelFile(path);
    const data = await loadWithProgress(options.data, options.split, loadOptions(options, optionsOfModel(model.card)));
    requireOwnImages(options, [data]);
    const line = new ProgressLine();
    const { file } = await calibrateModel(model, data, {
      percentile: options.percentile[0]!,
      percentiles: [...storedPercentiles, ...options.percentile],
      onProgress: (done, total) => line.show(`calibrating: ${done} of ${total} images scored`, done === total),
    });
    line.end();
    writeFileAtomic(path, encodeModelFile(file));
    const { calibration, classNames } = file.card;
    if (options.json) return printJson({ model: path, classNames, ...calibration });
    printLine(`${path}: thresholds at percentile ${calibration.percentile} of ${data.name} (${data.split})`);
    const inForce = calibration.thresholds.find(({ percentile }) => percentile === calibration.percentile)!;
    for (const [c, name] of classNames.entries())
      printLine(`  ${name.padEnd(12)} ${inForce.values[c]!.toFixed(2)}  (${calibration.counts[c]} samples)`);
  });
}
