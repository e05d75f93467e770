import type { ThresholdSet } from "../classify/card.ts";
import { acceptedBy } from "../classify/classification.ts";
import type { Classification } from "../classify/classifier.ts";
import type { OodEvaluation, OodMetrics, Thresholds } from "./evaluation.ts";
import { type BootstrapOptions, bootstrap } from "./metrics/bootstrap.ts";
import {
  auroc,
  aurocWithinClasses,
  averagePrecision,
  falsePositiveRateAt,
  type GroupCounts,
  rank,
  rankWithinClasses,
  rocCurve,
  type Steps,
  steps,
  swapped,
} from "./metrics/detection.ts";
import { rejectionRate } from "./metrics/selective.ts";

/** How well a classifier tells the data it knows (`inside`) from data it should refuse (`outside`). */
export function evaluateOutOfDistribution(
  inside: Classification,
  outside: Classification,
  classCount: number,
  thresholds: readonly Thresholds[],
  options: BootstrapOptions = {},
): Omit<OodEvaluation, "data" | "fingerprint"> {
  const minus = (values: Float32Array) => values.map((value) => -value);
  const scores = { positive: minus(outside.logLikelihoods), negative: minus(inside.logLikelihoods) };
  const ranking = rank(scores);
  const byClass = rankWithinClasses({ scores, classes: { positive: outside.labels, negative: inside.labels } });
  const accepted = thresholds.map((set) => acceptedBy(outside, set.values));
  const below = thresholds.map((set) => classesBelow(outside.classLogLikelihoods, classCount, set));
  const rates = (counts?: Uint32Array) => ({
    ...Object.fromEntries(accepted.map((flags, t) => [`decision${t}`, rejectionRate(flags, counts)] as const)),
    ...Object.fromEntries(below.map((numbers, t) => [`perClass${t}`, perClassRejectionRate(numbers, classCount, counts)] as const)),
  });
  const metricsOf = (ofSteps: Steps, counts?: GroupCounts): OodMetrics => ({
    ...detectionMetrics(ofSteps),
    decisionAuroc: aurocWithinClasses(byClass, counts),
  });
  const plain = steps(ranking);
  const values: Record<string, number> = rates();
  const intervals = bootstrap(
    [inside.count, outside.count],
    ([of, out]): Record<string, number | null> => {
      const counts = { positive: out!, negative: of! };
      return { ...metricsOf(steps(ranking, counts), counts), ...rates(out) };
    },
    options,
  );
  const of = (name: string) => intervals[name] ?? null;
  return {
    count: outside.count,
    ...metricsOf(plain),
    rejection: thresholds.map(({ percentile, source }, t) => ({
      percentile,
      source,
      decisionRejectionRate: values[`decision${t}`]!,
      perClassRejectionRate: values[`perClass${t}`]!,
      intervals: { decisionRejectionRate: of(`decision${t}`), perClassRejectionRate: of(`perClass${t}`) },
    })),
    rocCurve: rocCurve(plain),
    intervals: {
      auroc: of("auroc"),
      decisionAuroc: of("decisionAuroc"),
      auprInPositive: of("auprInPositive"),
      auprOutPositive: of("auprOutPositive"),
      fprAt95InPositive: of("fprAt95InPositive"),
      fprAt95OutPositive: of("fprAt95OutPositive"),
    },
  };
}

/** `outPositive`: out-of-distribution positive, minus the winning log-likelihood as score. */
function detectionMetrics(outPositive: Steps): Omit<OodMetrics, "decisionAuroc"> {
  const inPositive = swapped(outPositive);
  return {
    auroc: auroc(outPositive),
    auprInPositive: averagePrecision(inPositive),
    auprOutPositive: averagePrecision(outPositive),
    fprAt95InPositive: falsePositiveRateAt(0.95, inPositive),
    fprAt95OutPositive: falsePositiveRateAt(0.95, outPositive),
  };
}

/** Number of classes whose threshold each image is strictly below. */
function classesBelow(classLogLikelihoods: Float32Array, classCount: number, { values }: ThresholdSet): Float64Array {
  const thresholds = Float32Array.from(values);
  const result = new Float64Array(classLogLikelihoods.length / classCount);
  for (let i = 0; i < classLogLikelihoods.length; i++) {
    result[Math.floor(i / classCount)]! += Number(classLogLikelihoods[i]! < thresholds[i % classCount]!);
  }
  return result;
}

/** Every class sees the whole set, so the mean of the classes' shares is the share of all pairs of an image and a class. */
function perClassRejectionRate(below: Float64Array, classCount: number, counts?: Uint32Array): number {
  let [sum, total] = [0, 0];
  for (let i = 0; i < below.length; i++) {
    const count = counts ? counts[i]! : 1;
    sum += count * below[i]!;
    total += count;
  }
  return sum / (total * classCount);
}
