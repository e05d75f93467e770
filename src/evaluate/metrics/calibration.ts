import { posteriorsOfOne } from "../../classify/posterior.ts";
import { byFalling, tieStops } from "./ranking.ts";

// Is a posterior of 90% right nine times in ten?

type Counts = ArrayLike<number>;

/** Posterior of the winning class (see `posteriorsOfOne`) of each row of `classLogLikelihoods` [N, C]; 0 to 1, [N]. `logPriors` [C]; left out: uniform. */
export function winningPosteriors(classLogLikelihoods: Float32Array, labels: Int32Array, logPriors?: Float32Array): Float64Array {
  const classes = classLogLikelihoods.length / labels.length;
  return Float64Array.from(
    labels,
    (label, i) => posteriorsOfOne(classLogLikelihoods.subarray(i * classes, (i + 1) * classes), logPriors)[label]!,
  );
}

/** One bin of a reliability diagram; confidences in (low, high]. */
export interface ReliabilityBin {
  readonly low: number;
  readonly high: number;
  readonly count: number;
  /** Mean confidence and accuracy of the bin's samples; null when it has none. */
  readonly confidence: number | null;
  readonly accuracy: number | null;
}

/** Samples' bins, by which an error of calibration is gathered. */
export interface Binning {
  readonly correct: Uint8Array;
  readonly confidence: Float64Array;
  /** Number of bins. */
  readonly bins: number;
  /** The bin of each sample, where bins do not depend on the resample. */
  readonly binOf: Uint16Array;
  readonly order: Int32Array;
  readonly stops: Int32Array;
}

/** Equal-width bins (Guo et al., 2017): bin b has the confidences in (b / bins, (b + 1) / bins]. */
export function binning(correct: Uint8Array, confidence: Float64Array, bins = 15): Binning {
  const order = byFalling(confidence).reverse();
  const binOf = Uint16Array.from(confidence, (value) => Math.min(bins - 1, Math.max(0, Math.ceil(value * bins) - 1)));
  return { correct, confidence, bins, binOf, order, stops: tieStops(order, confidence) };
}

interface Sums {
  readonly weight: Float64Array;
  readonly confidence: Float64Array;
  readonly right: Float64Array;
}

const emptySums = (bins: number): Sums => ({
  weight: new Float64Array(bins),
  confidence: new Float64Array(bins),
  right: new Float64Array(bins),
});

function put(sums: Sums, bin: number, sample: number, count: number, { confidence, correct }: Binning): void {
  sums.weight[bin]! += count;
  sums.confidence[bin]! += count * confidence[sample]!;
  sums.right[bin]! += count * correct[sample]!;
}

function equalWidth(binning: Binning, counts?: Counts): Sums {
  const sums = emptySums(binning.bins);
  for (let i = 0; i < binning.binOf.length; i++) put(sums, binning.binOf[i]!, i, counts ? counts[i]! : 1, binning);
  return sums;
}

/** Sum over bins of (share of the samples) * |accuracy - mean confidence|. */
function meanGap({ weight, confidence, right }: Sums): number {
  let [gap, total] = [0, 0];
  for (let b = 0; b < weight.length; b++) {
    gap += Math.abs(right[b]! - confidence[b]!);
    total += weight[b]!;
  }
  return gap / total;
}

/** Expected calibration error over the equal-width bins. 0 to 1, lower is better. */
export const expectedCalibrationError = (binning: Binning, counts?: Counts): number => meanGap(equalWidth(binning, counts));

/**
 * The same over bins of equal numbers of samples: sample i is in bin floor(bins * (number of samples less confident than i) / N), so equal
 * confidences stay together. 0 to 1, lower is better.
 */
export function adaptiveCalibrationError(binning: Binning, counts?: Counts): number {
  const { order, stops, bins } = binning;
  const countOf = (sample: number) => (counts ? counts[sample]! : 1);
  let total = 0;
  for (let i = 0; i < order.length; i++) total += countOf(i);
  const sums = emptySums(bins);
  let [below, i] = [0, 0];
  for (const stop of stops) {
    const bin = Math.min(bins - 1, Math.floor((bins * below) / total));
    for (; i < stop; i++) {
      put(sums, bin, order[i]!, countOf(order[i]!), binning);
      below += countOf(order[i]!);
    }
  }
  return meanGap(sums);
}

/** What a reliability diagram draws: the equal-width bins. */
export function reliability(binning: Binning): ReliabilityBin[] {
  const { weight, confidence, right } = equalWidth(binning);
  return Array.from(weight, (count, b) => ({
    low: b / binning.bins,
    high: (b + 1) / binning.bins,
    count,
    confidence: count === 0 ? null : confidence[b]! / count,
    accuracy: count === 0 ? null : right[b]! / count,
  }));
}
