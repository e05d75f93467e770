import { useEffect, useState } from "preact/hooks";
import { type BrowserClassifier, type Device, loadClassifier } from "../../src/browser.ts";
import type { ListedModel } from "./models.ts";
import { fetchModelFile } from "./server.ts";
import { messageOf } from "./words.ts";

export type ClassifierState =
  | { readonly kind: "loading"; readonly loaded: number; readonly total: number | undefined }
  | { readonly kind: "ready"; readonly classifier: BrowserClassifier; readonly model: ListedModel }
  | { readonly kind: "failed"; readonly message: string };

const begin: ClassifierState = { kind: "loading", loaded: 0, total: undefined };

/** The classifier of the model and device chosen; the one before it is let go of. */
export function useClassifier(model: ListedModel | undefined, device: Device, attempt: number): ClassifierState {
  const [state, setState] = useState<ClassifierState>(begin);
  useEffect(() => {
    if (!model) return;
    const stop = new AbortController();
    setState(begin);
    const onProgress = (loaded: number, total: number | undefined) => stop.signal.aborted || setState({ kind: "loading", loaded, total });
    const loading = fetchModelFile(model.file, stop.signal, onProgress).then((file) => loadClassifier(file, { device }));
    loading.then(
      (classifier) => stop.signal.aborted || setState({ kind: "ready", classifier, model }),
      (error: unknown) => stop.signal.aborted || setState({ kind: "failed", message: messageOf(error) }),
    );
    return () => {
      stop.abort();
      // What it has not answered by then is asked again of the next one.
      loading.then(
        (classifier) => classifier.release(),
        () => undefined,
      );
    };
  }, [model, device, attempt]);
  return state;
}
