import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { vi } from "vitest";
import type { ImageSet } from "../../src/data/image-set.ts";

export interface Finished {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Starts the command line from the sources, as a process of its own. */
export function start(
  args: readonly string[],
  stdin: "ignore" | "pipe" = "ignore",
): {
  readonly child: ChildProcess;
  readonly finished: Promise<Finished>;
  readonly stderr: () => string;
} {
  const child = spawn(process.execPath, ["--import", "tsx", "src/cli/main.ts", ...args], { stdio: [stdin, "pipe", "pipe"] });
  let [stdout, stderr] = ["", ""];
  child.stdout!.on("data", (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr!.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const finished = new Promise<Finished>((resolve) => child.on("close", (code, signal) => resolve({ code, signal, stdout, stderr })));
  return { child, finished, stderr: () => stderr };
}

export const sdim = (...args: readonly string[]): Promise<Finished> => start(args).finished;

/** The command line in this process, which is quicker to start: for what needs neither signals nor the process's own arguments. */
export async function sdimHere(...args: readonly string[]): Promise<Omit<Finished, "signal">> {
  // Only here, since it loads all there is.
  const { run } = await import("../../src/cli/run.ts");
  const written = { stdout: "", stderr: "" };
  const spies = (["stdout", "stderr"] as const).map((stream) =>
    vi.spyOn(process[stream], "write").mockImplementation((chunk) => {
      written[stream] += String(chunk);
      return true;
    }),
  );
  try {
    return { code: await run(args), ...written };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}

/** Writes a split as the two IDX files of MNIST's naming. */
export function writeIdxSplit(folder: string, prefix: "train" | "t10k", { count, height, width, pixels, labels }: ImageSet): void {
  mkdirSync(folder, { recursive: true });
  const write = (name: string, shape: readonly number[], data: Uint8Array) => {
    const header = Buffer.alloc(4 + 4 * shape.length);
    header.set([0, 0, 8, shape.length]);
    shape.forEach((size, axis) => {
      header.writeUInt32BE(size, 4 + 4 * axis);
    });
    writeFileSync(join(folder, `${prefix}-${name}-ubyte`), Buffer.concat([header, data]));
  };
  write("images-idx3", [count, height, width], pixels);
  write("labels-idx1", [count], Uint8Array.from(labels));
}

/** Options of a training on 3,000 digits that takes seconds and learns them well enough to be calibrated. */
export const tinyTraining: readonly string[] =
  "--widths 16,16,32,32 --image-size 16 --dimension 8 --batch-size 32 --limit 3000 --epochs 3".split(" ");
