import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";

const isSource = (url: string): boolean => url.endsWith(".ts");

/** The program of a thread that lies beside the module at `url`. Built, it is JavaScript; from the sources (tests, benchmarks) it is TypeScript. */
export const threadEntry = (url: string, name: string): URL => new URL(isSource(url) ? `./${name}.ts` : `./${name}.js`, url);

/**
 * A thread does not inherit what compiles the TypeScript of its parent (vitest compiles in memory; on Node 20 `--import tsx` does not reach a
 * thread's entry), so from the sources it starts with a line that registers tsx and then imports the entry.
 */
export function startThread(entry: URL, workerData: unknown): Worker {
  if (!isSource(entry.pathname)) return new Worker(entry, { workerData, execArgv: [] });
  const tsx = pathToFileURL(createRequire(import.meta.url).resolve("tsx/package.json"));
  const program = `import("${new URL("dist/esm/api/index.mjs", tsx)}").then(({ register }) => { register(); return import("${entry.href}"); })`;
  return new Worker(program, { workerData, execArgv: [], eval: true });
}
