import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { Random } from "../../src/core/random.ts";
import { hasCheckpoint, loadCheckpoint } from "../../src/train/checkpoint.ts";
import { train } from "../../src/train/train.ts";
import { temporaryFolder, tinyConfig, trainingDigits } from "../support/digits.ts";

const every = 3;

/** Runs the training until it has said `steps` steps more, and a little longer; the last step it said before it died. */
async function killed(out: string, steps: number, milliseconds: number): Promise<number> {
  const child = spawn(process.execPath, ["--import", "tsx", "test/support/train-child.ts", out], { stdio: ["ignore", "pipe", "pipe"] });
  let [stdout, stderr] = ["", ""];
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  let isDoomed = false;
  child.stdout.on("data", (chunk: Buffer) => {
    stdout += chunk.toString();
    if (isDoomed || stdout.split("\n").length <= steps) return;
    isDoomed = true;
    setTimeout(() => child.kill("SIGKILL"), milliseconds);
  });
  await new Promise((resolve) => child.on("close", resolve));
  expect(stderr).toBe("");
  return Number(stdout.trim().split("\n").at(-1));
}

it("a training killed at any moment loses at most the steps of an interval, and ends as if it had never been", async () => {
  const [whole, out] = [temporaryFolder(), temporaryFolder()];
  const config = tinyConfig({ epochs: 12, validation: 0.2, ema: 0.9, keep: "best-validation", flip: true });
  const data = await trainingDigits();
  await train({ config, data, out: whole });
  const random = new Random(7);
  for (let i = 0; i < 4; i++) {
    const said = await killed(out, 1 + random.below(12), random.below(60));
    expect(hasCheckpoint(out) || said <= every).toBe(true);
    if (!hasCheckpoint(out)) continue;
    const { position, damage } = loadCheckpoint(out);
    expect(damage).toBe(undefined);
    // A step is said before its checkpoint is written.
    expect(position.step).toBeGreaterThanOrEqual(said - every);
    expect(existsSync(join(out, "model.onnx"))).toBe(false);
  }
  expect(loadCheckpoint(out).position.step).toBeGreaterThan(0);
  await train({ config, data, out, resume: true });
  const [a, b] = [loadCheckpoint(whole), loadCheckpoint(out)];
  expect(b.state).toEqual(a.state);
  expect(b.kept).toEqual(a.kept);
  expect(readFileSync(join(out, "model.onnx")).equals(readFileSync(join(whole, "model.onnx")))).toBe(true);
}, 400_000);
