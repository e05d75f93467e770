import { type Command, Option } from "commander";
import { Classifier } from "../../classify/classifier.ts";
import { writeFileAtomic } from "../../core/files.ts";
import { type LoadOptions, loadDataset, type Split } from "../../data/registry.ts";
import { evaluate } from "../../evaluate/evaluate.ts";
import { renderTable } from "../../evaluate/summary.ts";
import type { Provider } from "../../runtime/session.ts";
import { dataDirOption, dataOption, machineOptions, numberList, wordList } from "../options.ts";
import { ProgressLine, printJson, printLine } from "../output.ts";

interface EvaluateCommandOptions {
  readonly data: string;
  readonly dataDir?: string;
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
    .addOption(new Option("--split <name>", "split to measure on").choices(["train", "test"]).default("test"))
    .option("--ood <name|folder,...>", "out-of-distribution data sets (their test splits)", wordList)
    .option("--percentile <p,...>", "percentiles of the thresholds (default: 1,2)", numberList)
    .option("--out <file>", "also write the JSON to this file")
    .option("--json", "print the result as JSON on stdout")
    .addHelpText("after", "\nExample:\n  $ sdim evaluate runs/a/model.onnx --data mnist --ood fashion-mnist --percentile 1,2");
  machineOptions(command).action(async (path: string, options: EvaluateCommandOptions) => {
    const { provider, threads } = options;
    const classifier = await Classifier.load(path, { provider, ...(threads === undefined ? {} : { threads }) });
    const loading: LoadOptions = options.dataDir === undefined ? {} : { dataDir: options.dataDir };
    const data = await loadDataset(options.data, options.split, loading);
    const ood = await Promise.all((options.ood ?? []).map((name) => loadDataset(name, "test", loading)));
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
