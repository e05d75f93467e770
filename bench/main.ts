import { execFileSync } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Command, Option } from "commander";
import { wholeNumber } from "../src/cli/options.ts";
import { packageVersion } from "../src/core/version.ts";
import { defaultThreads, type Provider, providers, runtimeVersion } from "../src/runtime/session.ts";
import { type MeasureOptions, measureGradients, measureScoring, measureTraining, median, warmUp } from "./measure.ts";
import { type ProfileRow, readProfile } from "./profile.ts";

// Benchmarks, not tests: medians on this machine, now. Quote ratios measured in one run, never single figures.

interface BenchOptions {
  readonly depth: number;
  readonly channels: number;
  readonly batch: number;
  readonly steps: number;
  readonly threads: number;
  readonly provider: Provider;
  readonly profile?: boolean;
  readonly compare?: "torch";
  readonly pairs: number;
  readonly json?: boolean;
}

const measures = { train: measureTraining, score: measureScoring, gradients: measureGradients };
type Work = keyof typeof measures;

/** Rates of PyTorch on the same network, by bench/torch_bench.py. */
function torch({ depth, channels, batch, steps, threads }: BenchOptions): Record<string, number> {
  const script = fileURLToPath(new URL("torch_bench.py", import.meta.url));
  const numbers = { "--depth": depth, "--channels": channels, "--batch": batch, "--steps": steps, "--threads": threads };
  const args = Object.entries(numbers).flatMap(([name, value]) => [name, String(value)]);
  return JSON.parse(execFileSync("/usr/bin/python3", [script, ...args], { encoding: "utf8" })) as Record<string, number>;
}

async function bench(work: Work, options: BenchOptions): Promise<Record<string, unknown>> {
  const profilePrefix = options.profile ? join(mkdtempSync(join(tmpdir(), "sdim-bench-")), "profile") : undefined;
  const measure = () =>
    measures[work]({
      ...options,
      channels: options.channels === 3 ? 3 : 1,
      ...(profilePrefix ? { profilePrefix } : {}),
    } satisfies MeasureOptions);
  const about = {
    work,
    ...options,
    sdim: packageVersion(),
    onnxruntime: runtimeVersion(),
    machine: cpus()[0]?.model,
    cores: cpus().length,
    loadBefore: loadavg()[0],
  };
  if (options.compare !== "torch") {
    const result = await measure();
    return { ...result, ...about, ...(profilePrefix ? { profile: readProfile(profilePrefix, warmUp) } : {}) };
  }
  const key = work === "train" ? "trainImagesPerSecond" : "scoreImagesPerSecond";
  const ownKey = work === "gradients" ? "gradientImagesPerSecond" : key;
  const pairs: { readonly ours: number; readonly torch: number; readonly ratio: number }[] = [];
  for (let i = 0; i < options.pairs; i++) {
    const ours = (await measure())[ownKey]!;
    const theirs = torch(options)[key]!;
    pairs.push({ ours, torch: theirs, ratio: ours / theirs });
    process.stderr.write(
      `pair ${i + 1}: ours ${ours.toFixed(1)}, PyTorch ${theirs.toFixed(1)} images/s, ratio ${(ours / theirs).toFixed(2)}\n`,
    );
  }
  return { ...about, ratioMedian: median(pairs.map(({ ratio }) => ratio)), pairs };
}

function profileLine({ op, shapes, nodes, milliseconds, share, gigaflopsPerSecond, gigabytesPerSecond }: ProfileRow): string {
  const flops = gigaflopsPerSecond === undefined ? "" : `${gigaflopsPerSecond.toFixed(0)} GFLOP/s`;
  return `${milliseconds.toFixed(2).padStart(9)} ms ${(100 * share).toFixed(1).padStart(5)}% ${String(nodes).padStart(4)} x ${flops.padStart(12)} ${gigabytesPerSecond.toFixed(1).padStart(6)} GB/s  ${op} ${shapes ?? ""}`;
}

const program = new Command("bench").description("Times training, scoring and input gradients on random images of 32 x 32.");
for (const work of Object.keys(measures) as Work[]) {
  program
    .command(work)
    .option("--depth <layers>", "8n + 2", wholeNumber, 10)
    .option("--channels <1|3>", "grey or colour", wholeNumber, 1)
    .option("--batch <images>", "batch size", wholeNumber, 128)
    .option("--steps <n>", "timed steps", wholeNumber, 10)
    .option("--threads <n>", "threads", wholeNumber, defaultThreads())
    .addOption(new Option("--provider <name>", "where the graph runs").choices(providers).default("cpu"))
    .option("--profile", "time per op type and shape")
    .addOption(new Option("--compare <with>", "interleaved with PyTorch (Debian's python3-torch)").choices(["torch"]))
    .option("--pairs <n>", "interleaved runs of each side", wholeNumber, 5)
    .option("--json", "print JSON")
    .action(async (options: BenchOptions) => {
      const result = await bench(work, options);
      if (options.json) {
        process.stdout.write(`${JSON.stringify(result)}\n`);
        return;
      }
      for (const [name, value] of Object.entries(result)) {
        if (name === "profile") continue;
        process.stdout.write(`${name.padEnd(24)} ${typeof value === "object" ? JSON.stringify(value) : value}\n`);
      }
      const profile = result["profile"] as ReturnType<typeof readProfile> | undefined;
      for (const row of [...(profile?.byType ?? []).slice(0, 12), ...(profile?.byShape ?? []).slice(0, 40)])
        process.stdout.write(`${profileLine(row)}\n`);
    });
}
await program.parseAsync();
