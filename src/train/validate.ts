import { acceptedBy } from "../classify/classification.ts";
import { type Classification, Classifier } from "../classify/classifier.ts";
import type { ModelFile } from "../classify/model-file.ts";
import { spread } from "../data/hold-out.ts";
import type { ImageSet } from "../data/image-set.ts";
import { classThresholds } from "../reject/thresholds.ts";
import type { TrainingData } from "./export.ts";
import type { ValidationScore } from "./records.ts";

export interface ValidateOptions {
  readonly percentile: number;
  readonly threads?: number;
}

/**
 * Scores the held-out images with the inference graph that would be exported, in a session of its own: the training's state is not touched.
 * The rejection rate is by thresholds of as many training images, spread over the set.
 */
export async function validate(
  model: ModelFile,
  { training, validation }: Required<TrainingData>,
  { percentile, threads }: ValidateOptions,
): Promise<ValidationScore> {
  const classifier = await Classifier.load(model, threads === undefined ? {} : { threads });
  try {
    const seen = spread(training, validation.count);
    const [inside, held] = [await classifier.classify(seen), await classifier.classify(validation)];
    return {
      accuracy: accuracyOf(held, validation),
      logLikelihood: meanLogLikelihood(held, validation),
      rejectionRate: rejectionRate(inside, seen, held, percentile),
    };
  } finally {
    await classifier.release();
  }
}

const accuracyOf = ({ labels }: Classification, { labels: truth }: ImageSet): number =>
  labels.filter((label, i) => label === truth[i]).length / truth.length;

/** Of the true class, nats. */
function meanLogLikelihood({ classLogLikelihoods }: Classification, { labels, classNames }: ImageSet): number {
  let sum = 0;
  labels.forEach((label, i) => {
    sum += classLogLikelihoods[i * classNames.length + label]!;
  });
  return sum / labels.length;
}

function rejectionRate(inside: Classification, seen: ImageSet, held: Classification, percentile: number): number | null {
  const { classNames, labels } = seen;
  const hasCorrect = new Set(labels.filter((label, i) => inside.labels[i] === label));
  if (hasCorrect.size < classNames.length) return null;
  const { classLogLikelihoods, labels: predictions } = inside;
  const { thresholds } = classThresholds({ classLogLikelihoods, labels, predictions, classNames, percentiles: [percentile] });
  return acceptedBy(held, thresholds[0]!.values).filter((value) => value === 0).length / held.count;
}
