import { existsSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { resolveConfig } from "../../src/train/config.ts";
import { listRuns, readRun } from "../../src/train/runs.ts";
import { train } from "../../src/train/train.ts";
import { temporaryFolder, tinyConfig, trainingDigits } from "../support/digits.ts";

// What a training finds in its folder, and what it leaves there when nothing comes of it.

const data = await trainingDigits();
const config = tinyConfig({ epochs: 1, meanSpread: 0.1, thresholdsFor: "all-classes" });
const eventsIn = (out: string): string[] => readdirSync(join(out, "tensorboard"));

describe("a training that overwrites another", () => {
  it.each([
    ["the provider is not there", { provider: "cuda" as const }, /on provider "cuda"/],
    ["event files cannot be written", { tensorboard: true }, /cannot write event files/],
  ])("leaves that as it was where %s", async (_, options, reason) => {
    const out = temporaryFolder();
    await train({ config, data, out });
    writeFileSync(join(out, "tensorboard"), "in the way");
    const there = readdirSync(out).sort();
    await expect(train({ config: { ...config, seed: 2 }, data, out, force: true, ...options })).rejects.toThrow(reason);
    expect(readdirSync(out).sort()).toEqual(there);
    expect(readRun(out)).toMatchObject({ state: { kind: "finished" }, config: { seed: config.seed } });
    // What is in the way of event files is not in the way of a training without.
    await train({ config: { ...config, seed: 2 }, data, out, force: true });
    expect(readRun(out)).toMatchObject({ state: { kind: "finished" }, config: { seed: 2 } });
  });

  it("removes the report and the event files of that", async () => {
    const out = temporaryFolder();
    await train({ config, data, out, tensorboard: true });
    writeFileSync(join(out, "report.html"), "of the run before");
    const [before] = eventsIn(out);
    await train({ config, data, out, tensorboard: true, force: true });
    expect(existsSync(join(out, "report.html"))).toBe(false);
    expect(eventsIn(out)).toHaveLength(1);
    expect(eventsIn(out)).not.toContain(before);
    await train({ config, data, out, force: true });
    expect(eventsIn(out)).toEqual([]);
  });
});

it("a training that cannot start leaves no folder behind", async () => {
  const out = join(temporaryFolder(), "new");
  await expect(train({ config, data, out, provider: "cuda" })).rejects.toThrow('on provider "cuda"');
  expect(existsSync(out)).toBe(false);
});

it("files that a killed process was writing are removed, and no others", async () => {
  const out = temporaryFolder();
  const left = [".checkpoint.safetensors.12-0123abcd.part", ".model.onnx.7-0123abcd.part", ".config.json.7-0123abcd.part"];
  const others = [".other.onnx.7-0123abcd.part", "model.onnx.part", ".model.onnx.mine.part"];
  for (const name of [...left, ...others]) writeFileSync(join(out, name), "");
  await train({ config, data, out, force: true });
  expect(
    readdirSync(out)
      .filter((name) => name.includes(".part"))
      .sort(),
  ).toEqual(others.sort());
});

it.each([
  [{ widths: [32, 16, 16, 16] }, /widths: expected no stage to have fewer than the one before it/],
  [{ ema: 0.999999999 }, /ema: expected a number below 1, in float32/],
  [{ ema: 1 }, /ema: expected a number below 1/],
])("%j is refused", (given, reason) => {
  expect(() => resolveConfig(given)).toThrow(reason);
});

it("a name that is empty is refused", async () => {
  await expect(train({ config, data, out: "" })).rejects.toThrow("--out: expected a folder for the run, got an empty name");
});

describe("the list of runs", () => {
  it("has those that links lead to", async () => {
    const [folder, elsewhere] = [temporaryFolder(), temporaryFolder()];
    await train({ config, data, out: join(elsewhere, "run") });
    mkdirSync(join(folder, "empty"));
    symlinkSync(join(elsewhere, "run"), join(folder, "linked"));
    symlinkSync(join(elsewhere, "gone"), join(folder, "dangling"));
    expect(listRuns(folder).map((run) => [run.folder, run.state.kind])).toEqual([[join(folder, "linked"), "finished"]]);
  });

  it("says of a run that patience ended, and that has no model, that there is nothing to go on with", async () => {
    const out = temporaryFolder();
    const patient = tinyConfig({ epochs: 10, validation: 0.2, patience: 1, learningRate: 1e-12, thresholdsFor: "all-classes" });
    await train({ config: patient, data, out }).catch(() => undefined);
    rmSync(join(out, "model.onnx"), { force: true });
    expect(readRun(out).state).toEqual({ kind: "broken", reason: expect.stringContaining("trained to the end, but without a model file") });
  });
});
