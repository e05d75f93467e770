import type { ModelCard } from "../../../src/browser.ts";
import type { Evaluation, RejectionRow } from "../../../src/evaluate/evaluation.ts";
import type { EvaluationState } from "../use-evaluation.ts";
import { ordinal, percent } from "../words.ts";

interface RejectRuleProps {
  readonly card: ModelCard;
  readonly measured: EvaluationState;
  readonly percentile: number;
  readonly onPercentile: (percentile: number) => void;
}

export const percentilesOf = ({ calibration }: ModelCard): readonly number[] =>
  calibration.thresholds.map(({ percentile }) => percentile).sort((a, b) => a - b);

/** How strict to be, and what that does to images the model knows and to those it does not. */
export function RejectRule({ card, measured, percentile, onPercentile }: RejectRuleProps) {
  const percentiles = percentilesOf(card);
  const { data } = card.calibration;
  return (
    <section class="panel rule" aria-labelledby="rule-heading">
      <h2 id="rule-heading">How strict should it be?</h2>
      <label class="slider">
        <span>
          Reject what scores below the <strong>{ordinal(percentile)} percentile</strong> of its class’s training images ({data})
        </span>
        <input
          type="range"
          min={0}
          max={percentiles.length - 1}
          step={1}
          value={percentiles.indexOf(percentile)}
          aria-valuetext={`${ordinal(percentile)} percentile`}
          onInput={(event) => onPercentile(percentiles[Number(event.currentTarget.value)]!)}
        />
        <span class="ticks" aria-hidden="true">
          {percentiles.map((one) => (
            <span key={one} class={one === percentile ? "current" : ""}>
              {one}
            </span>
          ))}
        </span>
      </label>
      {measured.kind === "ready" && <Measured evaluation={measured.evaluation} percentile={percentile} source={card.calibration.source} />}
      {measured.kind === "failed" && <p class="note">{measured.message}</p>}
      {measured.kind === "none" && <p class="note">What this does to test images has not been measured for this model file.</p>}
    </section>
  );
}

interface MeasuredProps {
  readonly evaluation: Evaluation;
  readonly percentile: number;
  readonly source: string | undefined;
}

function Measured({ evaluation, percentile, source }: MeasuredProps) {
  const atChosen = <Row extends Pick<RejectionRow, "percentile" | "source">>(rows: readonly Row[]): Row | undefined =>
    rows.find((row) => row.percentile === percentile && (source === undefined || row.source === source));
  const row = atChosen(evaluation.rejection);
  if (!row) {
    const known = evaluation.rejection.map((one) => one.percentile).join(", ");
    return (
      <p class="note" role="status">
        The verdicts above are by this percentile. What it does to the test images was measured at {known} only.
      </p>
    );
  }
  const interval = ({ low, high }: { readonly low: number; readonly high: number }) => `95% interval ${percent(low)} to ${percent(high)}`;
  return (
    <div class="measured">
      <dl>
        <div>
          <dt>test images rejected</dt>
          <dd>{percent(row.rejectionRate)}</dd>
          <dd class="small">{interval(row.intervals.rejectionRate!)}</dd>
        </div>
        <div>
          <dt>right among the accepted</dt>
          <dd>{row.selectiveAccuracy === null ? "none accepted" : percent(row.selectiveAccuracy)}</dd>
          <dd class="small">{percent(evaluation.accuracy)} if nothing were rejected</dd>
        </div>
      </dl>
      <div>
        <h3>Images unlike its training data: share rejected</h3>
        <ul class="ood">
          {evaluation.ood.map((set) => (
            <li key={set.data}>
              <span class="name">{set.data}</span>
              <span class="track" aria-hidden="true">
                <span class="bar" style={{ width: percent(atChosen(set.rejection)!.decisionRejectionRate) }} />
                {set.rejection.map((other) => (
                  <span key={other.percentile} class="tick" style={{ left: percent(other.decisionRejectionRate) }} />
                ))}
              </span>
              <span class="value">{percent(atChosen(set.rejection)!.decisionRejectionRate)}</span>
            </li>
          ))}
        </ul>
        <p class="legend">
          Measured on {evaluation.count.toLocaleString("en")} test images of {evaluation.data} and the sets named. Ticks: the other
          percentiles.
        </p>
      </div>
    </div>
  );
}
