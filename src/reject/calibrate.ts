import { calibrationsOf, sourceOf, withCalibration, withOnlyCalibration } from "../classify/calibrations.ts";
import type { CalibrationSource, ThresholdScope } from "../classify/card.ts";
import { type Classification, Classifier } from "../classify/classifier.ts";
import { type ModelFile, rejecting, withCard, withStatistics, withTestTimeFlip } from "../classify/model-file.ts";
import { type ImageSet, withClasses } from "../data/image-set.ts";
import type { RejectScore } from "../nn/reject-score.ts";
import { fitPenalty, withPenalty } from "./penalty.ts";
import { classThresholds, requirePercentile } from "./thresholds.ts";

export interface CalibrateOptions {
  /** Of the thresholds put in force. */
  readonly percentile: number;
  /** All that the file is to carry thresholds for. */
  readonly percentiles: readonly number[];
  /** What `data` is to the model; where it is not said, "training" if it is the data of the training thresholds, else "given". */
  readonly source?: CalibrationSource;
  /** Default: as in the calibration in force, each class for itself where it does not say. */
  readonly thresholdsFor?: ThresholdScope;
  /** What the thresholds are of; default: what the model rejects by already. Thresholds of another score are dropped. */
  readonly rejectBy?: RejectScore;
  /** Whether scores become means over an image and its mirror image; default: as the model has them. Thresholds of other scores are dropped. */
  readonly testTimeFlip?: boolean;
  readonly threads?: number;
  readonly onProgress?: (done: number, total: number) => void;
}

export interface CalibratedModel {
  readonly file: ModelFile;
  /** What the model said of the calibration data. */
  readonly classification: Classification;
}

/**
 * Takes a model's thresholds anew from `data` (the training set, in the paper) and puts those at `percentile` in force; weights
 * stay, and so do thresholds of another source.
 * Errors: UserError when classes or channels differ from the model's, a class has no correctly classified sample, or the model cannot reject by what
 * is asked (see `rejecting`).
 */
export async function calibrateModel(given: ModelFile, images: ImageSet, options: CalibrateOptions): Promise<CalibratedModel> {
  const data = withClasses(images, given.card.classNames, "calibration");
  for (const one of [options.percentile, ...options.percentiles]) requirePercentile(one);
  const { file, classification } = await scored(given, data, options);
  const { card } = file;
  const { classLogLikelihoods, labels: predictions } = classification;
  const { percentile, percentiles, thresholdsFor = given.card.calibration.thresholdsFor ?? "each-class" } = options;
  const wanted = [...new Set([...percentiles, percentile])].sort((a, b) => a - b);
  const { thresholds, counts } = classThresholds({
    classLogLikelihoods,
    labels: data.labels,
    predictions,
    classNames: card.classNames,
    percentiles: wanted,
    thresholdsFor,
  });
  const { name, split, fingerprint } = data;
  const isTrainingData = calibrationsOf(given.card).some((one) => sourceOf(one) === "training" && one.fingerprint === fingerprint);
  const source = options.source ?? (isTrainingData ? "training" : "given");
  const scope = thresholdsFor === "each-class" ? {} : { thresholdsFor };
  const calibration = { source, data: name, split, fingerprint, correctOnly: true as const, counts, ...scope, percentile, thresholds };
  const accuracy = counts.reduce((a, b) => a + b, 0) / data.count;
  const calibrated = (file === given ? withCalibration : withOnlyCalibration)(card, calibration);
  const measured = { ...calibrated.measured, [source === "validation" ? "validationAccuracy" : "calibrationAccuracy"]: accuracy };
  return { file: withCard(file, { ...calibrated, measured }), classification };
}

/** The file with the score that is asked for, and what it says of the data; a penalty is measured by this data. */
async function scored(given: ModelFile, data: ImageSet, options: CalibrateOptions): Promise<CalibratedModel> {
  const turned = options.testTimeFlip === undefined ? given : withTestTimeFlip(given, options.testTimeFlip);
  // Penalties are measured by scores and statistics, so with these they are measured anew.
  const rejectBy = options.rejectBy ?? (turned === given ? undefined : turned.card.model.rejectBy);
  const plain = rejectBy === undefined ? turned : rejecting(turned, { rejectBy: "likelihood" });
  if (rejectBy !== "penalised-likelihood") return { file: plain, classification: await classified(plain, data, options) };
  const classification = await classified(withStatistics(plain), data, options);
  const penalty = fitPenalty(classification, data.labels);
  return { file: rejecting(plain, { rejectBy, penalty }), classification: withPenalty(classification, penalty) };
}

async function classified(file: ModelFile, data: ImageSet, { threads, onProgress }: CalibrateOptions): Promise<Classification> {
  const classifier = await Classifier.load(file, threads === undefined ? {} : { threads });
  try {
    return await classifier.classify(data, onProgress ? { onProgress } : {});
  } finally {
    await classifier.release();
  }
}
