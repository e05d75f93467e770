import type { ListedRun, RunList, RunView } from "../../../src/evaluate/run-view.ts";
import { askForJson } from "../server.ts";

/** A run that can be looked at. */
export interface FoundRun extends ListedRun {
  /** Address of its RunView. */
  readonly file: string;
}

export interface FoundRuns extends Omit<RunList, "runs"> {
  readonly runs: readonly FoundRun[];
  /** Whether a server reads them anew whenever it is asked; else they are as they were when the page was built. */
  readonly isLive: boolean;
}

const builtWithout =
  "There are no runs here. `sdim serve MODEL --runs FOLDER` shows those of a folder, also while they are under way; `SDIM_RUNS=FOLDER npm run build` makes them part of a static page.";

/** The runs of the server that this page is from or, where it shows none, those the page was built with. Errors: what to tell the reader. */
export async function fetchRuns(): Promise<FoundRuns> {
  const served = await askForJson("v1/runs");
  if (served.kind === "json") {
    const { runs, ...rest } = served.json as RunList;
    return { runs: runs.map((run) => ({ ...run, file: `v1/runs/${encodeURIComponent(run.id)}` })), ...rest, isLive: true };
  }
  const built = served.kind === "nothing" ? await askForJson("runs.json") : served;
  if (built.kind === "json") return { ...(built.json as Omit<FoundRuns, "isLive">), isLive: false };
  throw new Error(built.kind === "refused" ? built.message : builtWithout);
}

/** Errors: what to tell the reader. */
export async function fetchRun(file: string): Promise<RunView> {
  const answer = await askForJson(file);
  if (answer.kind === "json") return answer.json as RunView;
  throw new Error(answer.kind === "refused" ? answer.message : `${file}: is not there any more`);
}
