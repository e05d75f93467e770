import type { ThresholdSet } from "../classify/card.ts";
import type { Classification } from "../classify/classifier.ts";
import { auroc, averagePrecision, falsePositiveRateAt } from "./metrics/detection.ts";
import { aurc, rejectionRate, selectiveAccuracy, share } from "./metrics/selective.ts";

/** With thresholds at one percentile, on in-distribution data. */
export interface RejectionRow {
  readonly percentile: number;
  /** Share rejected by the decision rule; lower is better here. */
  readonly rejectionRate: number;
  /** Accuracy on the accepted part; null when nothing is accepted. */
  readonly selectiveAccuracy: number | null;
}

/** With thresholds at one percentile, on out-of-distribution data: higher is better. */
export interface OodRejectionRow {
  readonly percentile: number;
  /** Share rejected by the decision rule: winning log-likelihood strictly below the winning class's threshold. */
  readonly decisionRejectionRate: number;
  /** The paper's Table 3: mean over classes c of the share with ll_c strictly below threshold c. Not the decision rule. */
  readonly perClassRejectionRate: number;
}

/** Outlier score: minus the winning log-likelihood. */
export interface OodEvaluation {
  readonly data: string;
  readonly count: number;
  /** Out-of-distribution is positive; higher is better. */
  readonly auroc: number;
  /** Average precision, in-distribution positive; higher is better. */
  readonly auprInPositive: number;
  /** Average precision, out-of-distribution positive; higher is better. */
  readonly auprOutPositive: number;
  /** In-distribution positive: share of out-of-distribution images let in when 95% of in-distribution ones are; lower is better. */
  readonly fprAt95InPositive: number;
  /** Out-of-distribution positive: share of in-distribution images flagged when 95% of out-of-distribution ones are; lower is better. */
  readonly fprAt95OutPositive: number;
  readonly rejection: readonly OodRejectionRow[];
}

export interface Evaluation {
  readonly model: string;
  readonly data: string;
  readonly split: string;
  readonly count: number;
  /** Without rejection. */
  readonly accuracy: number;
  /** In the order of the classes; null for a class without samples. */
  readonly perClassAccuracy: readonly (number | null)[];
  readonly rejection: readonly RejectionRow[];
  /** Area under the risk-coverage curve of the winning log-likelihood; lower is better. */
  readonly aurc: number;
  readonly ood: readonly OodEvaluation[];
}

export const correctness = ({ labels }: Classification, truth: Int32Array): Uint8Array =>
  Uint8Array.from(labels, (label, i) => Number(label === truth[i]));

/** The decision rule at other thresholds than those in force (paper, Eq. 9): 1 where the winning log-likelihood is not strictly below. */
export function acceptedAt({ labels, logLikelihoods }: Classification, thresholds: ThresholdSet): Uint8Array {
  const values = Float32Array.from(thresholds.values);
  return Uint8Array.from(labels, (label, i) => Number(logLikelihoods[i]! >= values[label]!));
}

export function evaluateInDistribution(
  classification: Classification,
  truth: Int32Array,
  classCount: number,
  thresholds: readonly ThresholdSet[],
): Pick<Evaluation, "count" | "accuracy" | "perClassAccuracy" | "rejection" | "aurc"> {
  const correct = correctness(classification, truth);
  const perClassAccuracy = Array.from({ length: classCount }, (_, c) => {
    const ofClass = correct.filter((_, i) => truth[i] === c);
    return ofClass.length === 0 ? null : share(ofClass);
  });
  const rejection = thresholds.map((set) => {
    const accepted = acceptedAt(classification, set);
    return { percentile: set.percentile, rejectionRate: rejectionRate(accepted), selectiveAccuracy: selectiveAccuracy(correct, accepted) };
  });
  return {
    count: classification.count,
    accuracy: share(correct),
    perClassAccuracy,
    rejection,
    aurc: aurc(correct, classification.logLikelihoods),
  };
}

export function evaluateOutOfDistribution(
  inside: Classification,
  outside: Classification,
  classCount: number,
  thresholds: readonly ThresholdSet[],
): Omit<OodEvaluation, "data"> {
  const minus = (values: Float32Array) => values.map((value) => -value);
  const outPositive = { positive: minus(outside.logLikelihoods), negative: minus(inside.logLikelihoods) };
  const inPositive = { positive: inside.logLikelihoods, negative: outside.logLikelihoods };
  return {
    count: outside.count,
    auroc: auroc(outPositive),
    auprInPositive: averagePrecision(inPositive),
    auprOutPositive: averagePrecision(outPositive),
    fprAt95InPositive: falsePositiveRateAt(0.95, inPositive),
    fprAt95OutPositive: falsePositiveRateAt(0.95, outPositive),
    rejection: thresholds.map((set) => ({
      percentile: set.percentile,
      decisionRejectionRate: rejectionRate(acceptedAt(outside, set)),
      perClassRejectionRate: perClassRejectionRate(outside.classLogLikelihoods, classCount, set),
    })),
  };
}

function perClassRejectionRate(classLogLikelihoods: Float32Array, classCount: number, { values }: ThresholdSet): number {
  const thresholds = Float32Array.from(values);
  let below = 0;
  for (let i = 0; i < classLogLikelihoods.length; i++) below += Number(classLogLikelihoods[i]! < thresholds[i % classCount]!);
  // Every class sees the whole set, so the mean of the classes' shares is the share of all pairs.
  return below / classLogLikelihoods.length;
}
