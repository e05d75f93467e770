import { useEffect, useState } from "preact/hooks";
import type { Evaluation } from "../../src/evaluate/evaluation.ts";
import { fetchEvaluation } from "./models.ts";
import { messageOf } from "./words.ts";

export type EvaluationState =
  | { readonly kind: "none" }
  | { readonly kind: "loading" }
  | { readonly kind: "ready"; readonly evaluation: Evaluation }
  | { readonly kind: "failed"; readonly message: string };

const none: EvaluationState = { kind: "none" };

/** What was measured of a model; `none` where nothing was. */
export function useEvaluation(url: string | undefined): EvaluationState {
  const [state, setState] = useState<EvaluationState>(none);
  useEffect(() => {
    if (url === undefined) return setState(none);
    let isCurrent = true;
    setState({ kind: "loading" });
    fetchEvaluation(url).then(
      (evaluation) => isCurrent && setState({ kind: "ready", evaluation }),
      (error: unknown) => isCurrent && setState({ kind: "failed", message: messageOf(error) }),
    );
    return () => {
      isCurrent = false;
    };
  }, [url]);
  return state;
}
