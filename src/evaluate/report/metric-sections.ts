import { escapeHtml } from "../../core/markup.ts";
import { rejectScoreInWords } from "../../nn/reject-score.ts";
import { numberOf, percent, percentWithInterval } from "../summary.ts";
import type { Chart } from "./chart.ts";
import { draw } from "./draw.ts";
import { htmlTable } from "./html-table.ts";
import { confusionMatrix, confusions, reliabilityDiagram, riskCoverage, rocCurveOf } from "./metric-charts.ts";
import { captionOf, detectionTable, oodRejectionTable } from "./metric-tables.ts";
import type { RunReport } from "./types.ts";

const figure = (title: string, chart: Chart): string => `<figure><figcaption>${escapeHtml(title)}</figcaption>${draw(chart)}</figure>`;

/** Side by side where the page is wide enough. */
const beside = (...parts: readonly string[]): string => `<div class="beside">${parts.map((part) => `<div>${part}</div>`).join("")}</div>`;

const mostConfusions = 10;

export function classes({ evaluation }: RunReport): string {
  const { classNames, perClassAccuracy, intervals, confusion } = evaluation;
  const rows = classNames.map((name, c) => {
    const images = confusion[c]!.reduce((a, b) => a + b, 0);
    return [name, String(images), percentWithInterval(perClassAccuracy[c]!, intervals.perClassAccuracy[c]!)];
  });
  const confused = confusions(evaluation).slice(0, mostConfusions);
  const pairs =
    confused.length === 0
      ? "<p>No class was taken for another.</p>"
      : htmlTable({
          caption: "The most frequent confusions, without rejection.",
          columns: ["true class", "winning class", "images"],
          rows: confused.map(({ truth, said, count }) => [truth, said, String(count)]),
        });
  return `<section><h2>Class by class</h2>
${figure("Confusion matrix, without rejection; shades are square roots of shares of a row", confusionMatrix(evaluation))}
${beside(htmlTable({ caption: captionOf("Accuracy per true class, without rejection.", evaluation), columns: ["class", "images", "accuracy"], rows }), pairs)}</section>`;
}

export function selective({ evaluation, card }: RunReport): string {
  const { aurc, excessAurc, intervals, coverageAtRisk, riskAtCoverage } = evaluation;
  const rows = [
    ["area under the curve (AURC), lower is better", numberOf(aurc, intervals.aurc, 5)],
    ["AURC above the oracle’s (E-AURC), lower is better", numberOf(excessAurc, intervals.excessAurc, 5)],
    ...coverageAtRisk.map(({ risk, coverage, interval }) => [
      `coverage at a risk of at most ${100 * risk}%, higher is better`,
      percentWithInterval(coverage, interval),
    ]),
    ...riskAtCoverage.map(({ coverage, risk, interval }) => [
      `risk at a coverage of at least ${100 * coverage}%, lower is better`,
      percentWithInterval(risk, interval),
    ]),
  ];
  return `<section><h2>Accuracy against coverage</h2>
<p>One threshold on the winning class’s ${rejectScoreInWords(card.model)} for all classes, from strict to lax. Dashed: an oracle that refuses the errors first. <span class="key outside"></span> the decision rule, with a threshold per class, at the percentiles of the table.</p>
${beside(figure("Risk-coverage curve", riskCoverage(evaluation)), htmlTable({ caption: captionOf("Read from the curve.", evaluation), columns: ["measure", "value"], rows }))}</section>`;
}

export function calibration({ evaluation, card: { model } }: RunReport): string {
  const { bins, reliability, expectedCalibrationError, adaptiveCalibrationError, intervals } = evaluation.calibration;
  const rows = reliability
    .filter(({ count }) => count > 0)
    .map(({ low, high, count, confidence, accuracy }) => [
      `${percent(low)} to ${percent(high)}`,
      String(count),
      percent(confidence),
      percent(accuracy),
    ]);
  return `<section><h2>Calibration of the posterior</h2>
<p>Expected calibration error over ${bins} bins of equal width: ${escapeHtml(percentWithInterval(expectedCalibrationError, intervals.expectedCalibrationError))}; over bins of equal numbers of images: ${escapeHtml(percentWithInterval(adaptiveCalibrationError, intervals.adaptiveCalibrationError))}. Lower is better. ${model.head === "softmax" ? "Rejection uses the posterior, too: its logarithm is what is compared with the thresholds." : "The posterior p(c|z) says which class fits best, not whether any does: rejection does not use it."}</p>
${beside(figure("Reliability diagram", reliabilityDiagram(evaluation)), htmlTable({ caption: "Bins without images are left out.", columns: ["posterior", "images", "mean posterior", "accuracy"], rows }))}</section>`;
}

export function outOfDistribution({ evaluation }: RunReport): string {
  const { ood } = evaluation;
  if (ood.length === 0) return "";
  return `<section><h2>Data it should refuse</h2>
${[detectionTable(evaluation), oodRejectionTable(evaluation)].map(htmlTable).join("")}
<h3>ROC curves, out-of-distribution positive</h3><div class="charts">${ood.map((set) => figure(set.data, rocCurveOf(set))).join("")}</div></section>`;
}
