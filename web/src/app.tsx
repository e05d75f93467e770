import type { ComponentType } from "preact";
import { useCallback, useEffect, useState } from "preact/hooks";
import { calibrationsOf, type Device, decideAt, thresholdsAt } from "../../src/browser.ts";
import { Gallery } from "./components/gallery.tsx";
import { Grid } from "./components/grid.tsx";
import { Header } from "./components/header.tsx";
import { Inputs } from "./components/inputs.tsx";
import { KeyForm } from "./components/key-form.tsx";
import { Problems } from "./components/problems.tsx";
import { percentilesOf, RejectRule } from "./components/reject-rule.tsx";
import { VerdictPanel } from "./components/verdict.tsx";
import { isSameModel, type ListedModel, listModels } from "./models.ts";
import { KeyWanted, onKeyWanted } from "./server.ts";
import { type ClassifierState, useClassifier } from "./use-classifier.ts";
import { useEvaluation } from "./use-evaluation.ts";
import { useItems } from "./use-items.ts";
import { useView } from "./use-view.ts";
import { megabytes, messageOf } from "./words.ts";

export function App() {
  const [models, setModels] = useState<readonly ListedModel[]>([]);
  const [chosen, setChosen] = useState<ListedModel>();
  const [device, setDevice] = useState<Device>("wasm");
  const [attempt, setAttempt] = useState(0);
  const [asked, setAsked] = useState<number>();
  const [problems, setProblems] = useState<readonly string[]>([]);

  const report = useCallback((message: string) => setProblems((all) => [...all.filter((one) => one !== message), message]), []);
  const [isKeyWanted, setKeyWanted] = useState(false);
  useEffect(() => onKeyWanted(() => setKeyWanted(true)), []);
  useEffect(() => {
    if (isKeyWanted) return;
    listModels().then(
      (found) => {
        setModels(found);
        setChosen((before) => [before?.name, "mnist"].map((name) => found.find((one) => one.name === name)).find(Boolean) ?? found[0]);
      },
      (error: unknown) => error instanceof KeyWanted || report(messageOf(error)),
    );
  }, [isKeyWanted, report]);
  useEffect(() => {
    // Whatever goes wrong unforeseen is at least said.
    const unforeseen = (event: ErrorEvent | PromiseRejectionEvent) => report(messageOf("reason" in event ? event.reason : event.message));
    addEventListener("error", unforeseen);
    addEventListener("unhandledrejection", unforeseen);
    return () => {
      removeEventListener("error", unforeseen);
      removeEventListener("unhandledrejection", unforeseen);
    };
  }, [report]);

  const view = useView();
  // Who came to look at runs needs no model yet; once there, it stays.
  const [isWanted, setWanted] = useState(false);
  if (view.kind === "classify" && !isWanted) setWanted(true);

  const state = useClassifier(isWanted ? chosen : undefined, device, attempt);
  const ready = state.kind === "ready" ? state : undefined;
  const card = ready?.classifier.card;
  const measured = ready?.model.measured;
  const evaluation = useEvaluation(card && measured && isSameModel(card, measured.card) ? measured.url : undefined);
  const percentile = card && (asked !== undefined && percentilesOf(card).includes(asked) ? asked : card.calibration.percentile);
  const { items, selected, show, select, invert } = useItems(ready?.classifier);

  return (
    <>
      <Header view={view} models={models} chosen={chosen} onChoose={setChosen} device={device} onDevice={setDevice} />
      <main>
        <Problems messages={problems} onDismiss={(message) => setProblems((all) => all.filter((one) => one !== message))} />
        {isKeyWanted && <KeyForm onTaken={() => setKeyWanted(false)} />}
        {!isKeyWanted && view.kind === "runs" && <LazyRuns id={view.id} onError={report} />}
        {!isKeyWanted && view.kind === "classify" && (
          <>
            <div class="columns">
              <Inputs onImages={show} onError={report} />
              <section class="panel result" aria-labelledby="result-heading">
                <h2 id="result-heading">What it says</h2>
                <Waiting state={state} hasModels={models.length > 0} onRetry={() => setAttempt(attempt + 1)} />
                {card && percentile !== undefined && selected?.seen && (
                  <VerdictPanel
                    item={selected}
                    card={card}
                    result={decideAt(selected.seen.result, card, percentile)}
                    gaussians={ready.classifier.gaussians}
                    thresholds={thresholdsAt(card, percentile).values}
                    onInvert={() => invert(selected)}
                  />
                )}
                {selected?.error !== undefined && (
                  <p class="error" role="alert">
                    {selected.error}
                  </p>
                )}
                {card && !selected && (
                  <p class="note empty">
                    Draw something, or drop an image. It answers with one of {calibrationsOf(card)[0]!.data}’s {card.classNames.length}{" "}
                    classes, or that it does not know.
                  </p>
                )}
              </section>
            </div>
            {card && percentile !== undefined && items.length > 1 && (
              <Grid items={items} selected={selected?.id} card={card} percentile={percentile} onSelect={select} />
            )}
            {card && percentile !== undefined && (
              <RejectRule card={card} measured={evaluation} percentile={percentile} onPercentile={setAsked} />
            )}
            <Gallery models={models} chosen={chosen} onChoose={setChosen} />
          </>
        )}
      </main>
      <footer>
        <p>
          Everything runs in this page; no image leaves the device. A rejection is a log-likelihood below a percentile, not a proof. Not for
          decisions about people.
        </p>
      </footer>
    </>
  );
}

type RunsComponent = ComponentType<{ readonly id: string | undefined }>;

/** The view of runs, which comes with a chart library, when it is asked for. */
function LazyRuns({ id, onError }: { readonly id: string | undefined; readonly onError: (message: string) => void }) {
  const [Runs, setRuns] = useState<RunsComponent>();
  useEffect(() => {
    import("./run-pages/runs.tsx").then(
      (module) => setRuns(() => module.Runs),
      (error: unknown) => onError(messageOf(error)),
    );
  }, [onError]);
  return Runs ? <Runs id={id} /> : <p role="status">Loading</p>;
}

interface WaitingProps {
  readonly state: ClassifierState;
  readonly hasModels: boolean;
  readonly onRetry: () => void;
}

function Waiting({ state, hasModels, onRetry }: WaitingProps) {
  if (state.kind === "failed") {
    return (
      <div class="error" role="alert">
        <p>{state.message}</p>
        <button type="button" onClick={onRetry}>
          Try again
        </button>
      </div>
    );
  }
  if (state.kind === "ready" || !hasModels) return null;
  const { loaded, total } = state;
  return (
    <p class="note loading" role="status">
      <progress aria-label="Loading the model" {...(total ? { value: loaded, max: total } : {})} />
      Loading the model{loaded > 0 ? `, ${megabytes(loaded)}${total ? ` of ${megabytes(total)}` : ""}` : ""}
    </p>
  );
}
