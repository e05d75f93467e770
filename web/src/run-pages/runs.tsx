import { runsAddress } from "../use-view.ts";
import { percent } from "../words.ts";
import { type FoundRun, fetchRuns } from "./api.ts";
import { DataTable, Heading } from "./parts.tsx";
import { RunPage } from "./run.tsx";
import { useFetched } from "./use-fetched.ts";
import { dateOf, stateWords } from "./words.ts";

const pollMs = 5000;

/** The runs there are, or one of them. */
export function Runs({ id }: { readonly id: string | undefined }) {
  const { value, problem } = useFetched("runs", fetchRuns, (runs) => (runs && !runs.isLive ? undefined : pollMs));
  const chosen = id === undefined ? undefined : value?.runs.find((run) => run.id === id);
  if (value && chosen) return <RunPage key={chosen.id} run={chosen} isLive={value.isLive} />;
  return (
    <section class="panel" aria-labelledby="runs-heading">
      <Heading id="runs-heading">Training runs</Heading>
      {!value && problem === undefined && <p role="status">Reading the runs</p>}
      {problem !== undefined && (
        <p class="note" role="status">
          {problem}
        </p>
      )}
      {value && id !== undefined && (
        <p class="error" role="alert">
          There is no run “{id}”.
        </p>
      )}
      {value && <RunTable runs={value.runs} leftOut={value.leftOut} isLive={value.isLive} />}
    </section>
  );
}

interface RunTableProps {
  readonly runs: readonly FoundRun[];
  readonly leftOut: number;
  readonly isLive: boolean;
}

const columns = ["run", "state", "data", "epochs", "loss", "validation", "test", "last written"];

/** What is under way first, then what was written last. */
const newestFirst = (a: FoundRun, b: FoundRun): number =>
  Number(b.state.kind === "running") - Number(a.state.kind === "running") || b.changedAt.localeCompare(a.changedAt);

function RunTable({ runs, leftOut, isLive }: RunTableProps) {
  if (runs.length === 0) return <p class="note">The folder holds no runs yet.</p>;
  const share = (fraction: number | null | undefined) => (fraction === null || fraction === undefined ? "–" : percent(fraction));
  const rows = [...runs].sort(newestFirst).map((run) => [
    <a key={run.id} href={runsAddress(run.id)}>
      {run.id}
    </a>,
    stateWords(run.state),
    run.data ?? "–",
    String(Number(run.epochs.toFixed(2))),
    run.loss?.toFixed(3) ?? "–",
    share(run.validationAccuracy),
    share(run.measured["testAccuracy"]),
    dateOf(run.changedAt),
  ]);
  const caption = `${runs.length} ${runs.length === 1 ? "run" : "runs"}${isLive ? "" : ", as they were when this page was built"}${leftOut > 0 ? `; ${leftOut} more are in the folder` : ""}`;
  return <DataTable caption={caption} columns={columns} rows={rows} />;
}
