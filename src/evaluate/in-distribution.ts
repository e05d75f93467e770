import { acceptedBy } from "../classify/classification.ts";
import type { Classification } from "../classify/classifier.ts";
import { UserError } from "../core/errors.ts";
import { correctness, type InDistributionMetrics, type Thresholds } from "./evaluation.ts";
import { type BootstrapOptions, bootstrap } from "./metrics/bootstrap.ts";
import {
  adaptiveCalibrationError,
  type Binning,
  binning,
  expectedCalibrationError,
  reliability,
  winningPosteriors,
} from "./metrics/calibration.ts";
import {
  aurc,
  coverageAtRisk,
  oracleAurc,
  rankByConfidence,
  rejectionRate,
  riskAtCoverage,
  riskCoverageCurve,
  type SelectiveRanking,
  selectiveAccuracy,
  selectiveSteps,
  share,
  thinnedCurve,
} from "./metrics/selective.ts";

/** Risks and coverages at which the risk-coverage curve is read. */
const givenRisks = [0.001, 0.005, 0.01, 0.05];
const givenCoverages = [0.8, 0.9, 0.95];

export interface InDistributionOptions {
  /** log p(c) where the model does not take it for uniform, [C]. */
  readonly logPriors?: Float32Array;
  readonly bootstrap?: BootstrapOptions;
  /** Default 0.1%, 0.5%, 1%, 5%. */
  readonly risks?: readonly number[];
  /** Default 80%, 90%, 95%. */
  readonly coverages?: readonly number[];
}

interface Samples {
  readonly truth: Int32Array;
  readonly correct: Uint8Array;
  readonly classCount: number;
  /** Of each threshold set. */
  readonly accepted: readonly Uint8Array[];
  readonly ranking: SelectiveRanking;
  readonly bins: Binning;
  readonly risks: readonly number[];
  readonly coverages: readonly number[];
}

/** Every rate, of the samples as they are or of a resample; the one place where they are computed. */
function rates(samples: Samples, counts?: Uint32Array): Record<string, number | null> {
  const { correct, ranking, bins } = samples;
  const steps = selectiveSteps(ranking, counts);
  const area = aurc(steps);
  const named = <T>(name: string, items: readonly T[], of: (item: T) => number | null) =>
    items.map((item, i) => [name + i, of(item)] as const);
  return {
    accuracy: share(correct, counts),
    aurc: area,
    excessAurc: area - oracleAurc(steps.errors.at(-1)!, steps.kept.at(-1)!),
    expectedCalibrationError: expectedCalibrationError(bins, counts),
    adaptiveCalibrationError: adaptiveCalibrationError(bins, counts),
    ...Object.fromEntries([
      ...perClassAccuracy(samples, counts).map((value, c) => [`class${c}`, value] as const),
      ...named("rejected", samples.accepted, (accepted) => rejectionRate(accepted, counts)),
      ...named("selective", samples.accepted, (accepted) => selectiveAccuracy(correct, accepted, counts)),
      ...named("coverage", samples.risks, (risk) => coverageAtRisk(risk, steps)),
      ...named("risk", samples.coverages, (coverage) => riskAtCoverage(coverage, steps)),
    ]),
  };
}

function perClassAccuracy({ truth, correct, classCount }: Samples, counts?: Uint32Array): (number | null)[] {
  const all = new Float64Array(classCount);
  const right = new Float64Array(classCount);
  for (let i = 0; i < truth.length; i++) {
    const count = counts ? counts[i]! : 1;
    all[truth[i]!]! += count;
    right[truth[i]!]! += count * correct[i]!;
  }
  return Array.from(all, (of, c) => (of === 0 ? null : right[c]! / of));
}

function confusionMatrix(labels: Int32Array, truth: Int32Array, classCount: number): number[][] {
  const matrix = Array.from({ length: classCount }, () => new Array<number>(classCount).fill(0));
  truth.forEach((row, i) => {
    matrix[row]![labels[i]!]!++;
  });
  return matrix;
}

/** Errors: UserError that names the share out of range. */
export function requireRisksAndCoverages({ risks = [], coverages = [] }: Pick<InDistributionOptions, "risks" | "coverages">): void {
  requireShares("risks", risks, (risk) => risk >= 0 && risk <= 1, "from 0 to 1");
  requireShares("coverages", coverages, (coverage) => coverage > 0 && coverage <= 1, "above 0, up to 1");
}

function requireShares(name: string, shares: readonly number[], isOne: (share: number) => boolean, expected: string): void {
  const wrong = shares.find((share) => !isOne(share));
  if (wrong !== undefined) throw new UserError(`${name}: expected shares ${expected}, got ${wrong}`);
}

/** What a classifier's verdicts on labelled data are worth. `truth`: class of each image, [N]. */
export function evaluateInDistribution(
  classification: Classification,
  truth: Int32Array,
  classCount: number,
  thresholds: readonly Thresholds[],
  { logPriors, risks = givenRisks, coverages = givenCoverages, ...options }: InDistributionOptions = {},
): InDistributionMetrics {
  requireRisksAndCoverages({ risks, coverages });
  const { labels, logLikelihoods, classLogLikelihoods, count } = classification;
  const correct = correctness(classification, truth);
  const ranking = rankByConfidence(correct, logLikelihoods);
  const bins = binning(correct, winningPosteriors(classLogLikelihoods, labels, logPriors));
  const accepted = thresholds.map((set) => acceptedBy(classification, set.values));
  const samples: Samples = { truth, correct, classCount, accepted, ranking, bins, risks, coverages };
  const values = rates(samples);
  const intervals = bootstrap([count], ([counts]) => rates(samples, counts), options.bootstrap);
  const of = (name: string) => intervals[name] ?? null;
  const classes = Array.from({ length: classCount }, (_, c) => `class${c}`);
  return {
    count,
    accuracy: values["accuracy"]!,
    perClassAccuracy: classes.map((name) => values[name]!),
    confusion: confusionMatrix(labels, truth, classCount),
    rejection: thresholds.map(({ percentile, source }, t) => ({
      percentile,
      source,
      rejectionRate: values[`rejected${t}`]!,
      selectiveAccuracy: values[`selective${t}`]!,
      intervals: { rejectionRate: of(`rejected${t}`), selectiveAccuracy: of(`selective${t}`) },
    })),
    aurc: values["aurc"]!,
    excessAurc: values["excessAurc"]!,
    riskCoverage: thinnedCurve(riskCoverageCurve(selectiveSteps(ranking))),
    coverageAtRisk: risks.map((risk, i) => ({ risk, coverage: values[`coverage${i}`]!, interval: of(`coverage${i}`) })),
    riskAtCoverage: coverages.map((coverage, i) => ({ coverage, risk: values[`risk${i}`]!, interval: of(`risk${i}`) })),
    calibration: {
      bins: bins.bins,
      expectedCalibrationError: values["expectedCalibrationError"]!,
      adaptiveCalibrationError: values["adaptiveCalibrationError"]!,
      reliability: reliability(bins),
      intervals: {
        expectedCalibrationError: of("expectedCalibrationError"),
        adaptiveCalibrationError: of("adaptiveCalibrationError"),
      },
    },
    intervals: {
      accuracy: of("accuracy"),
      perClassAccuracy: classes.map(of),
      aurc: of("aurc"),
      excessAurc: of("excessAurc"),
    },
  };
}
