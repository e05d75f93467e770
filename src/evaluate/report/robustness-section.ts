import { escapeHtml } from "../../core/markup.ts";
import { inPlainWords, type RobustnessReport } from "../robustness/report.ts";
import { shownEpsilon, showRate } from "../robustness/table.ts";
import { percent } from "../summary.ts";
import { draw } from "./draw.ts";
import { htmlTable } from "./html-table.ts";
import { robustnessCurve, worstCaseColumns, worstCaseRows } from "./robustness-chart.ts";
import type { RunReport } from "./types.ts";

// What attacks do to the classifier: in words, as a curve, worst cases, and attack by attack.

export function robustness({ robustness: report }: RunReport): string {
  if (!report) return "";
  const { attacked, percentile, twin, warnings } = report;
  const words = inPlainWords(report).map((sentence) => escapeHtml(sentence));
  const signs = warnings.map(({ text }) => `<p class="warning"><strong>Warning.</strong> ${escapeHtml(text)}</p>`);
  return `<section><h2>Under attack</h2>
<h3>In plain words</h3><p>${words.join(" ")}</p>${signs.join("")}
<h3>Success against the size of the perturbation</h3>
<p><span class="key inside"></span> the paper’s gradient attacks (FGSM and PGD with cross-entropy, DeepFool, C&amp;W) <span class="key outside"></span> all attacks. Solid: wrong and accepted. Dashed: wrong, accepted or not.</p>
${draw(robustnessCurve(report))}
<h3>Worst case per image over all attacks</h3>${htmlTable({ columns: worstCaseColumns, rows: worstCaseRows(report) })}
<h3>Attack by attack</h3>${attackTable(report)}
<p>Shares of ${attacked.toLocaleString("en")} images that are classified correctly unattacked, where no other number is said. Rejection by thresholds at percentile ${percentile}. ${twin === null ? "Nothing was transferred from another model." : `The transferred attack was made on ${escapeHtml(twin)}.`} [low, high]: 95% Wilson interval.</p></section>`;
}

function attackTable({ attacks, attacked }: RobustnessReport): string {
  const rows = attacks.flatMap(({ entry, summary }) =>
    summary.outcomes.map(({ epsilon, percentiles: [first], survivesRounding, zeroGradients, queries }) => [
      // What was transferred was made of those that both models have right.
      `${entry.id} (${entry.role}${first!.attacked.attacked === attacked ? "" : `, ${first!.attacked.attacked} images`})`,
      `${summary.distance} ${epsilon === null ? "any" : shownEpsilon(epsilon)}`,
      showRate(first!.attacked.success),
      showRate(first!.attacked.detection),
      showRate(first!.attacked.evasion),
      percent(survivesRounding.value),
      percent(zeroGradients),
      String(Math.round((queries.scores ?? 0) + (queries.gradients ?? 0))),
    ]),
  );
  const columns = ["attack", "within", "success", "detected", "wrong and accepted", "survives 8 bits", "zero gradients", "queries"];
  return htmlTable({ columns, rows });
}
