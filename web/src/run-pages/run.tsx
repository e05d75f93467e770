import { useMemo } from "preact/hooks";
import { titleOf, trainingCurves, validationCurves } from "../../../src/evaluate/report/charts.ts";
import type { RunView } from "../../../src/evaluate/run-view.ts";
import { runsAddress } from "../use-view.ts";
import { percent } from "../words.ts";
import { type FoundRun, fetchRun } from "./api.ts";
import { Attacked } from "./attacked.tsx";
import { Measured } from "./measured.tsx";
import { DataTable, Figures, Heading } from "./parts.tsx";
import { useFetched } from "./use-fetched.ts";
import { dateOf, duration, stateWords } from "./words.ts";

interface RunPageProps {
  readonly run: FoundRun;
  readonly isLive: boolean;
}

/** While it is under way, and else: it may be resumed, evaluated or attacked. */
const [pollRunningMs, pollMs] = [2000, 10_000];

/** All that a run's folder has to show. */
export function RunPage({ run: { id, file }, isLive }: RunPageProps) {
  const { value: run, problem } = useFetched(
    file,
    () => fetchRun(file),
    (found) => (isLive ? (found?.state.kind === "running" ? pollRunningMs : pollMs) : undefined),
  );
  return (
    <>
      <section class="panel" aria-labelledby="run-heading">
        <p>
          <a href={runsAddress()}>All runs</a>
        </p>
        <Heading id="run-heading">{id}</Heading>
        {!run && problem === undefined && <p role="status">Reading the run</p>}
        {problem !== undefined && (
          <p class="error" role="alert">
            {problem}
          </p>
        )}
        {run && <Lead run={run} />}
      </section>
      {run && <Training run={run} />}
      {run?.evaluation && <Measured record={run.evaluation} />}
      {run?.robustness && <Attacked robustness={run.robustness} />}
      {run && <Config run={run} />}
    </>
  );
}

function Lead({ run }: { readonly run: RunView }) {
  const { state, data, epochs, config, history, elapsedSeconds, measured, changedAt, hasEvaluation, problems } = run;
  const accuracy = measured["testAccuracy"] ?? run.validationAccuracy;
  const facts: readonly (readonly [string, string | undefined])[] = [
    ["state", stateWords(state)],
    ["data", data ?? undefined],
    ["epochs", config ? `${Number(epochs.toFixed(2))} of ${config.epochs}` : String(Number(epochs.toFixed(2)))],
    ["loss", history.length > 0 ? `from ${history[0]!.loss.toPrecision(3)} to ${history.at(-1)!.loss.toPrecision(3)}` : undefined],
    [
      measured["testAccuracy"] === undefined ? "held-out images right" : "test images right",
      accuracy === null ? undefined : percent(accuracy),
    ],
    ["time", elapsedSeconds === null ? undefined : duration(elapsedSeconds)],
    ["last written", dateOf(changedAt)],
  ];
  return (
    <>
      <dl class="facts">
        {facts.map(
          ([name, value]) =>
            value !== undefined && (
              <div key={name}>
                <dt>{name}</dt>
                <dd>{value}</dd>
              </div>
            ),
        )}
      </dl>
      {state.kind === "running" && config && (
        <progress class="whole" aria-label="Epochs done" value={Math.min(epochs, config.epochs)} max={config.epochs} />
      )}
      {problems.map((problem) => (
        <p key={problem} class="error" role="alert">
          {problem}
        </p>
      ))}
      {!hasEvaluation && <p class="note">It has no evaluation.json: sdim evaluate --out writes one into the folder.</p>}
    </>
  );
}

function Training({ run }: { readonly run: RunView }) {
  const { history, epochRecords, counts } = run;
  const charts = useMemo(() => [...trainingCurves(history), ...validationCurves(epochRecords)], [history, epochRecords]);
  if (history.length === 0) return null;
  const parts = Object.keys(epochRecords[0]?.parts ?? {});
  const isValidated = epochRecords.some(({ validation }) => validation !== null);
  const number = (value: number | null | undefined) => (value === null || value === undefined ? "–" : String(Number(value.toPrecision(4))));
  const rows = epochRecords.map((record) => [
    number(record.epoch),
    number(record.loss),
    ...parts.map((part) => number(record.parts[part])),
    percent(record.trainAccuracy),
    ...(isValidated
      ? record.validation
        ? [
            percent(record.validation.accuracy),
            number(record.validation.logLikelihood),
            record.validation.rejectionRate === null ? "–" : percent(record.validation.rejectionRate),
          ]
        : ["–", "–", "–"]
      : []),
    duration(record.seconds),
  ]);
  return (
    <section class="panel" aria-labelledby="training-heading">
      <h2 id="training-heading">Training</h2>
      {history.length < counts.history && (
        <p class="note">
          The curves show {history.length.toLocaleString("en")} of {counts.history.toLocaleString("en")} records, evenly spaced.
        </p>
      )}
      <Figures charts={charts} />
      {rows.length > 0 && (
        <details>
          <summary>The epochs as a table</summary>
          <DataTable
            caption={`${rows.length === counts.epochRecords ? "Every epoch" : `${rows.length} of ${counts.epochRecords} epochs`}: averages over its steps, in the order of the training.`}
            columns={[
              "epoch",
              "loss",
              ...parts.map((part) => titleOf(part).toLowerCase()),
              "training accuracy",
              ...(isValidated ? ["validation accuracy", "validation log-likelihood, nats", "validation rejected"] : []),
              "time",
            ]}
            rows={rows}
          />
        </details>
      )}
    </section>
  );
}

function Config({ run: { config, changedKeys } }: { readonly run: RunView }) {
  if (!config) return null;
  const show = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value));
  return (
    <section class="panel" aria-labelledby="config-heading">
      <h2 id="config-heading">Config</h2>
      <DataTable
        caption={changedKeys.length === 0 ? "All values are the defaults." : "Marked: not the defaults."}
        columns={["key", "value", "default?"]}
        rows={Object.entries(config).map(([key, value]) => {
          const isChanged = changedKeys.includes(key);
          return [key, isChanged ? <strong>{show(value)}</strong> : show(value), isChanged ? "no" : "yes"];
        })}
      />
    </section>
  );
}
