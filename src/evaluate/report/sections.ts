import { trainedOn } from "../../classify/card.ts";
import { escapeHtml } from "../../core/markup.ts";
import { rejectScoreInWords } from "../../nn/reject-score.ts";
import { nameOfThresholds, type RejectionRow } from "../evaluation.ts";
import { imagesOf, intervalNote, percent, summaryRows } from "../summary.ts";
import type { TitledChart } from "./chart.ts";
import { classHistograms, comparedScores, histogramsHeading, trainingCurves, validationCurves } from "./charts.ts";
import { draw } from "./draw.ts";
import type { Example, RunReport } from "./types.ts";

/** The headline numbers in words. */
export function summary({ evaluation, card }: RunReport): string {
  const first = evaluation.rejection[0];
  const sentences = [
    `This ${card.model.head === "sdim" ? "SDIM" : "softmax"} ResNet${card.model.depth} was trained on ${trainedOn(card) ?? "images its file does not name"} and gets ${percent(evaluation.accuracy)} of ${evaluation.count.toLocaleString("en")} ${imagesOf(evaluation)} right.`,
  ];
  if (first) {
    const rest = first.selectiveAccuracy === null ? "" : ` and is right on ${percent(first.selectiveAccuracy)} of the rest`;
    sentences.push(
      `When it may say “I don’t know” (${thresholdsInWords(first)}), it refuses ${percent(first.rejectionRate)} of them${rest}.`,
    );
  }
  for (const [i, set] of evaluation.ood.entries()) {
    const row = set.rejection[0];
    if (row) {
      sentences.push(
        `Of ${set.count.toLocaleString("en")} ${set.data} images${i === 0 ? ", which are like nothing it was trained on" : ""}, it refuses ${percent(row.decisionRejectionRate)}.`,
      );
    }
  }
  return `<p class="lead">${escapeHtml(sentences.join(" "))}</p>`;
}

const sourceInWords = {
  training: "the training set",
  validation: "images held out of the training",
  given: "the images given to sdim calibrate",
};

/** `thresholds at percentile 1 of the training set` */
const thresholdsInWords = ({ percentile, source }: RejectionRow): string =>
  `thresholds at percentile ${percentile}${source === null ? "" : ` of ${sourceInWords[source]}`}`;

export function mainTable({ evaluation, card: { model } }: RunReport): string {
  const percentiles = evaluation.rejection.map(nameOfThresholds);
  const head = percentiles.map((percentile) => `<th scope="col">percentile ${percentile}</th>`).join("");
  const rows = summaryRows(evaluation).map(({ what, values }) => {
    const span = values.length === 1 && percentiles.length > 1 ? ` colspan="${percentiles.length}"` : "";
    return `<tr><th scope="row">${escapeHtml(what)}</th>${values.map((value) => `<td${span}>${escapeHtml(value)}</td>`).join("")}</tr>`;
  });
  const note = intervalNote(evaluation);
  return `<div class="scroll"><table><caption>The decision rule refuses an image when the ${rejectScoreInWords(model)} of its winning class is below that class’s threshold. The class-wise protocol of the paper’s Table 3 asks each class on its own and averages; it is not what a user meets.${note === undefined ? "" : ` ${escapeHtml(note)}.`}</caption>
<thead><tr><td></td>${head}</tr></thead><tbody>${rows.join("")}</tbody></table></div>`;
}

const charts = (all: readonly TitledChart[]): string =>
  `<div class="charts">${all.map((chart) => `<figure><figcaption>${escapeHtml(chart.title)}</figcaption>${draw(chart)}</figure>`).join("")}</div>`;

export function training({ history, epochs = [] }: Pick<RunReport, "history" | "epochs">): string {
  return history.length === 0
    ? ""
    : `<section><h2>Training</h2>${charts([...trainingCurves(history), ...validationCurves(epochs)])}</section>`;
}

export function histograms(report: RunReport): string {
  const heading = histogramsHeading(report.card.model);
  if (report.scores.inDistribution.length > 0 && report.scores.outOfDistribution.length === 0) {
    return `<section><h2>${heading}, ${escapeHtml(report.evaluation.data)}</h2>
<p><span class="key inside"></span> ${imagesOf(report.evaluation)} of the class <span class="key line"></span> thresholds at percentile ${report.thresholds.map(({ percentile }) => percentile).join(" and ")}. Long tails are gathered in the first and last bars.</p>
${charts(classHistograms(report))}</section>`;
  }
  return report.scores.outOfDistribution
    .map(
      ({ data }, i) => `<section><h2>${heading}, ${escapeHtml(report.evaluation.data)} against ${escapeHtml(data)}</h2>
<p><span class="key inside"></span> ${imagesOf(report.evaluation)} of the class <span class="key outside"></span> ${escapeHtml(data)} images <span class="key line"></span> thresholds at percentile ${report.thresholds.map(({ percentile }) => percentile).join(" and ")}. Long tails are gathered in the first and last bars (the paper’s Figure 2).</p>
${charts(classHistograms(report, i))}</section>`,
    )
    .join("");
}

/** The verdict in words. */
const verdict = (example: Example, model: RunReport["card"]["model"]): string =>
  example.accepted ? `${example.label} – accepted` : `rejected: closest to ${example.label}; ${comparedScores(model, example)}`;

function exampleItem(example: Example, model: RunReport["card"]["model"]): string {
  const truth = example.trueLabel === null ? example.source : `${example.source}: ${example.trueLabel}`;
  const wrong = example.trueLabel !== null && example.trueLabel !== example.label;
  const posterior = example.posterior === null ? "" : `<span class="truth">posterior ${percent(example.posterior)}</span>`;
  return `<li class="${example.accepted ? "accepted" : "rejected"}"><img src="${escapeHtml(example.png)}" alt="${escapeHtml(truth)}" width="72" height="72">
<span class="verdict">${escapeHtml(verdict(example, model))}${wrong ? " <strong>wrong</strong>" : ""}</span><span class="truth">${escapeHtml(truth)}</span>${posterior}</li>`;
}

export function examples({ examples: groups, card, evaluation: { rejection } }: RunReport): string {
  const shown = groups.filter((group) => group.examples.length > 0);
  const lists = shown.map(
    (group) =>
      `<h3>${escapeHtml(group.title)}</h3><ul class="examples">${group.examples.map((example) => exampleItem(example, card.model)).join("")}</ul>`,
  );
  const [first] = rejection;
  const rule = first ? `<p>Accepted and rejected by ${escapeHtml(thresholdsInWords(first))}.</p>` : "";
  return lists.length === 0 ? "" : `<section><h2>What it said</h2>${rule}${lists.join("")}</section>`;
}

const list = (entries: readonly (readonly [string, string])[]): string =>
  `<dl>${entries.map(([name, value]) => `<dt>${escapeHtml(name)}</dt><dd>${escapeHtml(value)}</dd>`).join("")}</dl>`;

const show = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value));

export function details({
  card: { model, calibration, training, parameters, prior, version },
  environment,
}: Pick<RunReport, "card" | "environment">): string {
  const config = (training["config"] ?? {}) as Record<string, unknown>;
  return `<section><h2>How it was made</h2><div class="columns">
<div><h3>Network</h3>${list([...Object.entries(model).map(([name, value]) => [name, show(value)] as const), ...(parameters === undefined ? [] : [["weights in training", parameters.toLocaleString("en")] as const])])}</div>
<div><h3>Training</h3>${list(Object.entries(config).map(([name, value]) => [name, show(value)] as const))}</div>
<div><h3>Calibration and machine</h3>${list([
    ["calibrated on", `${calibration.data} (${calibration.split}), correctly classified samples`],
    ["percentile in force", String(calibration.percentile)],
    ...(prior === undefined ? [] : [["prior", prior] as const]),
    ["data fingerprint", calibration.fingerprint.slice(0, 16)],
    ["file written by", `sdim ${version}`],
    ...Object.entries(environment),
  ])}</div></div></section>`;
}
