import type { ModelCard, ThresholdSet } from "../classify/card.ts";
import type { Classification, Classifier } from "../classify/classifier.ts";
import { UserError } from "../core/errors.ts";
import type { ImageSet } from "../data/image-set.ts";
import { type Evaluation, evaluateInDistribution, evaluateOutOfDistribution } from "./evaluation.ts";

export interface EvaluateOptions {
  /** Data the classifier should refuse. */
  readonly ood?: readonly ImageSet[];
  /** Percentiles of the thresholds, each one the model file carries; default 1 and 2. */
  readonly percentiles?: readonly number[];
  /** The model's name in the result. */
  readonly model?: string;
  readonly onProgress?: (what: string, done: number, total: number) => void;
}

export interface EvaluationRun {
  readonly evaluation: Evaluation;
  readonly inDistribution: Classification;
  /** In the order of `ood`. */
  readonly outOfDistribution: readonly Classification[];
}

/** Measures a classifier. Errors: UserError when the data's classes are not the model's, or the model has no thresholds at a percentile. */
export async function evaluate(classifier: Classifier, data: ImageSet, options: EvaluateOptions = {}): Promise<EvaluationRun> {
  const { ood = [], percentiles = [1, 2], model = "", onProgress } = options;
  const { card } = classifier;
  const thresholds = percentiles.map((percentile) => thresholdsAt(card, percentile));
  if (data.classNames.join("\n") !== card.classNames.join("\n")) {
    throw new UserError(
      `evaluate: the model knows the classes ${card.classNames.join(", ")}; ${data.name} has ${data.classNames.join(", ")}`,
    );
  }
  const score = (set: ImageSet) =>
    classifier.classify(set, onProgress ? { onProgress: (done, total) => onProgress(`${set.name} (${set.split})`, done, total) } : {});
  const inDistribution = await score(data);
  const outOfDistribution: Classification[] = [];
  for (const set of ood) outOfDistribution.push(await score(set));
  const classCount = card.classNames.length;
  const evaluation: Evaluation = {
    model,
    data: data.name,
    split: data.split,
    ...evaluateInDistribution(inDistribution, data.labels, classCount, thresholds),
    ood: ood.map((set, i) => ({
      data: set.name,
      ...evaluateOutOfDistribution(inDistribution, outOfDistribution[i]!, classCount, thresholds),
    })),
  };
  return { evaluation, inDistribution, outOfDistribution };
}

function thresholdsAt({ calibration }: ModelCard, percentile: number): ThresholdSet {
  const found = calibration.thresholds.find((set) => set.percentile === percentile);
  if (found) return found;
  const known = calibration.thresholds.map((set) => set.percentile).join(", ");
  throw new UserError(
    `percentile ${percentile}: the model file has thresholds at ${known}. Add it with: sdim calibrate MODEL --data ${calibration.data} --percentile ${calibration.percentile},${percentile}`,
  );
}
