import { appendFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { checkpointPath } from "../../src/train/checkpoint.ts";
import { defaults, resolveConfig } from "../../src/train/config.ts";
import { MetricsLog } from "../../src/train/metrics-log.ts";
import type { EpochRecord, HistoryRecord } from "../../src/train/records.ts";
import { differencesFrom, differingKeys, listRuns, readRun } from "../../src/train/runs.ts";
import { train } from "../../src/train/train.ts";
import { temporaryFolder, tinyConfig, trainingDigits } from "../support/digits.ts";

const metrics = { loss: 2, parts: { margin: 1 }, trainAccuracy: 0.5 };
const steps = (step: number): HistoryRecord => ({ step, epoch: step / 40, learningRate: 0.1, imagesPerSecond: 9, ...metrics });
const epoch: EpochRecord = { epoch: 1, step: 40, seconds: 3, elapsedSeconds: 3, validation: null, ...metrics };

/** A run that was killed before its first checkpoint. */
function started(folder = temporaryFolder()): string {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "config.json"), JSON.stringify(defaults));
  new MetricsLog(folder, [steps(20), steps(40)], [epoch]).append({ kind: "steps", ...steps(60) });
  return folder;
}

describe("readRun", () => {
  it("reads records whose last line a kill has cut off", () => {
    const folder = started();
    appendFileSync(join(folder, "metrics.jsonl"), '{"kind":"steps","st');
    const { history, epochs, state, config } = readRun(folder);
    expect(history).toEqual([steps(20), steps(40), steps(60)]);
    expect(epochs).toEqual([epoch]);
    expect(config).toEqual(defaults);
    expect(state).toEqual({ kind: "broken", reason: "it ended before its first checkpoint" });
  });

  it("reads what 0.1.0 wrote: lines without a kind, a config without the newer keys", () => {
    const folder = started();
    const { validation: _, patience: __, keep: ___, ema: ____, thresholdsFrom: _____, ...older } = defaults;
    writeFileSync(join(folder, "config.json"), JSON.stringify(older));
    writeFileSync(join(folder, "metrics.jsonl"), `${JSON.stringify(steps(20))}\n`);
    expect(readRun(folder)).toMatchObject({ config: defaults, history: [steps(20)] });
  });

  it.each([
    ["config.json", "[1]", "config.json: expected a JSON object"],
    ["config.json", '{"epocs": 1}', "config.json: not the config of a run"],
    ["metrics.jsonl", "null\n", "metrics.jsonl, line 1: expected a JSON object"],
    ["metrics.jsonl", '{"kind":"epoch","step":1}\n', "metrics.jsonl, line 1: not a record of ours"],
    ["model.onnx", "x", "model.onnx"],
    ["checkpoint.safetensors", "", "checkpoint.safetensors: not a whole safetensors file"],
  ])("calls a run broken whose %s is %j", (name, content, reason) => {
    const folder = started();
    writeFileSync(join(folder, name), content);
    expect(readRun(folder).state).toEqual({ kind: "broken", reason: expect.stringContaining(reason) });
  });
});

it("reads how far a run is from the checkpoint before a damaged one, as a resumed training does", async () => {
  const out = temporaryFolder();
  await train({ config: tinyConfig({ epochs: 1 }), data: await trainingDigits(), out, checkpointEverySteps: 2 }).catch(() => undefined);
  rmSync(join(out, "model.onnx"), { force: true });
  const whole = readRun(out);
  writeFileSync(checkpointPath(out), "damaged");
  const run = readRun(out);
  expect([whole.state.kind, run.state.kind]).toEqual(["broken", "stopped"]);
  expect(run.step).toBeGreaterThan(0);
  expect(run.step).toBeLessThan(whole.step);
});

describe("listRuns", () => {
  it("finds the runs right inside a folder, by name, and nothing else", () => {
    const folder = temporaryFolder();
    started(join(folder, "b"));
    started(join(folder, "a"));
    mkdirSync(join(folder, "notes"));
    writeFileSync(join(folder, "config.txt"), "");
    expect(listRuns(folder).map((run) => run.folder)).toEqual([join(folder, "a"), join(folder, "b")]);
    rmSync(join(folder, "a"), { recursive: true });
    expect(listRuns(join(folder, "b")).map((run) => run.folder)).toEqual([join(folder, "b")]);
  });
});

describe("configs", () => {
  it("are told apart by value", () => {
    expect(differencesFrom({ ...defaults, widths: [...defaults.widths] }, defaults)).toEqual({});
    expect(differencesFrom({ ...defaults, epochs: 7 }, defaults)).toEqual({ epochs: 7 });
    // What a plain training takes is no change.
    expect(differencesFrom(resolveConfig({ epochs: 7 }))).toEqual({ epochs: 7 });
    expect(differingKeys([tinyConfig(), tinyConfig({ ema: 0.5 }), tinyConfig({ seed: 3 })])).toEqual(["ema", "seed"]);
    expect(differingKeys([])).toEqual([]);
  });
});
