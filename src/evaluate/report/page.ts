import { escapeHtml } from "../../core/markup.ts";
import { calibration, classes, outOfDistribution, selective } from "./metric-sections.ts";
import { robustness } from "./robustness-section.ts";
import { details, examples, histograms, mainTable, summary, training } from "./sections.ts";
import type { RunReport } from "./types.ts";

/** Blue and orange of Okabe and Ito's palette, which colour-blind readers tell apart. */
const style = `
:root { color-scheme: light dark; --inside: #0072b2; --outside: #e69f00; --ink: #1b1f24; --muted: #5f6b7a; --paper: #fdfdfc; --rule: #dfe3e8; --good: #00785a; --bad: #b54708; }
@media (prefers-color-scheme: dark) { :root { --inside: #56b4e9; --outside: #f0b73d; --ink: #e6e9ed; --muted: #9aa5b1; --paper: #14171b; --rule: #2e343c; --good: #3ecf9a; --bad: #ff9d5c; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 68rem; padding: 3rem 1.5rem 5rem; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 2.2rem; line-height: 1.2; margin: 0 0 .25rem; letter-spacing: -.02em; }
h2 { font-size: 1.35rem; margin: 3.5rem 0 .75rem; letter-spacing: -.01em; }
h3 { font-size: 1rem; margin: 1.75rem 0 .5rem; }
.date, .truth, caption, figcaption, dt { color: var(--muted); }
.date { margin: 0 0 2rem; }
.lead { font-size: 1.2rem; max-width: 46rem; }
table { border-collapse: collapse; margin-top: 1.5rem; width: 100%; max-width: 46rem; font-variant-numeric: tabular-nums; }
caption { caption-side: bottom; text-align: left; font-size: .85rem; padding-top: .75rem; }
th, td { padding: .5rem .75rem .5rem 0; border-bottom: 1px solid var(--rule); text-align: right; }
th[scope=row] { text-align: left; font-weight: 400; }
thead th { font-weight: 600; font-size: .85rem; }
td { white-space: nowrap; }
td[colspan] { text-align: center; }
table.data { width: auto; font-size: .8rem; max-width: none; }
table.data th, table.data td { padding-right: .9rem; }
table.data thead th:first-child { text-align: left; }
.beside { display: flex; flex-wrap: wrap; gap: 0 3rem; align-items: flex-start; }
.beside > * { max-width: 100%; }
.beside caption { max-width: 28rem; }
.scroll { overflow-x: auto; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: 1.5rem 1rem; }
figure { margin: 0; }
figcaption { font-size: .85rem; font-weight: 600; }
svg { max-width: 100%; height: auto; overflow: visible; }
.key { display: inline-block; width: .9em; height: .9em; margin: 0 .2em 0 1em; vertical-align: -.1em; border-radius: 2px; }
.key.inside { background: var(--inside); margin-left: 0; } .key.outside { background: var(--outside); } .key.line { width: 0; border-left: 2px dashed currentColor; border-radius: 0; }
.examples { list-style: none; margin: 0; padding: 0; display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: 1rem; }
.examples li { display: flex; flex-direction: column; gap: .15rem; font-size: .82rem; line-height: 1.35; border-top: 3px solid var(--good); padding-top: .5rem; }
.examples li.rejected { border-color: var(--bad); }
.examples img { image-rendering: pixelated; border-radius: 3px; background: #000; }
.verdict { font-weight: 600; } .verdict strong { color: var(--bad); }
.warning { border-left: 3px solid var(--bad); padding-left: .75rem; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(17rem, 1fr)); gap: 0 2.5rem; }
dl { display: grid; grid-template-columns: auto 1fr; gap: .15rem 1rem; margin: 0; font-size: .85rem; }
dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 40rem) { body { padding: 1.5rem 1rem 3rem; } h1 { font-size: 1.7rem; } h2 { margin-top: 2.5rem; } .lead { font-size: 1.05rem; } .charts, .examples { gap: 1rem .75rem; } .examples { grid-template-columns: repeat(auto-fill, minmax(8rem, 1fr)); } table { font-size: .85rem; } th, td { padding-right: .5rem; } td { white-space: normal; } }
@page { margin: 15mm; }
@media print { :root { color-scheme: light; --inside: #0072b2; --outside: #e69f00; --ink: #000; --muted: #444; --paper: #fff; --rule: #ccc; --good: #00785a; --bad: #b54708; } * { print-color-adjust: exact; } body { font-size: 12px; } h1 { font-size: 1.8rem; } h2 { margin-top: 2rem; } .charts { grid-template-columns: repeat(3, 1fr); }
body { max-width: none; padding: 0; } .scroll { overflow: visible; } table.data { font-size: .65rem; } table.data td { white-space: normal; } h2 { break-after: avoid; } figure, li, tr { break-inside: avoid; } }
`;

/** One self-contained HTML page: no scripts, nothing fetched. */
export const renderReport = (report: RunReport): string =>
  page(
    report,
    [summary, mainTable, outOfDistribution, selective, calibration, classes, robustness, training, histograms, examples, details].map(
      (section) => section(report),
    ),
  );

/** A training that was not evaluated, as a page of the same kind. `lead`: what there is to say of it, a sentence each. */
export const renderTraining = (run: TrainingReport): string =>
  page(run, [
    `<p class="lead">${escapeHtml(run.lead.join(" "))}</p>`,
    training(run),
    run.card === undefined ? "" : details({ card: run.card, environment: run.environment }),
  ]);

export interface TrainingReport extends Pick<RunReport, "title" | "createdAt" | "history" | "epochs" | "environment"> {
  readonly lead: readonly string[];
  /** Of the model file, where the training has come to its end. */
  readonly card?: RunReport["card"];
}

function page(report: Pick<RunReport, "title" | "createdAt">, sections: readonly string[]): string {
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${escapeHtml(report.title)}</title><style>${style}</style></head>
<body>
<header><h1>${escapeHtml(report.title)}</h1><p class="date"><time datetime="${escapeHtml(report.createdAt)}">${escapeHtml(report.createdAt.slice(0, 16).replace("T", " "))} UTC</time></p></header>
<main>${sections.join("")}</main>
</body>
</html>
`;
}
