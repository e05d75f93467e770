import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { Worker, type WorkerOptions } from "node:worker_threads";
import { InternalError, messageOf, UserError } from "./errors.ts";

const isSource = (url: string): boolean => url.endsWith(".ts");

/** The module `name` beside the module `beside` (its import.meta.url): built, it is JavaScript; from the sources (tests, benchmarks), TypeScript. */
export const entryBeside = (beside: string, name: string): URL => new URL(`./${name}.${isSource(beside) ? "ts" : "js"}`, beside);

/**
 * Starts a thread. It does not inherit what compiles the TypeScript of its parent (vitest compiles in memory; on Node 20 `--import tsx` does
 * not reach a thread's entry), so from the sources it starts with a line that registers tsx and then imports the entry.
 */
export function startWorker(entry: URL, options: Pick<WorkerOptions, "workerData" | "transferList" | "resourceLimits">): Worker {
  if (!isSource(entry.pathname)) return new Worker(entry, { ...options, execArgv: [] });
  const tsx = pathToFileURL(createRequire(import.meta.url).resolve("tsx/package.json"));
  const program = `import("${new URL("dist/esm/api/index.mjs", tsx)}").then(({ register }) => { register(); return import("${entry.href}"); })`;
  return new Worker(program, { ...options, execArgv: [], eval: true });
}

/** What a thread says of an error: its class would not survive the way. */
export interface Failure {
  readonly message: string;
  /** Whether it is the caller's mistake (a UserError), not our failure. */
  readonly isMistake: boolean;
}

export const failureOf = (error: unknown): Failure => ({ message: messageOf(error), isMistake: error instanceof UserError });

export const errorOf = ({ message, isMistake }: Failure): UserError | InternalError =>
  isMistake ? new UserError(message) : new InternalError(message);
