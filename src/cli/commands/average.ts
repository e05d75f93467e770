import type { Command } from "commander";
import { encodeModelFile, type ModelFile } from "../../classify/model-file.ts";
import { UserError } from "../../core/errors.ts";
import { requireNew, requireSpared, requireWritable, writeFileAtomic } from "../../core/files.ts";
import { takeFirst } from "../../data/image-set.ts";
import { type AverageOptions, averageRuns, lastRunOf } from "../../train/average-runs.ts";
import { checkpointPath, loadCheckpoint, previousCheckpointPath } from "../../train/checkpoint.ts";
import { interruptible } from "../interrupt.ts";
import { dataDirOption, dataOption, threadsOption, wholeNumber } from "../options.ts";
import { note, ProgressLine, printJson, printLine } from "../output.ts";
import { type DataOptions, loadOptions, loadWithProgress, ownImageOptions, requireOwnImages } from "../own-images.ts";
import { measure, measuredInWords, measuredOf, testSplit } from "./train.ts";

interface AverageCommandOptions extends DataOptions {
  readonly data?: string;
  readonly limit?: number;
  readonly out: string;
  readonly force?: boolean;
  readonly threads?: number;
  readonly json?: boolean;
}

export function addAverage(program: Command): void {
  const command = program
    .command("average")
    .argument("<runs...>", "folders of trainings; a model file too, where one of them began with it")
    .summary("one model of several trainings: the mean of their weights")
    .description(
      "Writes a model file with the mean of the weights of two runs or more (folders of `sdim train`), of one network on the same images, where each began with the weights of another (--from) or all with the same; or of one, and the model file that it began with. It is often more accurate than any of them, at the price of one. Batch normalisation gets statistics of its own, over the training images, augmented as in the last run, whose config the model has; thresholds are taken anew.",
    )
    .addOption(dataOption(false))
    .addOption(dataDirOption())
    .option("--limit <n>", "the runs were trained on the first n images only", wholeNumber)
    .requiredOption("--out <file>", "model file to write")
    .option("--force", "replace --out if it is there already")
    .addOption(threadsOption())
    .option("--json", "print the result as JSON on stdout");
  ownImageOptions(command, true);
  command.addHelpText(
    "after",
    "\nExamples:\n  $ sdim train --data cifar10 --out runs/b --from runs/a --epochs 10 --learning-rate 0.001\n  $ sdim average runs/a runs/b --out average.onnx\n  $ sdim average models/fashion-mnist/model.onnx runs/c --out average.onnx    # runs/c: --from models/fashion-mnist/model.onnx\n  $ sdim evaluate average.onnx --data cifar10",
  );
  command.action(async (runs: readonly string[], options: AverageCommandOptions) => {
    const { out, limit, threads } = options;
    if (!out.endsWith(".onnx")) throw new UserError(`--out: expected a model file that ends in .onnx, got ${out}`);
    requireSpared(
      "--out",
      out,
      runs.flatMap((run) => [run, checkpointPath(run), previousCheckpointPath(run)]),
    );
    requireNew(out, options.force);
    requireWritable(out);
    const { config, data: seen } = loadCheckpoint(lastRunOf(runs)).position;
    const loading = loadOptions(options, { ...seen.loading, imageSize: config.imageSize });
    const spec = options.data ?? seen.name;
    const whole = await loadWithProgress(spec, "train", loading);
    requireOwnImages(options, [whole]);
    const data = limit === undefined ? whole : takeFirst(whole, limit);
    const test = await testSplit(spec, whole, whole.origin ? { ...loading, ...whole.origin.choices } : loading);
    const model = await averageWithProgress({ runs, data, ...(threads === undefined ? {} : { threads }) });
    writeFileAtomic(out, encodeModelFile(model));
    const { card } = test ? await measure({ model, modelPath: out }, test, threads) : model;
    if (options.json) {
      return printJson({
        model: out,
        runs,
        data: { name: data.name, split: data.split, count: data.count },
        config,
        calibrationAccuracy: card.measured["calibrationAccuracy"],
        ...measuredOf(card),
      });
    }
    printLine(`${out}: the mean of ${runs.join(", ")}${measuredInWords(card)}`);
  });
}

/** Averages with a progress line on stderr; Ctrl-C and SIGTERM stop it, and nothing is written. */
export async function averageWithProgress(options: Pick<AverageOptions, "runs" | "data" | "threads">): Promise<ModelFile> {
  const line = new ProgressLine();
  const show = (text: string) => (done: number, total: number) => line.show(`${text}: ${done} of ${total}`, done === total);
  try {
    return await interruptible((signal) =>
      averageRuns({
        ...options,
        signal,
        onStatistics: show("statistics of batch normalisation, batches seen"),
        onCalibrate: show("calibrating, images scored"),
        onNote: (text) => {
          line.end();
          note(text);
        },
      }),
    );
  } finally {
    line.end();
  }
}
