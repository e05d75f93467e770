import { thresholdsAt } from "../classify/calibrations.ts";
import type { ModelCard } from "../classify/card.ts";
import type { Classification, Classifier } from "../classify/classifier.ts";
import { UserError } from "../core/errors.ts";
import type { ImageSet } from "../data/image-set.ts";
import { correctness } from "../evaluate/evaluation.ts";
import { rejectionRate, selectiveAccuracy, share } from "../evaluate/metrics/selective.ts";
import { evaluateOutOfDistribution } from "../evaluate/out-of-distribution.ts";

/** What an export changed, measured on labelled images. Shares are from 0 to 1. */
export interface Comparison {
  readonly data: string;
  readonly split: string;
  /** SHA-256 over images and labels. */
  readonly fingerprint: string;
  readonly count: number;
  readonly original: Scores;
  readonly exported: Scores;
  /** Share of images with the same winning class. */
  readonly sameLabel: number;
  /** Share of images that both reject, or that both accept as the same class. */
  readonly sameVerdict: number;
  /** Mean absolute change of the winning log-likelihood where the winning class is the same, nats; null: it never is. */
  readonly logLikelihoodChange: number | null;
  /** Of each set that should be refused. */
  readonly ood: readonly OodComparison[];
  /** Images per second of the export over those of the original, on the CPU: median of `speedPairs`, runs one after the other. */
  readonly speedRatio: number;
  readonly speedPairs: readonly number[];
  readonly speedBatch: number;
}

export interface Scores {
  /** Without rejection. */
  readonly accuracy: number;
  readonly rejectionRate: number;
  /** Accuracy on the accepted part; null when nothing is accepted. */
  readonly selectiveAccuracy: number | null;
}

/** What an export changed on a set that should be refused. */
export interface OodComparison {
  readonly data: string;
  /** SHA-256 over the images. */
  readonly fingerprint: string;
  readonly count: number;
  readonly original: OodScores;
  readonly exported: OodScores;
  /** Share of images that both reject, or that both accept as the same class. */
  readonly sameVerdict: number;
}

/** With the thresholds in force in each file; as an evaluation defines them. Higher is better. */
export interface OodScores {
  readonly percentile: number;
  readonly decisionRejectionRate: number;
  readonly perClassRejectionRate: number;
  readonly auroc: number;
}

export interface CompareOptions {
  /** Sets that should be refused, of the channels the model takes; none unless given. */
  readonly ood?: readonly ImageSet[];
  /** The first so many images are what speeds are compared on; default 256. */
  readonly speedImages?: number;
  readonly onProgress?: (what: string, done: number, total: number) => void;
}

const speedBatch = 64;
const pairs = 5;

/** Errors: UserError when a set has other channels than the model takes. */
export async function compare(
  original: Classifier,
  exported: Classifier,
  data: ImageSet,
  { ood = [], speedImages = 256, onProgress = () => undefined }: CompareOptions = {},
): Promise<Comparison> {
  for (const set of ood) requireChannels(set, original.card);
  const classify = (classifier: Classifier, set: ImageSet, what: string) =>
    classifier.classify(set, { onProgress: (done, total) => onProgress(`${what}, ${set.name}`, done, total) });
  const both = async (set: ImageSet) =>
    [await classify(original, set, "the original"), await classify(exported, set, "the export")] as const;
  const [before, after] = await both(data);
  const refused: OodComparison[] = [];
  for (const set of ood) {
    const [outsideBefore, outsideAfter] = await both(set);
    refused.push({
      data: set.name,
      fingerprint: set.fingerprint,
      count: set.count,
      original: oodScores(before, outsideBefore, original.card),
      exported: oodScores(after, outsideAfter, exported.card),
      sameVerdict: agreement(outsideBefore, outsideAfter).sameVerdict,
    });
  }
  const { name, split, fingerprint, count } = data;
  const speedPairs = await speeds(original, exported, data, Math.min(speedImages, data.count));
  return {
    data: name,
    split,
    fingerprint,
    count,
    original: scores(before, data.labels),
    exported: scores(after, data.labels),
    ...agreement(before, after),
    ood: refused,
    speedRatio: [...speedPairs].sort((a, b) => a - b)[Math.floor(pairs / 2)]!,
    speedPairs,
    speedBatch,
  };
}

export function scores(classification: Classification, truth: Int32Array): Scores {
  const { accepted } = classification;
  const correct = correctness(classification, truth);
  return { accuracy: share(correct)!, rejectionRate: rejectionRate(accepted), selectiveAccuracy: selectiveAccuracy(correct, accepted) };
}

export function agreement(a: Classification, b: Classification): Pick<Comparison, "sameLabel" | "sameVerdict" | "logLikelihoodChange"> {
  let [sameLabel, sameVerdict, change] = [0, 0, 0];
  for (let i = 0; i < a.count; i++) {
    const isSame = a.labels[i] === b.labels[i];
    if (isSame) {
      sameLabel++;
      change += Math.abs(a.logLikelihoods[i]! - b.logLikelihoods[i]!);
    }
    sameVerdict += Number(a.accepted[i] === b.accepted[i] && (isSame || a.accepted[i] === 0));
  }
  return {
    sameLabel: sameLabel / a.count,
    sameVerdict: sameVerdict / a.count,
    logLikelihoodChange: sameLabel === 0 ? null : change / sameLabel,
  };
}

function oodScores(inside: Classification, outside: Classification, card: ModelCard): OodScores {
  const thresholds = { ...thresholdsAt(card, card.calibration.percentile), source: null };
  const { auroc, rejection } = evaluateOutOfDistribution(inside, outside, card.classNames.length, [thresholds], { resamples: 0 });
  const { percentile, decisionRejectionRate, perClassRejectionRate } = rejection[0]!;
  return { percentile, decisionRejectionRate, perClassRejectionRate, auroc };
}

function requireChannels({ name, channels }: ImageSet, { model }: ModelCard): void {
  if (channels === model.channels) return;
  throw new UserError(
    `${name}: the model takes images of ${model.channels} channel(s), these have ${channels}: --convert-channels (in the library: convertChannels)`,
  );
}

/** How much faster the export is, by pair; both are warm from classifying all of the images. */
async function speeds(original: Classifier, exported: Classifier, data: ImageSet, count: number): Promise<number[]> {
  const pixels = data.pixels.subarray(0, count * data.height * data.width * data.channels);
  const timed = async (classifier: Classifier) => {
    const start = performance.now();
    await classifier.classify({ ...data, pixels, count }, { batchSize: speedBatch });
    return performance.now() - start;
  };
  const ratios: number[] = [];
  for (let pair = 0; pair < pairs; pair++) {
    const before = await timed(original);
    ratios.push(before / (await timed(exported)));
  }
  return ratios;
}
