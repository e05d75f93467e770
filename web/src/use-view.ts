import { useEffect, useState } from "preact/hooks";

/** What the page shows, by its address: `#/`, `#/runs`, `#/runs/<id>`. A static host knows nothing of it. */
export type View = { readonly kind: "classify" } | { readonly kind: "runs"; readonly id: string | undefined };

export const runsAddress = (id?: string): string => (id === undefined ? "#/runs" : `#/runs/${encodeURIComponent(id)}`);

function viewOf(hash: string): View {
  const [, kind, ...rest] = hash.split("/");
  if (kind !== "runs") return { kind: "classify" };
  const id = rest.join("/");
  return { kind, id: id === "" ? undefined : decoded(id) };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // Typed by hand: no run has such a name.
    return text;
  }
}

export function useView(): View {
  const [view, setView] = useState(() => viewOf(location.hash));
  useEffect(() => {
    const change = () => setView(viewOf(location.hash));
    addEventListener("hashchange", change);
    return () => removeEventListener("hashchange", change);
  }, []);
  return view;
}
