import { useEffect, useRef, useState } from "preact/hooks";
import { offerKey } from "../server.ts";

/** Asks for the API key until the server takes one. */
export function KeyForm({ onTaken }: { readonly onTaken: () => void }) {
  const [problem, setProblem] = useState<string>();
  const field = useRef<HTMLInputElement>(null);
  // There is nothing else to do in the page until then.
  useEffect(() => field.current!.focus(), []);

  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    setProblem(undefined);
    const refusal = await offerKey(field.current!.value);
    if (refusal === undefined) return onTaken();
    setProblem(refusal);
    field.current?.select();
  };
  return (
    <section class="panel" aria-labelledby="key-heading">
      <h2 id="key-heading">This server asks for its API key</h2>
      <form class="key-form" onSubmit={submit}>
        <label for="api-key">API key</label>
        <div class="row">
          <input
            ref={field}
            id="api-key"
            type="password"
            required
            autocomplete="off"
            aria-invalid={problem !== undefined}
            aria-describedby={problem === undefined ? "key-note" : "key-problem key-note"}
          />
          <button type="submit" class="primary">
            Use this key
          </button>
        </div>
        {problem !== undefined && (
          <p id="key-problem" class="error" role="alert">
            {problem}
          </p>
        )}
        <p id="key-note" class="note">
          Whoever runs the server has it. This page keeps it in memory only: closed or loaded anew, it asks again.
        </p>
      </form>
    </section>
  );
}
