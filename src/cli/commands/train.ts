import { existsSync } from "node:fs";
import type { Command } from "commander";
import type { ModelCard } from "../../classify/card.ts";
import { Classifier } from "../../classify/classifier.ts";
import { encodeModelFile, type ModelFile, withCard } from "../../classify/model-file.ts";
import { commandLine } from "../../core/circumstances.ts";
import { UserError } from "../../core/errors.ts";
import { writeFileAtomic } from "../../core/files.ts";
import { holdOut } from "../../data/hold-out.ts";
import { type ImageSet, takeFirst } from "../../data/image-set.ts";
import { BrokenImages } from "../../data/own-images.ts";
import { augmentationOf, datasetNames, type LoadOptions } from "../../data/registry.ts";
import { evaluate } from "../../evaluate/evaluate.ts";
import type { Evaluation } from "../../evaluate/evaluation.ts";
import { percent } from "../../evaluate/summary.ts";
import type { Provider } from "../../runtime/session.ts";
import { loadCheckpoint } from "../../train/checkpoint.ts";
import { calibrationKeys, type PresetName, presets, resolveConfig, type TrainConfig } from "../../train/config.ts";
import { fitToCount } from "../../train/few-images.ts";
import { type TrainResult, train } from "../../train/train.ts";
import { interruptible } from "../interrupt.ts";
import { TrainingView } from "../live-view.ts";
import {
  configOptions,
  dataDirOption,
  dataOption,
  givenConfig,
  machineOptions,
  positiveNumber,
  positiveWholeNumber,
  wholeNumber,
} from "../options.ts";
import { describeEarlyEnd, duration, note, ProgressLine, printJson, printLine } from "../output.ts";
import { type DataOptions, loadOptions, loadWithProgress, ownImageOptions, requireOwnImages } from "../own-images.ts";

interface FreshOptions {
  readonly data?: string;
  readonly preset: PresetName;
}

interface TrainCommandOptions extends FreshOptions, DataOptions {
  readonly out: string;
  readonly limit?: number;
  readonly resume?: boolean;
  readonly from?: string;
  readonly force?: boolean;
  readonly provider: Provider;
  readonly threads?: number;
  readonly checkpointEvery?: number;
  readonly checkpointMinutes?: number;
  readonly tensorboard?: boolean;
  readonly json?: boolean;
}

export function addTrain(program: Command): void {
  const command = program
    .command("train")
    .summary("train a classifier, calibrate its thresholds, write a model file")
    .description(
      "Trains an SDIM classifier (or, with --head softmax, its discriminative counterpart) and writes into --out: model.onnx, config.json, metrics.jsonl and the last two checkpoints. Ctrl-C saves a checkpoint; --resume goes on from it, with the same result as if never stopped. Of few images it takes smaller batches and more epochs, unless --batch-size and --epochs are given.",
    )
    .addOption(dataOption(false))
    .addOption(dataDirOption())
    .requiredOption("--out <folder>", "folder of the run; must be new or empty")
    .option("--limit <n>", "train on the first n images only, of folders of every class in proportion", wholeNumber)
    .option("--resume", "go on from the folder's checkpoint, with its config")
    .option(
      "--from <run|model>",
      "begin with the weights of a run's folder or a model file, where shapes agree: to train on, or on other data",
    )
    .option("--force", "train into a folder that holds something already")
    .option("--checkpoint-minutes <minutes>", "minutes between two checkpoints", positiveNumber, 5)
    .option("--checkpoint-every <steps>", "save one every so many steps as well", positiveWholeNumber)
    .option("--tensorboard", "write event files for TensorBoard into the folder's tensorboard/")
    .option("--json", "print the result as JSON on stdout");
  ownImageOptions(command, true);
  machineOptions(command);
  configOptions(command);
  command.addHelpText(
    "after",
    "\nExamples:\n  $ sdim train --data mnist --out runs/a --epochs 5\n  $ sdim train --data mnist --out runs/c --config my.yaml --validation 0.1 --keep best-validation --patience 5 --ema 0.999\n  $ sdim train --data mnist --out runs/b --critic dot --local-features stage2 --negatives all-pairs\n  $ sdim train --data photos --out runs/d --image-size 48\n  $ sdim train --data cifar10 --out runs/e --from runs/cifar --epochs 10 --learning-rate 0.001\n  $ sdim train --data photos --out runs/f --from models/cifar10/model.onnx --depth 26 --learning-rate 0.001\n  $ sdim train --out runs/a --resume",
  );
  command.action(async (options: TrainCommandOptions & Record<string, unknown>) => {
    if (options.resume && command.getOptionValueSource("preset") === "cli") {
      throw new UserError("--resume goes on with the run's own config; leave --preset out");
    }
    await runTrain(options);
  });
}

/** What a run is to be of. */
interface Start {
  readonly config: TrainConfig;
  readonly data: string;
  /** How its data was loaded when it began. */
  readonly loading?: Partial<LoadOptions> | undefined;
}

/** The data as it was named and loaded when the run began. */
function resumed(out: string, options: Readonly<Record<string, unknown>>): Start {
  const given = givenConfig(options);
  const { config, data } = loadCheckpoint(out).position;
  const isFree = (key: string) => (calibrationKeys as readonly string[]).includes(key);
  const changed = Object.keys(given).filter(
    (key) => !isFree(key) && JSON.stringify(given[key]) !== JSON.stringify(config[key as keyof TrainConfig]),
  );
  if (changed.length > 0) throw new UserError(`--resume goes on with the run's own config; leave out ${changed.join(", ")}`);
  return { config: resolveConfig({ ...config, ...given }), data: data.name, loading: data.loading };
}

/** The config as given; training images are treated as the paper does for their data set, unless told otherwise. */
export function freshStart(options: FreshOptions & Record<string, unknown>): { readonly config: TrainConfig; readonly data: string } {
  if (options.data === undefined) throw new UserError("--data: name a data set or a folder to train on");
  return { config: resolveConfig({ ...augmentationOf(options.data), ...givenConfig(options) }, options.preset), data: options.data };
}

async function runTrain(options: TrainCommandOptions & Record<string, unknown>): Promise<void> {
  if (options.resume && options.from !== undefined) throw new UserError("--resume goes on with the run's own weights; leave --from out");
  if (options.resume && options.force)
    throw new UserError("--resume goes on with what is in the folder, --force begins anew; leave one out");
  const start: Start = options.resume ? resumed(options.out, options) : freshStart(options);
  const spec = options.data ?? start.data;
  if (options.data === undefined && !(datasetNames as readonly string[]).includes(spec) && !existsSync(spec)) {
    throw new UserError(`--resume: ${options.out} was trained on ${spec}, which is not here; say with --data where it is now`);
  }
  const loading = loadOptions(options, { ...start.loading, imageSize: start.config.imageSize });
  const whole = await loadWithProgress(spec, "train", loading);
  requireOwnImages(options, [whole]);
  const data = options.limit === undefined ? whole : takeFirst(whole, options.limit);
  // Before training: what is wrong with it is better known now than hours later.
  const test = await testSplit(spec, whole, whole.origin ? { ...loading, ...whole.origin.choices } : loading);
  const config = options.resume ? start.config : fitted(start.config, data, options);
  const result = await trainWithProgress({ ...options, resumeCommand: resumeCommand(options) }, config, data);
  const isMeasured = result.model.card.measured["testAccuracy"] !== undefined || test === undefined;
  const { card } = isMeasured ? result.model : await measure(result, test, options.threads);
  if (options.json) {
    printJson({
      model: result.modelPath,
      data: { name: data.name, split: data.split, count: data.count },
      config,
      parameters: card.parameters,
      elapsedSeconds: result.elapsedSeconds,
      calibrationAccuracy: card.measured["calibrationAccuracy"],
      validationAccuracy: card.measured["validationAccuracy"] ?? null,
      epochs: result.epochs.length,
      ...measuredOf(card),
    });
  } else {
    printLine(`${result.modelPath}: trained in ${duration(result.elapsedSeconds)}${measuredInWords(card)}`);
  }
}

/** What `measure` found, null where it did not measure. */
export const measuredOf = ({ measured: { testAccuracy, testRejectionRate } }: ModelCard) => ({
  testAccuracy: testAccuracy ?? null,
  testRejectionRate: testRejectionRate ?? null,
});

/** The same as the end of a line. */
export function measuredInWords(card: ModelCard): string {
  const { testAccuracy, testRejectionRate } = measuredOf(card);
  if (testAccuracy === null) return "";
  const rejected = testRejectionRate === null ? "" : `, ${(100 * testRejectionRate).toFixed(2)}% rejected`;
  return `, test accuracy ${(100 * testAccuracy).toFixed(2)}%${rejected}`;
}

/** With what a checkpoint does not hold, and the same result depends on. */
function resumeCommand({ out, limit, dataDir, provider, threads }: TrainCommandOptions): string {
  const given = Object.entries({ limit, "data-dir": dataDir, provider: provider === "cpu" ? undefined : provider, threads });
  const more = given.flatMap(([name, value]) => (value === undefined ? [] : [`--${name}`, String(value)]));
  return commandLine("sdim", ["train", "--out", out, "--resume", ...more]);
}

/** Batches and epochs that neither options nor preset name suit the number of images. */
function fitted(config: TrainConfig, data: ImageSet, options: FreshOptions & Readonly<Record<string, unknown>>): TrainConfig {
  const { count } = config.validation > 0 ? holdOut(data, config.validation, config.seed).training : data;
  const fit = fitToCount(config, count, new Set(Object.keys({ ...presets[options.preset], ...givenConfig(options) })));
  if (fit.batchSize !== config.batchSize || fit.epochs !== config.epochs) {
    const [before, after] = [config, fit].map(({ batchSize, epochs }) => `${epochs} epochs in batches of ${batchSize}`);
    note(`${after} in place of ${before}, as there are only ${count} images to train on (--epochs, --batch-size)`);
  }
  return fit;
}

export interface TrainingMachine {
  readonly checkpointMinutes?: number;
  readonly tensorboard?: boolean;
  readonly out: string;
  readonly provider?: Provider;
  readonly threads?: number;
  readonly resume?: boolean;
  readonly from?: string;
  readonly force?: boolean;
  readonly checkpointEvery?: number;
  readonly resumeCommand?: string;
}

/** Trains with a progress line on stderr; Ctrl-C and SIGTERM save a checkpoint and stop. */
export async function trainWithProgress(machine: TrainingMachine, config: TrainConfig, data: ImageSet): Promise<TrainResult> {
  const { threads, checkpointEvery, checkpointMinutes, tensorboard, provider, resume, from, force, resumeCommand } = machine;
  const view = new TrainingView();
  const line = new ProgressLine();
  const heldOut = config.validation > 0 ? `, ${percent(config.validation)} of every class held out,` : "";
  note(`training on ${data.count} images of ${data.name} (${data.split})${heldOut} into ${machine.out}`);
  try {
    const result = await interruptible((signal) => {
      // What says that it is stopping must not be drawn over.
      signal.addEventListener("abort", () => view.end());
      return train({
        config,
        data,
        out: machine.out,
        signal,
        ...(provider === undefined ? {} : { provider }),
        ...(threads === undefined ? {} : { threads }),
        ...(resume === undefined ? {} : { resume }),
        ...(from === undefined ? {} : { from }),
        ...(force === undefined ? {} : { force }),
        ...(resumeCommand === undefined ? {} : { resumeCommand }),
        ...(checkpointEvery === undefined ? {} : { checkpointEverySteps: checkpointEvery }),
        ...(checkpointMinutes === undefined ? {} : { checkpointEveryMinutes: checkpointMinutes }),
        ...(tensorboard === undefined ? {} : { tensorboard }),
        onProgress: (progress) => view.show(progress),
        onEpoch: (record) => view.epoch(record),
        onCalibrate: (done, total) => {
          view.end();
          line.show(`calibrating: ${done} of ${total} images scored`, done === total);
        },
        onNote: (text) => {
          line.end();
          note(text);
        },
      });
    });
    const earlyEnd = describeEarlyEnd(result.epochs, config.patience);
    if (earlyEnd !== undefined) note(earlyEnd);
    return result;
  } finally {
    view.end();
    line.end();
  }
}

/** undefined: there is none, or it is what is trained on, as with a single file of records. Errors: BrokenImages, as of the images that are trained on. */
export async function testSplit(spec: string, training: ImageSet, loading: LoadOptions): Promise<ImageSet | undefined> {
  try {
    const test = await loadWithProgress(spec, "test", loading);
    if (test.fingerprint !== training.fingerprint) return test;
    note(`will not be measured on a test split: ${spec} has the same images for it; --validation 0.1 holds some out`);
    return undefined;
  } catch (error) {
    if (!(error instanceof UserError) || error instanceof BrokenImages) throw error;
    note(`will not be measured on a test split: ${error.message}`);
    return undefined;
  }
}

/** The model file with its accuracy and rejection rate on the test split in its card, which is written. */
export async function measure(
  { model, modelPath }: Pick<TrainResult, "model" | "modelPath">,
  test: ImageSet,
  threads?: number,
): Promise<ModelFile> {
  const classifier = await Classifier.load(model, threads === undefined ? {} : { threads });
  try {
    const percentiles = [model.card.calibration.percentile];
    const { evaluation } = await evaluate(classifier, test, { percentiles, bootstrap: { resamples: 0 } });
    return recordMeasured(model, modelPath, evaluation);
  } finally {
    await classifier.release();
  }
}

/** Writes what was measured on the test split into the model file. */
export function recordMeasured(model: ModelFile, path: string, { accuracy, rejection }: Evaluation): ModelFile {
  const measured = { ...model.card.measured, testAccuracy: accuracy, testRejectionRate: rejection[0]!.rejectionRate };
  const finished = withCard(model, { ...model.card, measured });
  writeFileAtomic(path, encodeModelFile(finished));
  return finished;
}
