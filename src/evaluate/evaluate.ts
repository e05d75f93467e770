import { calibrationsOf, sourceOf, thresholdsAt, usualPercentiles } from "../classify/calibrations.ts";
import type { ModelCard } from "../classify/card.ts";
import type { Classification, Classifier } from "../classify/classifier.ts";
import { TrainingFailed, UserError } from "../core/errors.ts";
import { requireKnownKeys } from "../core/names.ts";
import { type ImageSet, withClasses } from "../data/image-set.ts";
import type { Evaluation, Thresholds } from "./evaluation.ts";
import { evaluateInDistribution, type InDistributionOptions, requireRisksAndCoverages } from "./in-distribution.ts";
import { type BootstrapOptions, resolveBootstrap } from "./metrics/bootstrap.ts";
import { evaluateOutOfDistribution } from "./out-of-distribution.ts";

export interface EvaluateOptions extends Pick<InDistributionOptions, "risks" | "coverages"> {
  /** Data the classifier should refuse. */
  readonly ood?: readonly ImageSet[];
  /** Percentiles of the thresholds, each one the model file carries; default: `usualPercentiles`. Of every source the file has thresholds from. */
  readonly percentiles?: readonly number[];
  /** The model's name in the result. */
  readonly model?: string;
  /** Of the intervals; default 1,000 resamples at 95%, seed 0. */
  readonly bootstrap?: BootstrapOptions;
  readonly onProgress?: (what: string, done: number, total: number) => void;
}

export interface EvaluationRun {
  readonly evaluation: Evaluation;
  readonly inDistribution: Classification;
  /** In the order of `ood`. */
  readonly outOfDistribution: readonly Classification[];
}

/**
 * Measures a classifier. Errors: UserError when the data's classes are not the model's, a set has other channels than the model takes
 * (`convertChannels` makes them fit), the model has no thresholds at a percentile, an option is out of
 * range; TrainingFailed when it gives numbers that cannot be compared (NaN).
 */
export async function evaluate(classifier: Classifier, given: ImageSet, options: EvaluateOptions = {}): Promise<EvaluationRun> {
  requireKnownKeys("evaluate", options, ["ood", "percentiles", "model", "bootstrap", "onProgress", "risks", "coverages"]);
  const { card, logPriors } = classifier;
  const { ood = [], percentiles = usualPercentiles(card), model = "", onProgress, risks, coverages } = options;
  const thresholds = thresholdsOf(card, percentiles);
  const data = withClasses(given, card.classNames, "evaluate");
  for (const set of [data, ...ood]) requireChannels(set, card.model.channels);
  const bootstrap = resolveBootstrap(options.bootstrap);
  requireRisksAndCoverages(options);
  const score = async (set: ImageSet) => {
    const onSet = onProgress ? { onProgress: (done: number, total: number) => onProgress(`${set.name} (${set.split})`, done, total) } : {};
    return requireNumbers(set, await classifier.classify(set, onSet));
  };
  const inDistribution = await score(data);
  const outOfDistribution: Classification[] = [];
  for (const set of ood) outOfDistribution.push(await score(set));
  const classCount = card.classNames.length;
  const evaluation: Evaluation = {
    model,
    data: data.name,
    split: data.split,
    fingerprint: data.fingerprint,
    classNames: card.classNames,
    ...evaluateInDistribution(inDistribution, data.labels, classCount, thresholds, {
      bootstrap,
      ...(logPriors ? { logPriors } : {}),
      ...(risks ? { risks } : {}),
      ...(coverages ? { coverages } : {}),
    }),
    bootstrap,
    ood: ood.map((set, i) => ({
      data: set.name,
      fingerprint: set.fingerprint,
      ...evaluateOutOfDistribution(inDistribution, outOfDistribution[i]!, classCount, thresholds, bootstrap),
    })),
  };
  return { evaluation, inDistribution, outOfDistribution };
}

function requireChannels({ name, split, channels }: ImageSet, expected: 1 | 3): void {
  if (channels === expected) return;
  throw new UserError(
    `${name} (${split}): the model takes images of ${expected} channel(s), these have ${channels}. Out-of-distribution sets are converted with --convert-channels (in the library: convertChannels).`,
  );
}

/** NaN compares with nothing, so no order and no rate could be trusted. */
function requireNumbers({ name, split }: ImageSet, classification: Classification): Classification {
  const { logLikelihoods, classLogLikelihoods, count } = classification;
  const classes = classLogLikelihoods.length / count;
  const image = logLikelihoods.findIndex(
    (winning, i) => Number.isNaN(winning) || classLogLikelihoods.subarray(i * classes, (i + 1) * classes).some(Number.isNaN),
  );
  if (image < 0) return classification;
  throw new TrainingFailed(`${name} (${split}): the model gives NaN for image ${image}: its weights are damaged or its training diverged`);
}

/** Those in force at each percentile and, of every other source that the file has thresholds from, those it has at them. */
function thresholdsOf(card: ModelCard, percentiles: readonly number[]): Thresholds[] {
  const inForce = sourceOf(card.calibration);
  const others = calibrationsOf(card).slice(1);
  return [
    ...percentiles.map((percentile) => ({ ...thresholdsAt(card, percentile), source: inForce })),
    ...others.flatMap((calibration) => {
      const sets = calibration.thresholds.filter(({ percentile }) => percentiles.includes(percentile));
      return sets.map((set) => ({ ...set, source: sourceOf(calibration) }));
    }),
  ];
}
