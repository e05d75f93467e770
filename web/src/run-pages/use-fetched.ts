import { useEffect, useState } from "preact/hooks";
import { messageOf } from "../words.ts";

export interface Fetched<T> {
  readonly value: T | undefined;
  /** Why there is none, or none newer. */
  readonly problem: string | undefined;
}

/**
 * Asks at once, and again so many ms after each answer while the page is looked at (undefined: not again). A failure leaves what was there.
 * `key`: another one is another question.
 */
export function useFetched<T>(key: string, ask: () => Promise<T>, pauseAfter: (value: T | undefined) => number | undefined): Fetched<T> {
  const [state, setState] = useState<Fetched<T> & { readonly key: string }>({ key, value: undefined, problem: undefined });
  useEffect(() => {
    let isCurrent = true;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let last: T | undefined;
    const again = () => {
      const pause = pauseAfter(last);
      if (isCurrent && pause !== undefined) timer = setTimeout(look, pause);
    };
    const look = async () => {
      if (document.hidden) return again();
      try {
        const value = await ask();
        if (!isCurrent) return;
        // What has not changed is not drawn anew.
        if (JSON.stringify(value) !== JSON.stringify(last)) last = value;
        const kept = last;
        setState((before) =>
          before.key === key && before.value === kept && !before.problem ? before : { key, value: kept, problem: undefined },
        );
      } catch (error) {
        if (!isCurrent) return;
        setState({ key, value: last, problem: messageOf(error) });
      }
      again();
    };
    void look();
    return () => {
      isCurrent = false;
      clearTimeout(timer);
    };
  }, [key]);
  return state.key === key ? state : { value: undefined, problem: undefined };
}
