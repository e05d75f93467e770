import { useMemo } from "preact/hooks";
import { robustnessCurve, worstCaseColumns, worstCaseRows } from "../../../src/evaluate/report/robustness-chart.ts";
import type { RunView } from "../../../src/evaluate/run-view.ts";
import { DataTable, Figure } from "./parts.tsx";

/** What `sdim attack --standard` did to the run's model. */
export function Attacked({ robustness: { report, words } }: { readonly robustness: NonNullable<RunView["robustness"]> }) {
  const chart = useMemo(() => robustnessCurve(report), [report]);
  return (
    <section class="panel" aria-labelledby="attacked-heading">
      <h2 id="attacked-heading">Under attack</h2>
      <p>{words.join(" ")}</p>
      {report.warnings.map(({ text }) => (
        <p key={text} class="error">
          {text}
        </p>
      ))}
      <p class="note">
        <span class="key inside" aria-hidden="true" /> the paper’s gradient attacks <span class="key outside" aria-hidden="true" /> all
        attacks. Solid: wrong and accepted. Dashed: wrong, accepted or not.
      </p>
      <Figure title="Success against the size of the perturbation" chart={chart} />
      <DataTable
        caption={`Worst case per image over all ${report.attacks.length} attacks, thresholds at percentile ${report.percentile}. [low, high]: 95% Wilson interval.`}
        columns={worstCaseColumns}
        rows={worstCaseRows(report)}
      />
    </section>
  );
}
