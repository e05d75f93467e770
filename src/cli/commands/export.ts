import { statSync } from "node:fs";
import { type Command, Option } from "commander";
import { Classifier } from "../../classify/classifier.ts";
import { encodeModelFile, type ModelFile, readModelFile } from "../../classify/model-file.ts";
import { commandLine } from "../../core/circumstances.ts";
import { UserError } from "../../core/errors.ts";
import { fileDigest, requireNew, requireWritable, writeFileAtomic } from "../../core/files.ts";
import { ruledTable } from "../../core/tables.ts";
import { type ImageSet, takeFirst } from "../../data/image-set.ts";
import type { Split } from "../../data/registry.ts";
import { percent } from "../../evaluate/summary.ts";
import { type Comparison, compare, type OodComparison, type OodScores } from "../../export/compare.ts";
import { exportSmall, type SmallFormat, smallFormats } from "../../export/export.ts";
import { inferenceService } from "../../export/kserve.ts";
import { type ExportRecord, exportRecord } from "../../export/record.ts";
import { writeRepository } from "../../export/repository.ts";
import { tritonRepository } from "../../export/triton.ts";
import { calibrateModel } from "../../reject/calibrate.ts";
import { loadOod, type OodOptions, oodOptions, requireOodNamed } from "../ood.ts";
import { dataDirOption, dataOption, kebab, positiveWholeNumber, threadsOption, wholeNumber } from "../options.ts";
import { note, ProgressLine, printJson, printLine } from "../output.ts";
import { type DataOptions, loadOptions, loadWithProgress, optionsOfModel, ownImageOptions, requireOwnImages } from "../own-images.ts";

type Format = SmallFormat | "triton" | "kserve";

interface ExportCommandOptions extends DataOptions, OodOptions {
  readonly format: Format;
  readonly out: string;
  readonly force?: boolean;
  readonly data?: string;
  readonly split: Split;
  readonly calibrationSplit: Split;
  readonly calibrationImages: number;
  readonly weightsOnly?: boolean;
  readonly recalibrate?: boolean;
  readonly name?: string;
  readonly modelVersion: number;
  readonly maxBatchSize: number;
  readonly maxQueueDelay: number;
  readonly storageUri?: string;
  readonly threads?: number;
  readonly json?: boolean;
}

export function addExport(program: Command): void {
  const command = program
    .command("export <model>")
    .summary("make a smaller model file, or what Triton or KServe serves")
    .description(
      "Makes of a model file:\n  onnx-fp16  a file whose encoder works in half precision (for GPUs)\n  onnx-int8  a file whose convolutions work on 8-bit numbers, their ranges taken from images of --data\n  triton     a Triton model repository (folder)\n  kserve     the same with a KServe InferenceService manifest\nThe smaller files carry the card and the thresholds; predict, evaluate and score take them. With --weights-only only what is stored is small\nand computing stays in float32. With --data the change is measured, printed, and written to OUT.json; with --ood also what it does to images that should be refused.",
    )
    .addOption(new Option("--format <name>", "what to make").choices([...smallFormats, "triton", "kserve"]).makeOptionMandatory())
    .requiredOption("--out <file|folder>", "the file to write, or the folder of the repository")
    .option("--force", "replace files that are there")
    .option("--weights-only", "onnx-*: store weights small, compute in float32")
    .addOption(dataOption(false))
    .addOption(dataDirOption())
    .addOption(new Option("--split <name>", "split of --data to measure on").choices(["train", "val", "test"]).default("test"))
    .addOption(
      new Option("--calibration-split <name>", "split for ranges (onnx-int8) and --recalibrate")
        .choices(["train", "val", "test"])
        .default("train"),
    )
    .option("--calibration-images <n>", "onnx-int8: images that ranges are taken from", positiveWholeNumber, 512)
    .option("--recalibrate", "take the thresholds anew, from what the smaller file says of --calibration-split")
    .option("--name <name>", "triton, kserve: name of the model")
    .option("--model-version <n>", "triton, kserve: its version", positiveWholeNumber, 1)
    .option("--max-batch-size <n>", "triton, kserve: images per run", positiveWholeNumber, 64)
    .option("--max-queue-delay <us>", "triton, kserve: microseconds that a request may wait for others", wholeNumber, 2000)
    .option("--storage-uri <address>", "kserve: where the cluster finds the repository, for example pvc://models/mnist")
    .addOption(threadsOption())
    .option("--json", "print the record as JSON on stdout")
    .addHelpText(
      "after",
      "\nExamples:\n  $ sdim export models/mnist/model.onnx --format onnx-int8 --data mnist --ood fashion-mnist --out mnist-int8.onnx\n  $ sdim export models/mnist/model.onnx --format onnx-fp16 --weights-only --out mnist-half.onnx\n  $ sdim export mnist-int8.onnx --format triton --name mnist --out repository\n  $ sdim export models/mnist/model.onnx --format kserve --name mnist --storage-uri pvc://models/mnist --out kserve",
    );
  oodOptions(command).option("--seed <n>", "of the synthetic sets", wholeNumber, 0);
  ownImageOptions(command, false).action(async (path: string, options: ExportCommandOptions) => {
    const { format } = options;
    requireFitting(options, command);
    if (format === "triton" || format === "kserve") exportRepository(readModelFile(path), format, options);
    else await writeSmall(path, format, options);
  });
}

/** Say nothing where no images are loaded. */
const ofImages = ["dataDir", "split", "calibrationSplit", "calibrationImages", "recalibrate", "ood", "syntheticCount", "convertChannels"];
const ofFiles = [...ofImages, "data", "weightsOnly", "seed", "threads"];
const ofRepositories = ["name", "modelVersion", "maxBatchSize", "maxQueueDelay", "storageUri"];

/** Options that say nothing of the format, or of the data, are a mistake. */
function requireFitting(options: ExportCommandOptions, command: Command): void {
  const { format, name, storageUri, data } = options;
  const isRepository = format === "triton" || format === "kserve";
  const given = (keys: readonly string[]) =>
    keys
      .filter((key) => command.getOptionValueSource(key) === "cli")
      .map((key) => `--${kebab(key)}`)
      .join(", ");
  const wrong = given(isRepository ? ofFiles : ofRepositories);
  if (wrong !== "") throw new UserError(`${wrong}: not for --format ${format}`);
  if (isRepository && name === undefined) throw new UserError(`--name: the name of the model in the repository, for example --name mnist`);
  if (format === "kserve" && storageUri === undefined)
    throw new UserError(`--storage-uri: where the cluster finds the repository, for example --storage-uri pvc://models/${name}`);
  if (format === "triton" && storageUri !== undefined) throw new UserError("--storage-uri: for --format kserve");
  const idle = given(ofImages);
  if (data === undefined && idle !== "") throw new UserError(`${idle}: of what images? Name them with --data`);
  requireOodNamed(options);
}

function exportRepository(file: ModelFile, format: "triton" | "kserve", options: ExportCommandOptions): void {
  const { maxBatchSize, maxQueueDelay, storageUri } = options;
  const name = options.name!;
  const files = tritonRepository(file, { name, version: options.modelVersion, maxBatchSize, maxQueueDelay });
  if (format === "kserve") files.push(inferenceService({ name, storageUri: storageUri! }));
  const written = writeRepository(options.out, files, options.force);
  if (options.json) printJson({ format, name, version: options.modelVersion, files: written });
  else for (const path of written) printLine(path);
}

async function writeSmall(path: string, format: SmallFormat, options: ExportCommandOptions): Promise<void> {
  const { out, threads } = options;
  requireNew(out, options.force);
  requireWritable(`${out}.json`);
  const original = readModelFile(path);
  // Before it is written: it may be replaced by its export.
  const source = { path, sha256: fileDigest(path), bytes: statSync(path).size };
  const loading = loadOptions(options, optionsOfModel(original.card));
  const load = async (split: Split) => loadWithProgress(options.data!, split, loading);
  const isQuantised = format === "onnx-int8" && !options.weightsOnly;
  const needsCalibration = options.data !== undefined && (isQuantised || options.recalibrate);
  const calibration = needsCalibration ? await load(options.calibrationSplit) : undefined;
  const ranges = isQuantised && calibration ? takeFirst(calibration, options.calibrationImages) : undefined;
  const withThreads = threads === undefined ? {} : { threads };
  const line = new ProgressLine();
  let file = await exportSmall(original, format, {
    isWeightsOnly: options.weightsOnly ?? false,
    calibrationImages: ranges,
    ...withThreads,
    onProgress: (done, total) => line.show(`ranges of activations: ${done} of ${total} images`, done === total),
  });
  if (options.recalibrate) file = await recalibrated(file, original, calibration!, withThreads, line);
  const test = options.data === undefined ? undefined : await load(options.split);
  const ood = test ? await loadOod(options, test, original.card.model.channels, loading) : [];
  if (test) requireOwnImages(options, [test, ...ood]);
  // Read anew: the export must be what a user will load.
  const bytes = encodeModelFile(file);
  const comparison = test ? await compared(readModelFile(path), file, test, ood, withThreads, line) : null;
  line.end();
  writeFileAtomic(out, bytes);
  const record = exportRecord(commandLine("sdim", process.argv.slice(2)), {
    format,
    isWeightsOnly: options.weightsOnly ?? false,
    calibrationImages: ranges ? { data: ranges.name, split: ranges.split, count: ranges.count } : null,
    isRecalibrated: options.recalibrate ?? false,
    original: source,
    exported: { path: out, sha256: fileDigest(out), bytes: bytes.length },
    comparison,
  });
  writeFileAtomic(`${out}.json`, `${JSON.stringify(record, null, 2)}\n`);
  if (options.json) printJson(record);
  else print(record);
}

async function recalibrated(
  file: ModelFile,
  { card }: ModelFile,
  data: ImageSet,
  threads: { readonly threads?: number },
  line: ProgressLine,
): Promise<ModelFile> {
  const { percentile, thresholds } = card.calibration;
  const result = await calibrateModel(file, data, {
    percentile,
    percentiles: thresholds.map((set) => set.percentile),
    ...threads,
    onProgress: (done, total) => line.show(`calibrating: ${done} of ${total} images scored`, done === total),
  });
  return result.file;
}

async function compared(
  original: ModelFile,
  exported: ModelFile,
  data: ImageSet,
  ood: readonly ImageSet[],
  threads: { readonly threads?: number },
  line: ProgressLine,
): Promise<Comparison> {
  const [before, after] = [await Classifier.load(original, threads), await Classifier.load(exported, threads)];
  try {
    return await compare(before, after, data, {
      ood,
      onProgress: (what, done, total) => line.show(`scoring with ${what}: ${done} of ${total}`, done === total),
    });
  } finally {
    await before.release();
    await after.release();
  }
}

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(2)} MB`;
const orNone = (share: number | null): string => (share === null ? "none accepted" : percent(share));

function print({ format, isWeightsOnly, original, exported, sizeRatio, comparison }: ExportRecord): void {
  printLine(`${exported.path}: ${format}${isWeightsOnly ? ", weights only" : ""}`);
  const size = ["file size", megabytes(original.bytes), megabytes(exported.bytes)];
  if (!comparison) {
    for (const text of ruledTable([["", "original", "export"], size])) printLine(text);
    note(`size ratio ${sizeRatio.toFixed(2)}; give --data to measure what the export changes`);
    return;
  }
  const {
    original: before,
    exported: after,
    count,
    data,
    split,
    sameLabel,
    sameVerdict,
    logLikelihoodChange,
    ood,
    speedRatio,
  } = comparison;
  const shares = ({ original, exported }: OodComparison, show: (scores: OodScores) => string) => [show(original), show(exported)];
  const rows = [
    [`${count} images of ${data} (${split})`, "original", "export"],
    size,
    ["accuracy, nothing rejected", percent(before.accuracy), percent(after.accuracy)],
    ["rejected", percent(before.rejectionRate), percent(after.rejectionRate)],
    ["accuracy on the accepted part", orNone(before.selectiveAccuracy), orNone(after.selectiveAccuracy)],
    ["same label", "", percent(sameLabel)],
    ["same verdict (label, or rejected)", "", percent(sameVerdict)],
    ["mean change of the log-likelihood, nats", "", logLikelihoodChange === null ? "no label alike" : logLikelihoodChange.toFixed(3)],
    ...ood.flatMap((set) => [
      [`${set.count} images of ${set.data}: rejected, decision rule`, ...shares(set, (one) => percent(one.decisionRejectionRate))],
      ["  rejected, class-wise protocol", ...shares(set, (one) => percent(one.perClassRejectionRate))],
      [`  AUROC against ${data}`, ...shares(set, (one) => one.auroc.toFixed(4))],
      ["  same verdict", "", percent(set.sameVerdict)],
    ]),
    ["speed on this CPU", "1.00", speedRatio.toFixed(2)],
  ];
  for (const text of ruledTable(rows)) printLine(text);
}
