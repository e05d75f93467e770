import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { Client, latencies, type Outcome, quantile } from "./load.ts";

// The server as a process of its own, under load from this one on the same machine: both share its cores.

export interface ServeBenchOptions {
  readonly model: string;
  readonly image: string;
  readonly workers: number;
  readonly maxBatch: number;
  readonly maxWaitMs: number;
  /** Of each measurement. */
  readonly seconds: number;
  readonly concurrency: readonly number[];
  /** At twice the capacity; none without it. */
  readonly soakMinutes?: number;
}

export interface LoadRow extends ReturnType<typeof latencies> {
  readonly concurrency: number;
  readonly answersPerSecond: number;
  readonly failed: number;
}

export interface Soak {
  readonly capacityPerSecond: number;
  readonly offeredPerSecond: number;
  readonly sent: number;
  readonly answered: number;
  /** With 503: the queue was full. */
  readonly refused: number;
  /** Neither: no answer, or another one. Should be 0. */
  readonly lost: number;
  /** How often each status or error code that was neither. */
  readonly losses: Readonly<Record<string, number>>;
  readonly p99Ms: number | undefined;
  readonly memory: readonly { readonly second: number; readonly residentMb: number; readonly heapMb: number }[];
}

/** Concurrency at which the capacity is measured: enough for full batches. */
const saturating = 64;
const soakSampleMs = 5000;

export async function measureServing(options: ServeBenchOptions): Promise<{ readonly rows: readonly LoadRow[]; readonly soak?: Soak }> {
  const { child, address } = await startServer(options);
  const client = new Client(`${address}/v1/models/bench/classify`, readFileSync(options.image));
  try {
    await client.keepBusy(4, 1);
    const rows: LoadRow[] = [];
    for (const concurrency of options.concurrency) rows.push(await measureRow(client, concurrency, options.seconds));
    if (options.soakMinutes === undefined) return { rows };
    return { rows, soak: await soak(client, address, options.seconds, options.soakMinutes * 60) };
  } finally {
    client.close();
    await stop(child);
  }
}

function startServer({ model, workers, maxBatch, maxWaitMs }: ServeBenchOptions) {
  const numbers = { port: 0, workers, "max-batch": maxBatch, "max-wait-ms": maxWaitMs };
  const args = Object.entries(numbers).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const command = ["--import", "tsx", "src/cli/main.ts", "serve", `bench=${model}`, "--log-level", "error", ...args];
  const child = spawn(process.execPath, command, { stdio: ["ignore", "pipe", "inherit"] });
  return new Promise<{ readonly child: ChildProcess; readonly address: string }>((resolve, reject) => {
    child.stdout.on("data", (chunk: Buffer) => {
      const address = /listening on (\S+)/.exec(chunk.toString())?.[1];
      if (address !== undefined) resolve({ child, address });
    });
    child.on("close", (code) => reject(new Error(`the server ended with ${code}`)));
  });
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  child.kill("SIGTERM");
  await new Promise((resolve) => child.on("close", resolve));
}

async function measureRow(client: Client, concurrency: number, seconds: number): Promise<LoadRow> {
  const start = performance.now();
  const outcomes = await client.keepBusy(concurrency, seconds);
  const elapsed = (performance.now() - start) / 1000;
  const answered = outcomes.filter(({ status }) => status === 200).length;
  return { concurrency, answersPerSecond: answered / elapsed, failed: outcomes.length - answered, ...latencies(outcomes) };
}

async function soak(client: Client, address: string, measureSeconds: number, seconds: number): Promise<Soak> {
  const { answersPerSecond: capacityPerSecond } = await measureRow(client, saturating, measureSeconds);
  const offeredPerSecond = 2 * capacityPerSecond;
  const times: number[] = [];
  const counts = { answered: 0, refused: 0, lost: 0 };
  const losses: Record<string, number> = {};
  const onOutcome = ({ status, milliseconds, problem }: Outcome) => {
    if (status === 200) times.push(milliseconds);
    const fate = status === 200 ? "answered" : status === 503 ? "refused" : "lost";
    counts[fate]++;
    if (fate === "lost") losses[problem ?? status] = (losses[problem ?? status] ?? 0) + 1;
  };
  const memory: Soak["memory"][number][] = [];
  const start = performance.now();
  const sample = async () => memory.push({ second: Math.round((performance.now() - start) / 1000), ...(await memoryOf(address)) });
  await sample();
  const timer = setInterval(sample, soakSampleMs);
  try {
    const sent = await client.sendAt(offeredPerSecond, seconds, onOutcome);
    await sample();
    return {
      capacityPerSecond,
      offeredPerSecond,
      sent,
      ...counts,
      lost: sent - counts.answered - counts.refused,
      losses,
      p99Ms: quantile(times, 0.99),
      memory,
    };
  } finally {
    clearInterval(timer);
  }
}

async function memoryOf(address: string): Promise<{ readonly residentMb: number; readonly heapMb: number }> {
  const text = await (await fetch(`${address}/metrics`)).text();
  const megabytes = (name: string) => Number(new RegExp(`^${name} (\\S+)$`, "m").exec(text)?.[1]) / 2 ** 20;
  return { residentMb: megabytes("process_resident_memory_bytes"), heapMb: megabytes("nodejs_heap_size_used_bytes") };
}

const cell = (value: number | undefined): string => (value?.toFixed(1) ?? "-").padStart(9);

export function servingLines(rows: readonly LoadRow[], soak?: Soak): string {
  const head = "concurrency  answers/s    p50 ms    p95 ms    p99 ms   failed";
  const lines = rows.map(
    ({ concurrency, answersPerSecond, p50Ms, p95Ms, p99Ms, failed }) =>
      `${String(concurrency).padStart(11)}  ${cell(answersPerSecond)} ${cell(p50Ms)} ${cell(p95Ms)} ${cell(p99Ms)} ${String(failed).padStart(8)}`,
  );
  if (!soak) return [head, ...lines].join("\n");
  const { capacityPerSecond, offeredPerSecond, sent, answered, refused, lost, losses, p99Ms, memory } = soak;
  return [
    head,
    ...lines,
    `soak: capacity ${capacityPerSecond.toFixed(0)}/s, offered ${offeredPerSecond.toFixed(0)}/s: sent ${sent}, answered ${answered}, refused ${refused}, lost ${lost}${lost > 0 ? ` (${JSON.stringify(losses)})` : ""}; p99 ${p99Ms?.toFixed(0)} ms`,
    ...memory.map(
      ({ second, residentMb, heapMb }) =>
        `${String(second).padStart(6)} s  resident ${residentMb.toFixed(0)} MB, heap ${heapMb.toFixed(0)} MB`,
    ),
  ].join("\n");
}
