import type { CalibrationSource, ThresholdSet } from "../classify/card.ts";
import type { Classification } from "../classify/classifier.ts";
import type { Interval } from "./metrics/bootstrap.ts";
import type { ReliabilityBin } from "./metrics/calibration.ts";
import type { RocPoint } from "./metrics/detection.ts";
import type { RiskCoveragePoint } from "./metrics/selective.ts";

// What an evaluation says. docs/evaluation.md defines every number. Rates are from 0 to 1. `intervals` holds the bootstrap intervals of the
// fields of the same names beside it; null where none were asked for or the value is defined in no resample.

/** Thresholds at one percentile, and of what images' log-likelihoods; null where that is not said. */
export interface Thresholds extends ThresholdSet {
  readonly source: CalibrationSource | null;
}

/** With thresholds at one percentile, on in-distribution data (paper, Table 2, whose thresholds are from the training images). */
export interface RejectionRow {
  readonly percentile: number;
  readonly source: CalibrationSource | null;
  /** Share rejected by the decision rule; lower is better here. */
  readonly rejectionRate: number;
  /** Accuracy on the accepted part, higher is better; null when nothing is accepted. */
  readonly selectiveAccuracy: number | null;
  readonly intervals: { readonly rejectionRate: Interval | null; readonly selectiveAccuracy: Interval | null };
}

/** With thresholds at one percentile, on out-of-distribution data: higher is better. */
export interface OodRejectionRow {
  readonly percentile: number;
  readonly source: CalibrationSource | null;
  /** Share rejected by the decision rule: winning log-likelihood strictly below the winning class's threshold. */
  readonly decisionRejectionRate: number;
  /** The paper's Table 3: mean over classes c of the share with ll_c strictly below threshold c. Not the decision rule. */
  readonly perClassRejectionRate: number;
  readonly intervals: { readonly decisionRejectionRate: Interval | null; readonly perClassRejectionRate: Interval | null };
}

/** How well the two kinds of data are told apart by the winning log-likelihood; all but `decisionAuroc` with one threshold for all classes. */
export interface OodMetrics {
  /** Either group positive (it is the same); higher is better. */
  readonly auroc: number;
  /**
   * AUROC within the winning class: of the decision rule, as the percentile goes from 0 to 100, with each class's thresholds from the in-distribution
   * images it won. Null where those classes won none. Higher is better.
   */
  readonly decisionAuroc: number | null;
  /** Average precision, in-distribution positive; higher is better. */
  readonly auprInPositive: number;
  /** Average precision, out-of-distribution positive; higher is better. */
  readonly auprOutPositive: number;
  /** In-distribution positive: share of out-of-distribution images let in when 95% of in-distribution ones are; lower is better. */
  readonly fprAt95InPositive: number;
  /** Out-of-distribution positive: share of in-distribution images flagged when 95% of out-of-distribution ones are; lower is better. */
  readonly fprAt95OutPositive: number;
}

/** Outlier score: minus the winning log-likelihood. */
export interface OodEvaluation extends OodMetrics {
  readonly data: string;
  /** SHA-256 over the images. */
  readonly fingerprint: string;
  readonly count: number;
  readonly rejection: readonly OodRejectionRow[];
  /** Out-of-distribution positive; at most 200 points. */
  readonly rocCurve: readonly RocPoint[];
  /** From a bootstrap stratified by group: in- and out-of-distribution images are resampled apart. */
  readonly intervals: { readonly [K in keyof OodMetrics]: Interval | null };
}

/** Calibration of the posterior p(c|z) = softmax_c(log p(z|c) + log p(c)) of the winning class. */
export interface CalibrationEvaluation {
  /** Number of bins, 15. */
  readonly bins: number;
  /** Over bins of equal width; lower is better. */
  readonly expectedCalibrationError: number;
  /** Over bins of equal numbers of samples; lower is better. */
  readonly adaptiveCalibrationError: number;
  /** The bins of equal width. */
  readonly reliability: readonly ReliabilityBin[];
  readonly intervals: { readonly expectedCalibrationError: Interval | null; readonly adaptiveCalibrationError: Interval | null };
}

export interface CoverageAtRisk {
  readonly risk: number;
  /** The largest coverage with at most that error on the accepted part; 0: none. Higher is better. */
  readonly coverage: number;
  readonly interval: Interval | null;
}

export interface RiskAtCoverage {
  readonly coverage: number;
  /** Error on the accepted part when at least that share is accepted. Lower is better. */
  readonly risk: number;
  readonly interval: Interval | null;
}

/** What is measured on labelled data. Confidence in the risk-coverage curve: the winning log-likelihood. */
export interface InDistributionMetrics {
  readonly count: number;
  /** Without rejection; higher is better. */
  readonly accuracy: number;
  /** In the order of the classes; null for a class without samples. */
  readonly perClassAccuracy: readonly (number | null)[];
  /** Images by true class (row) and winning class (column), without rejection. */
  readonly confusion: readonly (readonly number[])[];
  readonly rejection: readonly RejectionRow[];
  /** Area under the risk-coverage curve; lower is better. */
  readonly aurc: number;
  /** AURC above that of a confidence which puts every error last; lower is better. */
  readonly excessAurc: number;
  /** At most 200 points of the curve. */
  readonly riskCoverage: readonly RiskCoveragePoint[];
  readonly coverageAtRisk: readonly CoverageAtRisk[];
  readonly riskAtCoverage: readonly RiskAtCoverage[];
  readonly calibration: CalibrationEvaluation;
  readonly intervals: {
    readonly accuracy: Interval | null;
    readonly perClassAccuracy: readonly (Interval | null)[];
    readonly aurc: Interval | null;
    readonly excessAurc: Interval | null;
  };
}

export interface Evaluation extends InDistributionMetrics {
  readonly model: string;
  readonly data: string;
  readonly split: string;
  /** SHA-256 over images and labels. */
  readonly fingerprint: string;
  /** Of rows, columns and per-class values. */
  readonly classNames: readonly string[];
  /** How the intervals were made: percentile bootstrap; `resamples` 0: there are none. */
  readonly bootstrap: { readonly resamples: number; readonly level: number; readonly seed: number };
  readonly ood: readonly OodEvaluation[];
}

/** `1`, or `1 of validation` where the thresholds are not from the training images. */
export const nameOfThresholds = ({ percentile, source }: Pick<Thresholds, "percentile" | "source">): string =>
  source === null || source === "training" ? String(percentile) : `${percentile} of ${source}`;

export const correctness = ({ labels }: Classification, truth: Int32Array): Uint8Array =>
  Uint8Array.from(labels, (label, i) => Number(label === truth[i]));
