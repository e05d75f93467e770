import type { Command } from "commander";
import { type Classification, type DecisionOptions, deciding, type ImageVerdict, verdictsOf } from "../../classify/classification.ts";
import { Classifier } from "../../classify/classifier.ts";
import { posteriors } from "../../classify/posterior.ts";
import { UserError } from "../../core/errors.ts";
import { statIfPossible } from "../../core/files.ts";
import { readPicture } from "../../data/images.ts";
import { forModel } from "../../data/resize.ts";
import { percent } from "../../evaluate/summary.ts";
import { rejectScoreInWords } from "../../nn/reject-score.ts";
import type { Provider } from "../../runtime/session.ts";
import { inputFiles } from "../../score/inputs.ts";
import { machineOptions, percentileOption, positiveWholeNumber } from "../options.ts";
import { printJson, printLine } from "../output.ts";

/** What the model says of one file. */
export interface Prediction extends ImageVerdict {
  readonly file: string;
  /** In the order of the model's classes. */
  readonly classLogLikelihoods: readonly number[];
  /** The likeliest classes with their posteriors, 0 to 1, the likeliest first; with --top. */
  readonly top?: readonly ClassPosterior[];
}

interface ClassPosterior {
  readonly label: string;
  readonly posterior: number;
}

interface PredictCommandOptions {
  readonly provider: Provider;
  readonly threads?: number;
  readonly percentile?: number;
  readonly top?: number;
  readonly json?: boolean;
}

export function addPredict(program: Command): void {
  const command = program
    .command("predict <model> <images...>")
    .summary("classify image files, or say that they are like nothing seen in training")
    .description(
      "Classifies image files (PNG, JPEG, WebP, GIF, TIFF, BMP; any size), or all of a folder. An image whose best class is below its threshold is rejected.",
    )
    .addOption(percentileOption())
    .option("--top <k>", "also the k likeliest classes with their posteriors", positiveWholeNumber)
    .option("--json", "print an array of predictions as JSON on stdout")
    .addHelpText(
      "after",
      "\nExample:\n  $ sdim predict runs/a/model.onnx samples/images/digit.png samples/images/shirt.png\n  $ sdim predict runs/a/model.onnx samples/images --top 3",
    );
  machineOptions(command).action(async (path: string, named: readonly string[], options: PredictCommandOptions) => {
    const { provider, threads, percentile, json, top } = options;
    const files = await imagesOf(named);
    const classifier = await Classifier.load(path, { provider, ...(threads === undefined ? {} : { threads }) });
    const decision = percentile === undefined ? {} : { percentile };
    // Knows a wrong one once, not of every image.
    deciding(classifier.card, decision);
    const score = rejectScoreInWords(classifier.card.model);
    const width = Math.max(...files.map((file) => file.length));
    const predictions: Prediction[] = [];
    const failures: string[] = [];
    for (const file of files) {
      try {
        const prediction = await predict(classifier, file, decision, top);
        predictions.push(prediction);
        if (!json) printLine(`${file.padEnd(width)}  ${verdict(prediction, score)}${topInWords(prediction)}`);
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        failures.push(error.message);
      }
    }
    await classifier.release();
    if (json) printJson(predictions);
    if (failures.length === 0) return;
    const total = files.length > 1 ? `\n${failures.length} of ${files.length} images could not be classified` : "";
    throw new UserError(`${failures.join("\n")}${total}`);
  });
}

/** The files named, and all images of folders named. Errors: UserError for a folder without images. */
async function imagesOf(named: readonly string[]): Promise<string[]> {
  const files: string[] = [];
  for (const path of named) {
    if (statIfPossible(path)?.isDirectory() !== true) {
      files.push(path);
      continue;
    }
    const before = files.length;
    const ignore = () => {};
    for await (const image of inputFiles(path, ignore, new AbortController().signal)) files.push(image.path);
    if (files.length === before) throw new UserError(`${path}: no images in this folder`);
  }
  return files;
}

/** Log-posteriors near 0 need more digits than log-likelihoods. */
const shown = (value: number): string => (Math.abs(value) < 10 ? Number(value.toPrecision(3)).toString() : value.toFixed(1));

async function predict(classifier: Classifier, file: string, decision: DecisionOptions, top?: number): Promise<Prediction> {
  const { card } = classifier;
  const { channels, imageSize } = card.model;
  const picture = forModel(await readPicture(file, channels), imageSize);
  const result = await classifier.classify({ ...picture, count: 1 }, decision);
  return {
    file,
    ...verdictsOf(result, card)[0]!,
    classLogLikelihoods: Array.from(result.classLogLikelihoods),
    ...(top === undefined ? {} : { top: likeliest(classifier, result, top) }),
  };
}

/** By the posterior; of equal ones, the class that comes first, as the model has it. */
function likeliest({ card, logPriors }: Classifier, result: Classification, count: number): ClassPosterior[] {
  const all = [...posteriors(result, logPriors)].map((posterior, c) => ({ label: card.classNames[c]!, posterior }));
  return all.sort((a, b) => b.posterior - a.posterior).slice(0, count);
}

const topInWords = ({ top }: Prediction): string =>
  top === undefined ? "" : `  ${top.map(({ label, posterior }) => `${label} ${percent(posterior)}`).join(", ")}`;

function verdict({ label, accepted, logLikelihood, threshold }: Prediction, score: string): string {
  const numbers = `${score} ${shown(logLikelihood)}, threshold ${shown(threshold)}`;
  return accepted ? `${label}  accepted  (${numbers})` : `rejected: not like anything it was trained on  (closest: ${label}; ${numbers})`;
}
