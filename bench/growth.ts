import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Workload } from "./workload.ts";

/** What one dimension of growth does to the time per image and to memory, each point in a process of its own. */
export interface GrowthRow {
  readonly what: string;
  readonly value: number | string;
  readonly trainMsPerImage: number;
  readonly trainMemoryMb: number;
  readonly scoreMsPerImage: number;
  readonly scoreMemoryMb: number;
}

type Change = Partial<Workload>;

const dimensions: { readonly what: string; readonly changes: readonly (readonly [value: number | string, change: Change])[] }[] = [
  { what: "batch", changes: [2, 4, 8, 16, 32, 64, 128, 256, 512].map((batch) => [batch, { batch }]) },
  { what: "classes", changes: [10, 100, 1000].map((classes) => [classes, { classes }]) },
  { what: "layers", changes: [10, 18, 26, 34].map((depth) => [depth, { depth }]) },
  { what: "image size", changes: [32, 64].map((size) => [size, { size }]) },
  { what: "negatives", changes: (["shuffled", "all-pairs"] as const).map((negatives) => [negatives, { negatives }]) },
];

const main = fileURLToPath(new URL("main.ts", import.meta.url));

function measure(work: "train" | "score", workload: Workload, steps: number): Record<string, number> {
  const { negatives, ...numbers } = workload;
  const options = Object.entries({ ...numbers, steps }).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const args = [
    "--import",
    "tsx",
    main,
    work,
    ...options,
    "--negatives",
    negatives,
    "--json",
    ...(work === "score" ? ["--only-batch"] : []),
  ];
  return JSON.parse(execFileSync(process.execPath, args, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] })) as Record<
    string,
    number
  >;
}

export function measureGrowth(base: Workload, steps: number): GrowthRow[] {
  return dimensions.flatMap(({ what, changes }) =>
    changes.map(([value, change]) => {
      const workload = { ...base, ...change };
      // Small batches want more steps for a steady median.
      const enough = Math.max(steps, Math.min(100, Math.ceil((steps * 128) / workload.batch)));
      const train = measure("train", workload, enough);
      const score = measure("score", workload, enough);
      const row = {
        what,
        value,
        trainMsPerImage: 1000 / train["trainImagesPerSecond"]!,
        trainMemoryMb: train["peakMemoryMb"]!,
        scoreMsPerImage: 1000 / score["scoreImagesPerSecond"]!,
        scoreMemoryMb: score["peakMemoryMb"]!,
      };
      process.stderr.write(`${growthLine(row)}\n`);
      return row;
    }),
  );
}

export const growthLine = ({ what, value, trainMsPerImage, trainMemoryMb, scoreMsPerImage, scoreMemoryMb }: GrowthRow): string =>
  `| ${what} ${value} | ${trainMsPerImage.toFixed(2)} ms | ${trainMemoryMb.toFixed(0)} MB | ${scoreMsPerImage.toFixed(3)} ms | ${scoreMemoryMb.toFixed(0)} MB |`;

export const growthHeader = "| | train, per image | peak memory | score, per image | peak memory |\n|---|---|---|---|---|";
