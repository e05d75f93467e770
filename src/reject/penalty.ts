import { CholeskyDecomposition, inverse, Matrix } from "ml-matrix";
import type { Classification } from "../classify/classifier.ts";
import { assertInternal } from "../core/errors.ts";
import type { Penalty } from "../nn/scorer.ts";
import { elementAt } from "./thresholds.ts";

// What the penalties of `src/nn/scorer.ts` are measured by, from calibration images that were classified right; and the same penalties outside the graph.

/** Of the mean class log-likelihood b: above it there is a penalty. */
const backgroundPercentile = 99;
/** Of the unlikeness u. */
const statisticsPercentile = 90;
/** Variances of channel statistics are taken for no smaller: a channel that never fires may fire by a rounding error. */
const leastVariance = 1e-6;

/**
 * Limits and whitening from `verdicts`, which have statistics, of a model that rejects by likelihood; a limit is element floor(p n) of the ascending values.
 * Sigma is the covariance C of the n images, its variances at least `leastVariance`, and of S more whose statistics are independent, of the same variances:
 *   Sigma = (n C + S diag C) / (n + S)
 * Without the latter few images would make a Gaussian that fits them alone and rejects all others.
 */
export function fitPenalty(verdicts: Classification, truth: Int32Array): Penalty {
  const right = Array.from(truth.keys()).filter((i) => verdicts.labels[i] === truth[i]);
  const rows = right.map((i) => statisticsOf(verdicts, i));
  const size = statisticsSize(verdicts);
  const mean = new Float64Array(size);
  for (const row of rows) for (let k = 0; k < size; k++) mean[k]! += row[k]! / rows.length;
  const whitening = whiteningOf(covariance(rows, mean), rows.length);
  const measured = { statisticsMean: Float32Array.from(mean), statisticsWhitening: Float32Array.from(whitening.to1DArray()) };
  const backgroundLimit = percentile(
    right.map((i) => background(verdicts, i)),
    backgroundPercentile,
  );
  const statisticsLimit = percentile(
    rows.map((row) => unlikeness(row, measured)),
    statisticsPercentile,
  );
  return { backgroundLimit, statisticsLimit, ...measured };
}

/**
 * What the same model would say had it rejected by penalised likelihood; `accepted` and `thresholds` are not made anew.
 * `verdicts`, with statistics: of a model that rejects by likelihood.
 */
export function withPenalty(verdicts: Classification, penalty: Penalty): Classification {
  const classes = verdicts.classLogLikelihoods.length / verdicts.count;
  const above = (value: number, limit: number) => Math.max(0, value - Math.fround(limit));
  const penalties = Float64Array.from(
    { length: verdicts.count },
    (_, i) =>
      above(background(verdicts, i), penalty.backgroundLimit) +
      above(unlikeness(statisticsOf(verdicts, i), penalty), penalty.statisticsLimit),
  );
  return {
    ...verdicts,
    classLogLikelihoods: verdicts.classLogLikelihoods.map((value, i) => value - penalties[Math.floor(i / classes)]!),
    logLikelihoods: verdicts.logLikelihoods.map((value, i) => value - penalties[i]!),
  };
}

const percentile = (values: readonly number[], percent: number): number => elementAt(Float64Array.from(values).sort(), percent) ?? 0;

/** b of an image: the mean of its class log-likelihoods, nats. */
function background({ classLogLikelihoods, count }: Classification, i: number): number {
  const classes = classLogLikelihoods.length / count;
  return classLogLikelihoods.subarray(i * classes, (i + 1) * classes).reduce((total, value) => total + value, 0) / classes;
}

function statisticsSize({ statistics, count }: Classification): number {
  assertInternal(statistics !== undefined, "penalty: verdicts of a model without channel statistics");
  return statistics.length / count;
}

function statisticsOf(verdicts: Classification, i: number): Float32Array {
  const size = statisticsSize(verdicts);
  return verdicts.statistics!.subarray(i * size, (i + 1) * size);
}

/** u = 1/2 |W (t - mu)|^2, nats. */
function unlikeness(
  row: Float32Array,
  { statisticsMean, statisticsWhitening }: Pick<Penalty, "statisticsMean" | "statisticsWhitening">,
): number {
  const size = row.length;
  let squares = 0;
  for (let i = 0; i < size; i++) {
    let whitened = 0;
    // W is lower triangular.
    for (let k = 0; k <= i; k++) whitened += statisticsWhitening[i * size + k]! * (row[k]! - statisticsMean[k]!);
    squares += whitened * whitened;
  }
  return squares / 2;
}

/** [S, S] of rows [n, S], divided by n. */
function covariance(rows: readonly Float32Array[], mean: Float64Array): Matrix {
  const size = mean.length;
  const sums = new Float64Array(size * size);
  const centred = new Float64Array(size);
  for (const row of rows) {
    for (let i = 0; i < size; i++) centred[i] = row[i]! - mean[i]!;
    for (let i = 0; i < size; i++) for (let k = 0; k <= i; k++) sums[i * size + k]! += centred[i]! * centred[k]!;
  }
  return Matrix.from1DArray(
    size,
    size,
    sums.map((_, at) => {
      const [i, k] = [Math.floor(at / size), at % size];
      return sums[k <= i ? at : k * size + i]! / Math.max(1, rows.length);
    }),
  );
}

/** W, lower triangular, with W Sigma W^T = I: the inverse of Sigma's Cholesky factor. `count`: of the images that `measured` is of. */
function whiteningOf(measured: Matrix, count: number): Matrix {
  const size = measured.rows;
  const variances = measured.diagonal().map((value) => Math.max(value, leastVariance));
  for (const [k, variance] of variances.entries()) measured.set(k, k, variance);
  const sigma = measured
    .mul(count)
    .add(Matrix.diag(variances).mul(size))
    .div(count + size);
  return inverse(new CholeskyDecomposition(sigma).lowerTriangularMatrix);
}
