import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Command, Option } from "commander";
import { numberList, positiveNumber, wholeNumber } from "../src/cli/options.ts";
import { defaultThreads, providers } from "../src/runtime/session.ts";
import { growthHeader, growthLine, measureGrowth } from "./growth.ts";
import { type MeasureOptions, measureGradients, measureScoring, measureTraining, median, scoreBatches, warmUp } from "./measure.ts";
import { type ProfileRow, readProfile } from "./profile.ts";
import { benchCircumstances, record } from "./record.ts";
import { measureServing, type ServeBenchOptions, servingLines } from "./serve.ts";

// Benchmarks, not tests: medians on this machine, now. Quote ratios measured in one run, never single figures.

interface BenchOptions extends Omit<MeasureOptions, "channels" | "profilePrefix"> {
  readonly channels: number;
  readonly profile?: boolean;
  readonly compare?: "torch";
  readonly pairs: number;
  readonly onlyBatch?: boolean;
  readonly json?: boolean;
  readonly out?: string;
}

const measures = {
  train: measureTraining,
  score: measureScoring,
  gradients: measureGradients,
};
type Work = keyof typeof measures;

/** PyTorch's rates on the same network, by bench/torch_bench.py. */
function torch({ depth, channels, batch, steps, threads }: BenchOptions): Record<string, number> {
  const script = fileURLToPath(new URL("torch_bench.py", import.meta.url));
  const numbers = { depth, channels, batch, steps, threads, "score-batches": scoreBatches.join() };
  const args = Object.entries(numbers).flatMap(([name, value]) => [`--${name}`, String(value)]);
  return JSON.parse(execFileSync("/usr/bin/python3", [script, ...args], { encoding: "utf8" })) as Record<string, number>;
}

const measureOptions = (options: BenchOptions, profilePrefix?: string): MeasureOptions => ({
  ...options,
  channels: options.channels === 3 ? 3 : 1,
  ...(profilePrefix ? { profilePrefix } : {}),
});

async function measureOnce(work: Work, options: BenchOptions): Promise<Record<string, unknown>> {
  if (work === "score" && options.onlyBatch) return measureScoring(measureOptions(options), [options.batch]);
  if (!options.profile) return measures[work](measureOptions(options));
  const folder = mkdtempSync(join(tmpdir(), "sdim-bench-"));
  const prefix = join(folder, "profile");
  try {
    const result = await measures[work](measureOptions(options, prefix));
    return { ...result, profile: readProfile(prefix, warmUp) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

interface Pair {
  readonly ours: number;
  readonly torch: number;
  readonly ratio: number;
}

/** Ours and PyTorch's in turn. Input gradients are compared with scoring, PyTorch's and our own. */
async function compare(work: Work, options: BenchOptions): Promise<Record<string, unknown>> {
  const key = work === "train" ? "trainImagesPerSecond" : "scoreImagesPerSecond";
  const pairs: Pair[] = [];
  const ofOwnScoring: number[] = [];
  for (let i = 0; i < options.pairs; i++) {
    const measured = await measures[work](measureOptions(options));
    const ours = measured[work === "gradients" ? "gradientImagesPerSecond" : key]!;
    if (work === "gradients") ofOwnScoring.push(ours / (await measureScoring(measureOptions(options)))["scoreImagesPerSecond"]!);
    const theirs = torch(options)[key]!;
    pairs.push({ ours, torch: theirs, ratio: ours / theirs });
    process.stderr.write(
      `pair ${i + 1}: ours ${ours.toFixed(1)}, PyTorch ${theirs.toFixed(1)} images/s, ratio ${(ours / theirs).toFixed(2)}\n`,
    );
  }
  return {
    pairs,
    ratioMedian: median(pairs.map(({ ratio }) => ratio)),
    ...(work === "gradients" ? { ofOwnScoring, ofOwnScoringMedian: median(ofOwnScoring) } : {}),
  };
}

function profileLine({ op, shapes, nodes, milliseconds, share, gigaflopsPerSecond, gigabytesPerSecond }: ProfileRow): string {
  const flops = gigaflopsPerSecond === undefined ? "" : `${gigaflopsPerSecond.toFixed(0)} GFLOP/s`;
  return `${milliseconds.toFixed(2).padStart(9)} ms ${(100 * share).toFixed(1).padStart(5)}% ${String(nodes).padStart(4)} x ${flops.padStart(12)} ${gigabytesPerSecond.toFixed(1).padStart(6)} GB/s  ${op} ${shapes ?? ""}`;
}

function print(result: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(result)) {
    if (name === "profile") continue;
    process.stdout.write(`${name.padEnd(24)} ${typeof value === "object" ? JSON.stringify(value) : value}\n`);
  }
  const profile = result["profile"] as ReturnType<typeof readProfile> | undefined;
  for (const row of [...(profile?.byType ?? []).slice(0, 12), ...(profile?.byShape ?? []).slice(0, 40)]) {
    process.stdout.write(`${profileLine(row)}\n`);
  }
}

function finish(run: Record<string, unknown> & { readonly command: string }, { json, out }: Pick<BenchOptions, "json" | "out">): void {
  if (out !== undefined) record(out, run);
  if (json) process.stdout.write(`${JSON.stringify(run)}\n`);
}

const program = new Command("bench").description("Times training, scoring and input gradients on random images.");
const withWorkload = (command: Command): Command =>
  command
    .option("--depth <layers>", "8n + 2", wholeNumber, 10)
    .option("--channels <1|3>", "grey or colour", wholeNumber, 1)
    .option("--batch <images>", "batch size", wholeNumber, 128)
    .option("--size <pixels>", "height and width", wholeNumber, 32)
    .option("--classes <n>", "classes", wholeNumber, 10)
    .addOption(new Option("--negatives <pairs>", "of the critic").choices(["shuffled", "all-pairs"]).default("shuffled"))
    .option("--steps <n>", "timed steps", wholeNumber, 10)
    .option("--threads <n>", "threads", wholeNumber, defaultThreads())
    .addOption(new Option("--provider <name>", "where the graph runs").choices(providers).default("cpu"))
    .option("--json", "print JSON")
    .option("--out <file>", "add the run to this results file (results/benchmarks.json is ours)");

for (const work of Object.keys(measures) as Work[]) {
  withWorkload(program.command(work))
    .option("--profile", "time, GFLOP/s and GB/s per op type and shape")
    .option("--only-batch", "score at --batch alone, not at the best of several")
    .addOption(new Option("--compare <with>", "interleaved with PyTorch (Debian's python3-torch)").choices(["torch"]))
    .option("--pairs <n>", "interleaved runs of each side", wholeNumber, 5)
    .action(async (options: BenchOptions) => {
      const about = benchCircumstances();
      const result = options.compare === "torch" ? await compare(work, options) : await measureOnce(work, options);
      const run = { work, ...options, ...result, ...about };
      if (!options.json) print(run);
      finish(run, options);
    });
}

withWorkload(program.command("growth"))
  .description("time per image and memory against batch, classes, layers, image size and negatives")
  .action((options: BenchOptions) => {
    const about = benchCircumstances();
    const { depth, batch, size, classes, negatives, steps } = options;
    const rows = measureGrowth({ depth, channels: options.channels === 3 ? 3 : 1, batch, size, classes, negatives }, steps);
    if (!options.json) process.stdout.write(`${[growthHeader, ...rows.map(growthLine)].join("\n")}\n`);
    finish({ ...options, rows, ...about }, options);
  });

program
  .command("serve")
  .description("requests per second and latency of `sdim serve` against concurrency; --soak-minutes puts it under twice its capacity")
  .option("--model <file>", "to serve", "models/mnist/model.onnx")
  .option("--image <file>", "to send", "samples/images/digit.png")
  .option("--workers <n>", "inference threads", wholeNumber, defaultThreads())
  .option("--max-batch <images>", "images of a batch", wholeNumber, 32)
  .option("--max-wait-ms <ms>", "an image waits for others", wholeNumber, 2)
  .option("--seconds <n>", "of each measurement", positiveNumber, 10)
  .option("--concurrency <list>", "requests at a time", numberList, [1, 4, 16, 64])
  .option("--soak-minutes <n>", "at twice the capacity: memory over time, and no request lost", positiveNumber)
  .option("--json", "print JSON")
  .option("--out <file>", "add the run to this results file")
  .action(async (options: ServeBenchOptions & Pick<BenchOptions, "json" | "out">) => {
    const about = benchCircumstances();
    const { rows, soak } = await measureServing(options);
    if (!options.json) process.stdout.write(`${servingLines(rows, soak)}\n`);
    finish({ work: "serve", ...options, rows, ...(soak ? { soak } : {}), ...about }, options);
    if (soak && soak.lost > 0) process.exitCode = 1;
  });

await program.parseAsync();
