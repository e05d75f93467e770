import { type Command, Option } from "commander";
import { Classifier } from "../../classify/classifier.ts";
import { commandLine } from "../../core/circumstances.ts";
import { writeFileAtomic } from "../../core/files.ts";
import { convertChannels } from "../../data/channels.ts";
import type { ImageSet } from "../../data/image-set.ts";
import { loadOutOfDistribution } from "../../data/out-of-distribution.ts";
import type { LoadOptions, Split } from "../../data/registry.ts";
import { syntheticNames } from "../../data/synthetic.ts";
import { type EvaluationRun, evaluate } from "../../evaluate/evaluate.ts";
import { displayOf, type EvaluationRecord, environmentOf, evaluationRecord } from "../../evaluate/record.ts";
import { assembleReport } from "../../evaluate/report/assemble.ts";
import { renderReport } from "../../evaluate/report/page.ts";
import type { RunReport } from "../../evaluate/report/types.ts";
import { renderTable } from "../../evaluate/summary.ts";
import type { Provider } from "../../runtime/session.ts";
import { dataDirOption, dataOption, machineOptions, numberList, wholeNumber, wordList } from "../options.ts";
import { ProgressLine, printJson, printLine } from "../output.ts";
import { type DataOptions, loadOptions, loadWithProgress, optionsOfModel, ownImageOptions, requireOwnImages } from "../own-images.ts";

interface EvaluateCommandOptions extends DataOptions {
  readonly data: string;
  readonly split: Split;
  readonly ood?: readonly string[];
  readonly syntheticCount?: number;
  readonly convertChannels?: boolean;
  readonly percentile?: readonly number[];
  readonly resamples?: number;
  readonly seed: number;
  readonly out?: string;
  readonly report?: string;
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
      `data it should refuse: test splits of data sets, all of a folder or CSV of images without one, or synthetic (${syntheticNames.join(", ")})`,
      wordList,
    )
    .option("--synthetic-count <n>", "images of each synthetic set (default: 2000)", wholeNumber)
    .option("--convert-channels", "turn grey out-of-distribution images into RGB by repetition, RGB into grey by luma, as the model takes")
    .option("--percentile <p,...>", "percentiles of the thresholds (default: 1,2)", numberList)
    .option("--resamples <n>", "bootstrap resamples of the intervals; 0: none (default: 1000)", wholeNumber)
    .option("--seed <n>", "of the synthetic sets and of the bootstrap", wholeNumber, 0)
    .option("--out <file>", "also write a record: the result with command, model's SHA-256, versions, machine, time")
    .option("--report <file>", "also write a page to look at (HTML)")
    .option("--json", "print the result as JSON on stdout")
    .addHelpText(
      "after",
      "\nExample:\n  $ sdim evaluate runs/a/model.onnx --data mnist --ood fashion-mnist --percentile 1,2\n  $ sdim evaluate runs/a/model.onnx --data mnist --ood uniform-noise,shuffled-patches --report report.html",
    );
  ownImageOptions(command, false);
  machineOptions(command).action(async (path: string, options: EvaluateCommandOptions) => {
    const { provider, threads } = options;
    const classifier = await Classifier.load(path, { provider, ...(threads === undefined ? {} : { threads }) });
    const loading = loadOptions(options, optionsOfModel(classifier.card));
    const data = await loadWithProgress(options.data, options.split, loading);
    const ood = await loadOod(options, data, classifier.card.model.channels, loading);
    requireOwnImages(options, [data, ...ood]);
    const line = new ProgressLine();
    const run = await evaluate(classifier, data, {
      ood,
      model: path,
      bootstrap: { seed: options.seed, ...(options.resamples === undefined ? {} : { resamples: options.resamples }) },
      ...(options.percentile === undefined ? {} : { percentiles: options.percentile }),
      onProgress: (what, done, total) => line.show(`scoring ${what}: ${done} of ${total}`, done === total),
    });
    line.end();
    await classifier.release();
    const { evaluation } = run;
    const record = evaluationRecord(commandLine("sdim", process.argv.slice(2)), path, classifier.card, evaluation);
    if (options.out !== undefined || options.report !== undefined) {
      const report = await reportOf(record, classifier, data, ood, run);
      if (options.out !== undefined)
        writeFileAtomic(options.out, `${JSON.stringify({ ...record, display: displayOf(report) }, null, 2)}\n`);
      if (options.report !== undefined) writeFileAtomic(options.report, renderReport(report));
    }
    if (options.json) printJson(evaluation);
    else printLine(renderTable(evaluation));
  });
}

/** One set after another, so that a mistake in the last name does not depend on how fast the others are read. */
async function loadOod(
  { ood = [], syntheticCount, convertChannels: convert, seed }: EvaluateCommandOptions,
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

const reportOf = (
  { circumstances, modelFile }: EvaluationRecord,
  { card, logPriors }: Classifier,
  data: ImageSet,
  ood: readonly ImageSet[],
  { evaluation, inDistribution, outOfDistribution }: EvaluationRun,
): Promise<RunReport> =>
  assembleReport({
    title: `${card.model.head === "sdim" ? "SDIM" : "Softmax"} on ${data.name}`,
    createdAt: circumstances.at,
    card,
    environment: environmentOf(circumstances, modelFile),
    history: [],
    evaluation,
    inDistribution: { data, classification: inDistribution },
    outOfDistribution: ood.map((set, i) => ({ data: set, classification: outOfDistribution[i]! })),
    logPriors,
  });
