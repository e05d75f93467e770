import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { type Circumstances, circumstances, commandLine } from "../src/core/circumstances.ts";
import { writeFileAtomic } from "../src/core/files.ts";
import { runtimeVersion } from "../src/runtime/session.ts";

/** On what, with what, when and at which commit a benchmark ran. */
export interface BenchCircumstances extends Omit<Circumstances, "load"> {
  readonly commit: string;
  readonly loadBefore: number;
}

export function benchCircumstances(): BenchCircumstances {
  const { load, ...rest } = circumstances(commandLine("npm run bench --", process.argv.slice(2)), runtimeVersion());
  return { ...rest, commit: commit(), loadBefore: load };
}

/** Short hash; with a "+" where tracked files differ from it. */
function commit(): string {
  try {
    const git = (...args: string[]) => execFileSync("git", args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
    return (
      git("rev-parse", "--short", "HEAD") + (git("status", "--porcelain", "--untracked-files=no", "--", "src", "bench") === "" ? "" : "+")
    );
  } catch {
    return "unknown";
  }
}

/** Adds a run to a results file, in place of an earlier one of the same command. */
export function record(path: string, run: { readonly command: string }): void {
  const file = existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as { runs: { command: string }[] }) : { runs: [] };
  const runs = [...file.runs.filter(({ command }) => command !== run.command), run];
  writeFileAtomic(path, `${JSON.stringify({ what: "Benchmarks of sdim; see docs/performance.md", runs }, null, 2)}\n`);
}
