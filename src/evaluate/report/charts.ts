import type { PlotOptions } from "@observablehq/plot";
import * as Plot from "@observablehq/plot";
import { rejectScoreInWords, rejectScoreOfClass, showScore } from "../../nn/reject-score.ts";
import type { EpochRecord, HistoryRecord } from "../../train/records.ts";
import { inside, outside, type TitledChart } from "./chart.ts";
import type { Example, RunReport } from "./types.ts";

// How training went, and how what is compared with thresholds is distributed.

const curveTitles: Readonly<Record<string, string>> = {
  loss: "Total loss",
  mutualInformation: "Mutual information",
  negativeLogLikelihood: "Negative log-likelihood",
  margin: "Margin",
  crossEntropy: "Cross-entropy",
  trainAccuracy: "Training accuracy",
  learningRate: "Learning rate",
};

/** Of a metric by its name in the records. */
export const titleOf = (metric: string): string => curveTitles[metric] ?? metric;

/** Over the histograms of a model. */
export const histogramsHeading = (model: ReportedScores["card"]["model"]): string => `Distribution of the ${rejectScoreInWords(model)}`;

/** What a model compared for its verdict on an image: `log-likelihood 312, threshold 290`. */
export const comparedScores = (model: ReportedScores["card"]["model"], { logLikelihood, threshold }: Example): string =>
  `${rejectScoreInWords(model)} ${showScore(logLikelihood)}, threshold ${showScore(threshold)}`;

/** What histograms are drawn of. */
export interface ReportedScores extends Pick<RunReport, "scores" | "thresholds"> {
  readonly card: Pick<RunReport["card"], "classNames" | "model">;
}

interface Point {
  readonly epoch: number;
  readonly value: number;
}

/** Against epochs; the points are dots as well where there are few. */
function curve(title: string, points: readonly Point[], y: PlotOptions["y"], hasDots = false): TitledChart {
  const from = `from ${points[0]?.value.toPrecision(3)} to ${points.at(-1)?.value.toPrecision(3)}`;
  return {
    title,
    label: `${title} against epochs, ${from}`,
    options: {
      width: 320,
      height: 190,
      marginLeft: 48,
      x: { label: "epoch", ticks: 5 },
      y: { label: null, grid: true, ticks: 4, ...y },
      marks: [
        Plot.lineY(points, { x: "epoch", y: "value", stroke: inside, strokeWidth: 1.8 }),
        ...(hasDots ? [Plot.dot(points, { x: "epoch", y: "value", fill: inside, r: 2 })] : []),
      ],
    },
  };
}

/** One small chart per loss part, one of the training accuracy and one of the learning rate, against epochs. */
export function trainingCurves(history: readonly HistoryRecord[]): TitledChart[] {
  const metricOf = (record: HistoryRecord, name: string): number | undefined =>
    name === "loss" || name === "trainAccuracy" || name === "learningRate" ? record[name] : record.parts[name];
  return ["loss", ...Object.keys(history[0]?.parts ?? {}), "trainAccuracy", "learningRate"].map((name) => {
    const points = history.flatMap((record) => {
      const value = metricOf(record, name);
      return value === undefined ? [] : [{ epoch: record.epoch, value }];
    });
    const isLoss = name === "loss" || name === "margin";
    const isLogarithmic = isLoss && points.every(({ value }) => value > 0);
    const y = isLogarithmic ? ({ type: "log", tickFormat: "~g" } as const) : name === "learningRate" ? { tickFormat: "~g" } : {};
    const drawn = curve(titleOf(name), points, y);
    return isLogarithmic ? { ...drawn, title: `${drawn.title} (log scale)` } : drawn;
  });
}

/** Accuracy on held-out images and, where thresholds were taken from them, the share rejected, after each epoch that was validated. */
export function validationCurves(epochs: readonly EpochRecord[]): TitledChart[] {
  const ofScore = (title: string, tickFormat: string, scoreOf: (score: NonNullable<EpochRecord["validation"]>) => number | null) => {
    const points = epochs.flatMap(({ epoch, validation }) => {
      const value = validation && scoreOf(validation);
      return value === null ? [] : [{ epoch, value }];
    });
    return points.length === 0 ? [] : [curve(title, points, { tickFormat }, true)];
  };
  return [
    ...ofScore("Validation accuracy", "~%", ({ accuracy }) => accuracy),
    ...ofScore("Validation log-likelihood", "~g", ({ logLikelihood }) => logLikelihood),
    ...ofScore("Validation images rejected", "~%", ({ rejectionRate }) => rejectionRate),
  ];
}

/** Of at least one value. */
const quantile = (sorted: readonly number[], fraction: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(fraction * sorted.length))]!;

const median = (sorted: readonly number[]): string =>
  sorted.length === 0 ? "none in the data" : `median ${showScore(quantile(sorted, 0.5))}`;

/**
 * The paper's Figure 2: per class, how log p(z|c) is distributed over images of class c and over out-of-distribution images, with the
 * thresholds. Values outside the range are drawn in its first and last bars. Without `outIndex`: the data's own images alone.
 */
export function classHistograms({ scores, thresholds, card }: ReportedScores, outIndex?: number): TitledChart[] {
  const out = outIndex === undefined ? undefined : scores.outOfDistribution[outIndex]!;
  return card.classNames.map((name, c) => {
    const own = [...scores.inDistribution[c]!].sort((a, b) => a - b);
    const other = [...(out?.byClass[c] ?? [])].sort((a, b) => a - b);
    const lines = thresholds.map((set) => ({ value: set.values[c]!, percentile: set.percentile }));
    // The range follows the class's own images; where the data has none, the others.
    const body = own.length > 0 ? own : other;
    const high = Math.max(
      ...(body.length > 0 ? [body.at(-1)!] : []),
      ...(other.length > 0 ? [quantile(other, 0.999)] : []),
      ...lines.map(({ value }) => value),
    );
    const spread = high - Math.min(...(body.length > 0 ? [quantile(body, 0.05)] : []), ...lines.map(({ value }) => value));
    const low = Math.max(Math.min(own[0] ?? high, other[0] ?? high), high - 6 * spread);
    const bins = 48;
    const bars = [
      { values: own, fill: inside },
      { values: other, fill: outside },
    ].flatMap(({ values, fill }) => histogram(values, low, high, bins).map((bar) => ({ ...bar, fill })));
    return {
      title: name,
      label: `Class ${name}: ${rejectScoreInWords(card.model)}s of its images, ${median(own)}${out ? `, and of ${out.data}, ${median(other)}` : ""}; threshold ${lines[0] ? showScore(lines[0].value) : "none"}`,
      options: {
        width: 320,
        height: 170,
        marginLeft: 40,
        x: { domain: [low, high], label: rejectScoreOfClass(card.model, name), ticks: 5 },
        y: { label: "share", tickFormat: "%", ticks: 3, grid: true },
        marks: [
          // y1 and y2, because a lone y would stack one distribution on the other.
          Plot.rectY(bars, { x1: "from", x2: "to", y1: 0, y2: "share", fill: "fill", fillOpacity: 0.55, insetLeft: 0.5, insetRight: 0.5 }),
          Plot.ruleX(lines, { x: "value", stroke: "currentColor", strokeDasharray: "3 2" }),
          Plot.text(lines.slice(0, 1), {
            x: "value",
            frameAnchor: "top",
            text: (d: { percentile: number }) => `${d.percentile}%`,
            dy: -8,
            fill: "currentColor",
          }),
        ],
      },
    };
  });
}

interface Bar {
  readonly from: number;
  readonly to: number;
  readonly share: number;
}

/** Shares of all values per bin of [low, high]; what lies outside counts in the bin at that end. */
function histogram(values: readonly number[], low: number, high: number, bins: number): Bar[] {
  const counts = new Array<number>(bins).fill(0);
  const width = (high - low) / bins || 1;
  for (const value of values) counts[Math.min(bins - 1, Math.max(0, Math.floor((value - low) / width)))]!++;
  return counts.flatMap((count, i) =>
    count === 0 ? [] : [{ from: low + i * width, to: low + (i + 1) * width, share: count / values.length }],
  );
}
