import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { arch, cpus, loadavg, platform } from "node:os";
import { writeFileAtomic } from "../src/core/files.ts";
import { packageVersion } from "../src/core/version.ts";
import { runtimeVersion } from "../src/runtime/session.ts";

/** On what, with what and when a figure was measured. */
export interface Circumstances {
  readonly command: string;
  readonly at: string;
  readonly commit: string;
  readonly sdim: string;
  readonly node: string;
  readonly onnxruntime: string;
  readonly os: string;
  readonly machine: string;
  readonly cores: number;
  readonly loadBefore: number;
}

export function circumstances(): Circumstances {
  return {
    command: `npm run bench -- ${process.argv.slice(2).join(" ")}`,
    at: new Date().toISOString(),
    commit: commit(),
    sdim: packageVersion(),
    node: process.version,
    onnxruntime: runtimeVersion(),
    os: `${platform()} ${arch()}`,
    machine: cpus()[0]?.model ?? "unknown",
    cores: cpus().length,
    loadBefore: loadavg()[0]!,
  };
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
