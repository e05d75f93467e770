import { existsSync, readdirSync, type Stats, statSync } from "node:fs";
import { join, resolve, sep } from "node:path";
import { UserError } from "../core/errors.ts";
import { oneOf } from "../core/names.ts";
import { lockHolder } from "../train/lock.ts";
import type { EpochRecord, HistoryRecord } from "../train/records.ts";
import { type RunSummary, summaryOf } from "../train/run-summary.ts";
import { differencesFrom, filesOfRun, isRun, type Run, readRun } from "../train/runs.ts";
import { thinned } from "./metrics/ranking.ts";
import { type EvaluationView, type ReadRecord, readRecord } from "./record-schema.ts";
import { inPlainWords, type RobustnessReport } from "./robustness/report.ts";
import { readRobustness } from "./robustness/report-schema.ts";

// What the web page shows of the runs of a folder: read by the server again and again, and by the build of a static site once.

export const evaluationPath = (run: string): string => join(run, "evaluation.json");
export const robustnessPath = (run: string): string => join(run, "robustness.json");

/** A run in a list. */
export interface ListedRun extends RunSummary {
  /** Name of its folder. */
  readonly id: string;
  /** When one of its files was last written, ISO 8601. */
  readonly changedAt: string;
  readonly hasEvaluation: boolean;
  readonly hasRobustness: boolean;
}

export interface RunList {
  /** By name. */
  readonly runs: readonly ListedRun[];
  /** So many more are in the folder. */
  readonly leftOut: number;
}

/** One run in full. */
export interface RunView extends ListedRun {
  /** Keys of the config whose values are not the defaults. */
  readonly changedKeys: readonly string[];
  /** Evenly spaced where there are too many, the first and the last among them. */
  readonly history: readonly HistoryRecord[];
  readonly epochRecords: readonly EpochRecord[];
  /** How many there are of each. */
  readonly counts: { readonly history: number; readonly epochRecords: number };
  readonly evaluation: EvaluationView | null;
  readonly robustness: { readonly report: RobustnessReport; readonly words: readonly string[] } | null;
  /** What of its files cannot be read, and why. */
  readonly problems: readonly string[];
}

/** A chart has no more pixels. */
const mostRecords = 1000;
const mostRuns = 1000;

/** Errors: UserError when there is no such folder. */
export function requireFolder(folder: string): void {
  if (!existsSync(folder) || !statSync(folder).isDirectory()) throw new UserError(`runs: there is no folder ${folder}`);
}

/** The runs right inside a folder, by the names of their folders. What is asked for is looked up among these; a path it never is. */
export class RunFolder {
  private readonly folder: string;
  /** Summaries with what the files were when they were read: a model file is large. */
  private kept = new Map<string, { readonly files: string; readonly run: ListedRun }>();

  /** Errors: UserError when there is no such folder. */
  constructor(folder: string) {
    requireFolder(folder);
    // Whole, so that it can be told from other words of a message: "." and "a" would not.
    this.folder = resolve(folder);
  }

  list(): RunList {
    const { ids, leftOut } = this.ids();
    const kept: typeof this.kept = new Map();
    for (const id of ids) {
      const files = versionOf(this.pathOf(id));
      const before = this.kept.get(id);
      try {
        kept.set(id, before?.files === files ? before : { files, run: this.listed(id, readRun(this.pathOf(id))) });
      } catch (error) {
        // It was a run's folder a moment ago, and is none now.
        if (!(error instanceof UserError)) throw error;
      }
    }
    this.kept = kept;
    return { runs: [...kept.values()].map(({ run }) => run), leftOut };
  }

  /** Errors: UserError when there is no run of that name; it names the nearest. */
  read(id: string): RunView {
    const { ids } = this.ids();
    if (ids.length === 0) throw new UserError(`unknown run "${id}": there are none`);
    const folder = this.pathOf(oneOf("run", id, ids));
    const run = readRun(folder);
    const problems = run.state.kind === "broken" ? [this.without(folder, run.state.reason)] : [];
    const attempt = <T>(path: string, read: (path: string) => T): T | null => {
      if (!existsSync(path)) return null;
      try {
        return read(path);
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        problems.push(this.without(folder, error.message));
        return null;
      }
    };
    const record = attempt(evaluationPath(folder), readRecord);
    const report = attempt(robustnessPath(folder), (path) => readRobustness(path, record?.modelFile.sha256));
    const { history, epochs, config } = run;
    return {
      ...this.listed(id, run),
      changedKeys: config ? Object.keys(differencesFrom(config)) : [],
      history: thinned(history.length, mostRecords).map((i) => history[i]!),
      epochRecords: thinned(epochs.length, mostRecords).map((i) => epochs[i]!),
      counts: { history: history.length, epochRecords: epochs.length },
      evaluation: record && viewOf(record),
      robustness: report && { report, words: inPlainWords(report) },
      problems,
    };
  }

  private ids(): { readonly ids: readonly string[]; readonly leftOut: number } {
    const inside = readdirSync(this.folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    const names = inside.map(({ name }) => name).filter((id) => isRun(this.pathOf(id)));
    return { ids: names.sort().slice(0, mostRuns), leftOut: Math.max(0, names.length - mostRuns) };
  }

  private pathOf(id: string): string {
    return join(this.folder, id);
  }

  private listed(id: string, run: Run): ListedRun {
    const summary = summaryOf(run);
    const { state } = summary;
    return {
      id,
      ...summary,
      state: state.kind === "broken" ? { kind: "broken", reason: this.without(run.folder, state.reason) } : state,
      changedAt: new Date(Math.max(0, ...statsOf(run.folder).map((found) => found?.mtimeMs ?? 0))).toISOString(),
      hasEvaluation: existsSync(evaluationPath(run.folder)),
      hasRobustness: existsSync(robustnessPath(run.folder)),
    };
  }

  /** Where the folder lies is nobody's business. */
  private without(folder: string, text: string): string {
    return text.replaceAll(`${folder}${sep}`, "").replaceAll(folder, "the run");
  }
}

function viewOf({ modelFile: { model }, ...rest }: ReadRecord): EvaluationView {
  const { head, depth, rejectBy, testTimeFlip } = model;
  return { ...rest, model: { head, depth, rejectBy, testTimeFlip } };
}

const statsOf = (folder: string): (Stats | undefined)[] =>
  [...filesOfRun(folder), evaluationPath(folder), robustnessPath(folder)].map((path) =>
    existsSync(path) ? statSync(path, { throwIfNoEntry: false }) : undefined,
  );

/** Differs when what is in the files may have changed, or who is at work in the folder. */
function versionOf(folder: string): string {
  const stats = statsOf(folder);
  const files = stats.map((found) => (found ? `${found.mtimeMs} ${found.size} ${found.ino}` : "-"));
  const isReadable = stats.every((found) => found === undefined || found.isFile());
  return [...files, isReadable && lockHolder(folder) !== undefined ? "at work" : "idle"].join("\n");
}
