import { type NamedRow, namedRows } from "../core/tables.ts";
import { type Evaluation, nameOfThresholds } from "./evaluation.ts";
import type { Interval } from "./metrics/bootstrap.ts";

export const percent = (fraction: number | null): string => (fraction === null ? "-" : `${(100 * fraction).toFixed(2)}%`);

/** `value [low, high]`, or the value alone where there is no interval. */
export const withInterval = (value: string, interval: Interval | null, format: (end: number) => string): string =>
  interval === null ? value : `${value} [${format(interval.low)}, ${format(interval.high)}]`;

/** `99.53% [99.39, 99.66]` */
export const percentWithInterval = (fraction: number | null, interval: Interval | null): string =>
  withInterval(percent(fraction), fraction === null ? null : interval, (end) => (100 * end).toFixed(2));

export const numberOf = (value: number | null, interval: Interval | null, digits: number): string =>
  value === null ? "-" : withInterval(value.toFixed(digits), interval, (end) => end.toFixed(digits));

/** What the brackets mean; undefined where there are none. */
export function intervalNote({ bootstrap: { resamples, level } }: Evaluation): string | undefined {
  if (resamples === 0) return undefined;
  return `[low, high]: ${(100 * level).toFixed(0)}% percentile bootstrap interval, ${resamples.toLocaleString("en")} resamples`;
}

/** The rows of the one summary table, for the terminal and the report; `values` has an entry per percentile, or a single one. */
export function summaryRows({ data, count, accuracy, rejection, aurc, calibration, intervals, ood }: Evaluation): NamedRow[] {
  const { expectedCalibrationError } = calibration;
  return [
    { what: `accuracy on ${count.toLocaleString("en")} ${data} images`, values: [percentWithInterval(accuracy, intervals.accuracy)] },
    {
      what: `${data} images rejected`,
      values: rejection.map((row) => percentWithInterval(row.rejectionRate, row.intervals.rejectionRate)),
    },
    {
      what: "accuracy on the accepted part",
      values: rejection.map((row) => percentWithInterval(row.selectiveAccuracy, row.intervals.selectiveAccuracy)),
    },
    { what: "AURC (lower is better)", values: [withInterval(aurc.toFixed(5), intervals.aurc, (end) => end.toFixed(5))] },
    {
      what: "calibration error of the posterior (ECE)",
      values: [percentWithInterval(expectedCalibrationError, calibration.intervals.expectedCalibrationError)],
    },
    ...ood.flatMap((set) => [
      {
        what: `${set.data} rejected (decision rule)`,
        values: set.rejection.map((row) => {
          const images = (rate: number) => Math.round(rate * set.count);
          const value = `${images(row.decisionRejectionRate)} of ${set.count}`;
          return withInterval(value, row.intervals.decisionRejectionRate, (end) => String(images(end)));
        }),
      },
      {
        what: `${set.data} rejected (class-wise protocol)`,
        values: set.rejection.map((row) => percentWithInterval(row.perClassRejectionRate, row.intervals.perClassRejectionRate)),
      },
      {
        what: `AUROC, ${data} against ${set.data}`,
        values: [numberOf(set.auroc, set.intervals.auroc, 4)],
      },
      {
        what: `AUROC of the decision rule, ${set.data}`,
        values: [numberOf(set.decisionAuroc, set.intervals.decisionAuroc, 4)],
      },
    ]),
  ];
}

/** The summary as aligned plain text. */
export function renderTable(evaluation: Evaluation): string {
  const header: NamedRow = { what: "thresholds at percentile", values: evaluation.rejection.map(nameOfThresholds) };
  const note = intervalNote(evaluation);
  return [...namedRows([header, ...summaryRows(evaluation)]), ...(note === undefined ? [] : [note])].join("\n");
}

const splitsInWords: Readonly<Record<string, string>> = { train: "training images", val: "validation images", test: "test images" };

/** `test images` */
export const imagesOf = ({ split }: Pick<Evaluation, "split">): string => splitsInWords[split] ?? "images";
