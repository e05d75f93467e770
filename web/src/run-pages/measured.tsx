import { useMemo, useState } from "preact/hooks";
import { nameOfThresholds } from "../../../src/evaluate/evaluation.ts";
import { classHistograms, comparedScores, histogramsHeading } from "../../../src/evaluate/report/charts.ts";
import { confusionMatrix, reliabilityDiagram, riskCoverage, rocCurveOf } from "../../../src/evaluate/report/metric-charts.ts";
import { detectionTable, oodRejectionTable } from "../../../src/evaluate/report/metric-tables.ts";
import type { Example } from "../../../src/evaluate/report/types.ts";
import type { RunView } from "../../../src/evaluate/run-view.ts";
import { imagesOf, intervalNote, summaryRows } from "../../../src/evaluate/summary.ts";
import { DataTable, Figures } from "./parts.tsx";
import { dateOf } from "./words.ts";

type RunRecord = NonNullable<RunView["evaluation"]>;

/** What `sdim evaluate` measured of the run's model. */
export function Measured({ record }: { readonly record: RunRecord }) {
  const { evaluation, circumstances, display } = record;
  const charts = useMemo(
    () => [
      ...evaluation.ood.map((set) => ({ title: `ROC curve, ${set.data} positive`, ...rocCurveOf(set) })),
      { title: "Risk-coverage curve", ...riskCoverage(evaluation) },
      { title: "Reliability diagram", ...reliabilityDiagram(evaluation) },
    ],
    [evaluation],
  );
  const confusion = useMemo(() => [{ title: "Confusion matrix, without rejection", ...confusionMatrix(evaluation) }], [evaluation]);
  const tables = evaluation.ood.length === 0 ? [] : [detectionTable(evaluation), oodRejectionTable(evaluation)];
  return (
    <>
      <section class="panel" aria-labelledby="measured-heading">
        <h2 id="measured-heading">What was measured</h2>
        <DataTable
          caption={intervalNote(evaluation) ?? "Without intervals."}
          columns={["measure", ...evaluation.rejection.map((row) => `percentile ${nameOfThresholds(row)}`)]}
          rows={summaryRows(evaluation).map(({ what, values }) => [what, ...values])}
        />
        {tables.map((table) => (
          <DataTable key={table.caption} {...table} />
        ))}
        <p class="legend">
          {circumstances.command}, {dateOf(circumstances.at)}, sdim {circumstances.sdim}
        </p>
        <Figures charts={charts} />
        <details>
          <summary>Which classes are confused</summary>
          <Figures charts={confusion} />
        </details>
      </section>
      {display && <Histograms record={record} display={display} />}
      {display && <Examples display={display} model={record.model} />}
    </>
  );
}

interface DisplayProps {
  readonly display: NonNullable<RunRecord["display"]>;
}

function Histograms({ record: { evaluation, model }, display }: DisplayProps & { readonly record: RunRecord }) {
  const { scores, thresholds } = display;
  const sets = scores.outOfDistribution.map(({ data }) => data);
  const [chosen, choose] = useState(0);
  const index = chosen < sets.length ? chosen : undefined;
  const { classNames } = evaluation;
  const charts = useMemo(
    () => (scores.inDistribution.length === 0 ? [] : classHistograms({ scores, thresholds, card: { classNames, model } }, index)),
    [scores, thresholds, classNames, model, index],
  );
  if (charts.length === 0) return null;
  return (
    <section class="panel" aria-labelledby="histograms-heading">
      <h2 id="histograms-heading">{histogramsHeading(model)}, by class</h2>
      {sets.length > 1 && (
        <label class="choice">
          Against
          <select value={String(index)} onChange={(event) => choose(Number(event.currentTarget.value))}>
            {sets.map((data, i) => (
              <option key={data} value={String(i)}>
                {data}
              </option>
            ))}
          </select>
        </label>
      )}
      <p class="note">
        <span class="key inside" aria-hidden="true" /> {imagesOf(evaluation)} of the class
        {index !== undefined && (
          <>
            {" "}
            <span class="key outside" aria-hidden="true" /> {sets[index]} images
          </>
        )}{" "}
        <span class="key line" aria-hidden="true" /> thresholds at percentile {thresholds.map(({ percentile }) => percentile).join(" and ")}
        . Long tails are gathered in the first and last bars.
      </p>
      <Figures charts={charts} />
    </section>
  );
}

function Examples({ display, model }: DisplayProps & Pick<RunRecord, "model">) {
  const groups = display.examples.filter(({ examples }) => examples.length > 0);
  if (groups.length === 0) return null;
  return (
    <section class="panel" aria-labelledby="examples-heading">
      <h2 id="examples-heading">What it said</h2>
      {groups.map(({ title, examples }) => (
        <details key={title}>
          <summary>{title}</summary>
          <ul class="examples">
            {examples.map((example, i) => (
              <li key={i} class={example.accepted ? "accepted" : "rejected"}>
                <img class="pixels" src={example.png} alt={truthOf(example)} />
                <strong>{example.accepted ? example.label : `rejected, closest to ${example.label}`}</strong>
                <span class="small">
                  {truthOf(example)}; {comparedScores(model, example)}
                </span>
              </li>
            ))}
          </ul>
        </details>
      ))}
    </section>
  );
}

const truthOf = ({ source, trueLabel }: Example): string => (trueLabel === null ? source : `${source}: ${trueLabel}`);
