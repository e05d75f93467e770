import * as Plot from "@observablehq/plot";
import type { Evaluation, OodEvaluation } from "../evaluation.ts";
import { percent } from "../summary.ts";
import { type Chart, inside, outside } from "./chart.ts";

// How good the verdicts are.

/** More classes than this are drawn without numbers in the cells. */
const mostNumbered = 20;

/** Opacity of a cell that has all of its row; numbers must be readable on it in light and dark. */
const darkest = 0.6;

/** Rows are true classes, columns winning classes; a cell's shade goes with the square root of its share of the row. */
export function confusionMatrix({ classNames, confusion, accuracy }: Evaluation): Chart {
  const cells = confusion.flatMap((row, truth) => {
    const total = row.reduce((a, b) => a + b, 0);
    return row.map((count, said) => ({ truth, said, count, shade: total === 0 ? 0 : darkest * Math.sqrt(count / total) }));
  });
  const indices = classNames.map((_, c) => c);
  const side = Math.max(6, Math.min(40, Math.floor(760 / classNames.length)));
  const nameOf = (c: number) => classNames[c]!;
  const longest = 7 * Math.min(24, Math.max(...classNames.map((name) => name.length)));
  const margin = 40 + longest;
  const isNumbered = classNames.length <= mostNumbered;
  const position = { x: "said", y: "truth", inset: 0.5 } as const;
  const worst = confusions({ classNames, confusion })[0];
  return {
    label: `Confusion matrix of ${classNames.length} classes: ${percent(accuracy)} on the diagonal${worst ? `; most often, ${worst.truth} is taken for ${worst.said}, ${worst.count} times` : ""}`,
    options: {
      width: margin + 20 + side * classNames.length,
      height: margin + 20 + side * classNames.length,
      marginLeft: margin,
      marginTop: margin,
      x: { domain: indices, label: "winning class", axis: "top", tickFormat: nameOf, tickRotate: longest > 21 ? -45 : 0 },
      y: { domain: indices, label: "true class", tickFormat: nameOf },
      marks: [
        Plot.cell(
          cells.filter(({ truth, said }) => truth === said),
          { ...position, fill: inside, fillOpacity: "shade" },
        ),
        Plot.cell(
          cells.filter(({ truth, said, count }) => truth !== said && count > 0),
          { ...position, fill: outside, fillOpacity: "shade" },
        ),
        ...(isNumbered
          ? [
              Plot.text(
                cells.filter(({ count }) => count > 0),
                { x: "said", y: "truth", text: (d: { count: number }) => String(d.count), fill: "currentColor" },
              ),
            ]
          : []),
      ],
    },
  };
}

/** Pairs of different classes that were confused, the most frequent first; equally frequent ones in the order of the classes. */
export function confusions({
  classNames,
  confusion,
}: Pick<Evaluation, "classNames" | "confusion">): { readonly truth: string; readonly said: string; readonly count: number }[] {
  return confusion
    .flatMap((row, truth) =>
      row.map((count, said) => ({ truth: classNames[truth]!, said: classNames[said]!, count, isWrong: truth !== said })),
    )
    .filter(({ count, isWrong }) => isWrong && count > 0)
    .sort((a, b) => b.count - a.count)
    .map(({ truth, said, count }) => ({ truth, said, count }));
}

/** Risk against coverage, the oracle's dashed, a dot per percentile of the class thresholds. */
export function riskCoverage({ riskCoverage: curve, count, accuracy, rejection, aurc }: Evaluation): Chart {
  const errors = Math.round((1 - accuracy) * count);
  const oracle = curve.map(({ coverage }) => ({ coverage, risk: Math.max(0, coverage * count - (count - errors)) / (coverage * count) }));
  const dots = rejection.flatMap(({ rejectionRate, selectiveAccuracy }) =>
    selectiveAccuracy === null ? [] : [{ coverage: 1 - rejectionRate, risk: 1 - selectiveAccuracy }],
  );
  return {
    label: `Risk-coverage curve: area ${aurc.toFixed(5)}, risk ${percent(curve.at(-1)!.risk)} when everything is accepted`,
    options: {
      width: 420,
      height: 280,
      marginLeft: 56,
      x: { label: "coverage: share accepted", tickFormat: "%", domain: [0, 1] },
      y: { label: "risk: error on the accepted part", tickFormat: "~%", grid: true, zero: true, ticks: 5 },
      marks: [
        Plot.lineY(oracle, { x: "coverage", y: "risk", stroke: "currentColor", strokeDasharray: "3 3", strokeOpacity: 0.6 }),
        Plot.lineY(curve, { x: "coverage", y: "risk", stroke: inside, strokeWidth: 1.8 }),
        Plot.dot(dots, { x: "coverage", y: "risk", fill: outside, r: 4 }),
      ],
    },
  };
}

/** Accuracy against the posterior, per bin of equal width. */
export function reliabilityDiagram({ calibration: { reliability, expectedCalibrationError } }: Evaluation): Chart {
  const bins = reliability.filter(({ count }) => count > 0);
  return {
    label: `Reliability diagram: accuracy per bin of the posterior; expected calibration error ${percent(expectedCalibrationError)}`,
    options: {
      width: 320,
      height: 320,
      marginLeft: 48,
      x: { label: "posterior of the winning class", tickFormat: "%", domain: [0, 1], ticks: 5 },
      y: { label: "accuracy", tickFormat: "%", domain: [0, 1], grid: true, ticks: 5 },
      marks: [
        Plot.rectY(bins, { x1: "low", x2: "high", y1: 0, y2: "accuracy", fill: inside, fillOpacity: 0.5, insetLeft: 0.5, insetRight: 0.5 }),
        Plot.line(
          [
            [0, 0],
            [1, 1],
          ],
          { stroke: "currentColor", strokeDasharray: "3 3" },
        ),
        Plot.dot(bins, { x: "confidence", y: "accuracy", fill: inside, r: 3 }),
      ],
    },
  };
}

/** Out-of-distribution positive. */
export function rocCurveOf({ data, rocCurve, auroc }: OodEvaluation): Chart {
  return {
    label: `ROC curve of ${data}: area ${auroc.toFixed(4)}`,
    options: {
      width: 320,
      height: 320,
      marginLeft: 48,
      x: { label: "in-distribution images flagged", tickFormat: "%", domain: [0, 1], ticks: 5 },
      y: { label: `${data} images flagged`, tickFormat: "%", domain: [0, 1], grid: true, ticks: 5 },
      marks: [
        Plot.line(
          [
            [0, 0],
            [1, 1],
          ],
          { stroke: "currentColor", strokeDasharray: "3 3" },
        ),
        Plot.line(rocCurve, { x: "falsePositiveRate", y: "truePositiveRate", stroke: inside, strokeWidth: 1.8 }),
      ],
    },
  };
}
