import { resolve } from "node:path";
import { type Command, Option } from "commander";
import { z } from "zod";
import type { ModelCard } from "../../classify/card.ts";
import { Classifier } from "../../classify/classifier.ts";
import { commandLine } from "../../core/circumstances.ts";
import { UserError } from "../../core/errors.ts";
import { requireSpared, requireWritable, writeFileAtomic } from "../../core/files.ts";
import type { ImageSet } from "../../data/image-set.ts";
import type { Split } from "../../data/registry.ts";
import { type EvaluationRun, evaluate } from "../../evaluate/evaluate.ts";
import { displayOf, type EvaluationRecord, environmentOf, evaluationRecord } from "../../evaluate/record.ts";
import { assembleReport } from "../../evaluate/report/assemble.ts";
import { renderReport } from "../../evaluate/report/page.ts";
import type { RunReport } from "../../evaluate/report/types.ts";
import { renderTable } from "../../evaluate/summary.ts";
import type { Provider } from "../../runtime/session.ts";
import { loadOod, type OodOptions, oodOptions, requireOodNamed } from "../ood.ts";
import { dataDirOption, dataOption, machineOptions, numberList, wholeNumber } from "../options.ts";
import { note, ProgressLine, printJson, printLine } from "../output.ts";
import { type DataOptions, loadOptions, loadWithProgress, optionsOfModel, ownImageOptions, requireOwnImages } from "../own-images.ts";

interface EvaluateCommandOptions extends DataOptions, OodOptions {
  readonly data: string;
  readonly split: Split;
  readonly percentile?: readonly number[];
  readonly resamples?: number;
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
    .option("--percentile <p,...>", "percentiles of the thresholds (default: that in force, 1 and 2)", numberList)
    .option("--resamples <n>", "bootstrap resamples of the intervals; 0: none (default: 1000)", wholeNumber)
    .option("--seed <n>", "of the synthetic sets and of the bootstrap", wholeNumber, 0)
    .option("--out <file>", "also write a record: the result with command, model's SHA-256, versions, machine, time")
    .option("--report <file>", "also write a page to look at (HTML)")
    .option("--json", "print the result as JSON on stdout")
    .addHelpText(
      "after",
      "\nExample:\n  $ sdim evaluate runs/a/model.onnx --data mnist --ood fashion-mnist --percentile 1,2\n  $ sdim evaluate runs/a/model.onnx --data mnist --ood uniform-noise,shuffled-patches --report report.html",
    );
  oodOptions(command);
  ownImageOptions(command, false);
  machineOptions(command).action(async (path: string, options: EvaluateCommandOptions) => {
    const { provider, threads, out, report: page } = options;
    if (out !== undefined && page !== undefined && resolve(out) === resolve(page)) {
      throw new UserError(`--out and --report: both are ${out}; the record and the page need a file each`);
    }
    requireOodNamed(options);
    for (const [option, file] of [["--out", out] as const, ["--report", page] as const]) {
      if (file === undefined) continue;
      requireSpared(option, file, [path, options.data, ...(options.ood ?? [])]);
      requireWritable(file);
    }
    const classifier = await Classifier.load(path, { provider, ...(threads === undefined ? {} : { threads }) });
    const loading = loadOptions(options, optionsOfModel(classifier.card));
    const data = await loadWithProgress(options.data, options.split, loading);
    const ood = await loadOod(options, data, classifier.card.model.channels, loading);
    requireOwnImages(options, [data, ...ood]);
    if (options.split !== "train" && wasTrainedOn(classifier.card, data))
      note(
        `${data.name} (${data.split}): the model was trained on these very images; new ones are right less often and rejected more often`,
      );
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

const cardTraining = z.object({ data: z.object({ fingerprint: z.string() }) });

/** Cards by hand may not say. */
function wasTrainedOn({ training }: ModelCard, { fingerprint }: ImageSet): boolean {
  const said = cardTraining.safeParse(training);
  return said.success && said.data.data.fingerprint === fingerprint;
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
