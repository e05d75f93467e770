import { type Command, Option } from "commander";
import { Classifier } from "../../classify/classifier.ts";
import { writeFileAtomic } from "../../core/files.ts";
import type { ImageSet } from "../../data/image-set.ts";
import type { Split } from "../../data/registry.ts";
import { evaluate } from "../../evaluate/evaluate.ts";
import { renderTable } from "../../evaluate/summary.ts";
import type { Provider } from "../../runtime/session.ts";
import { dataDirOption, dataOption, machineOptions, numberList, wordList } from "../options.ts";
import { ProgressLine, printJson, printLine } from "../output.ts";
import { type DataOptions, loadOptions, loadWithProgress, optionsOfModel, ownImageOptions, requireOwnImages } from "../own-images.ts";

interface EvaluateCommandOptions extends DataOptions {
  readonly data: string;
  readonly split: Split;
  readonly ood?: readonly string[];
  readonly percentile?: readonly number[];
  readonly out?: string;
  readonly provider: Provider;
  readonly threads?: number;
  readonly json?: boolean;
}

export function addEvaluate(program: Command): void {
  const command = program
    .command("evaluate <model>")
    .summary("measure accuracy, rejection and out-of-distribution detection")
    .description("Measures a model file on labelled data it was not trained on and, with --ood, on data it should refuse.")
    .addOption(dataOption(true))
    .addOption(dataDirOption())
    .addOption(new Option("--split <name>", "split to measure on").choices(["train", "val", "test"]).default("test"))
    .option(
      "--ood <name|folder|csv,...>",
      "out-of-distribution data sets: their test splits, or all of a folder or CSV of images without one",
      wordList,
    )
    .option("--percentile <p,...>", "percentiles of the thresholds (default: 1,2)", numberList)
    .option("--out <file>", "also write the JSON to this file")
    .option("--json", "print the result as JSON on stdout")
    .addHelpText("after", "\nExample:\n  $ sdim evaluate runs/a/model.onnx --data mnist --ood fashion-mnist --percentile 1,2");
  ownImageOptions(command, false);
  machineOptions(command).action(async (path: string, options: EvaluateCommandOptions) => {
    const { provider, threads } = options;
    const classifier = await Classifier.load(path, { provider, ...(threads === undefined ? {} : { threads }) });
    const loading = loadOptions(options, optionsOfModel(classifier.card));
    const data = await loadWithProgress(options.data, options.split, loading);
    const ood: ImageSet[] = [];
    for (const name of options.ood ?? []) ood.push(await loadWithProgress(name, "test", { ...loading, isLabelled: false }));
    requireOwnImages(options, [data, ...ood]);
    const line = new ProgressLine();
    const { evaluation } = await evaluate(classifier, data, {
      ood,
      model: path,
      ...(options.percentile === undefined ? {} : { percentiles: options.percentile }),
      onProgress: (what, done, total) => line.show(`scoring ${what}: ${done} of ${total}`, done === total),
    });
    line.end();
    await classifier.release();
    if (options.out !== undefined) writeFileAtomic(options.out, `${JSON.stringify(evaluation, null, 2)}\n`);
    if (options.json) printJson(evaluation);
    else printLine(renderTable(evaluation));
  });
}
