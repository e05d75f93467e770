import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Classifier } from "../../src/classify/classifier.ts";
import { Interrupted, UserError } from "../../src/core/errors.ts";
import { subset } from "../../src/data/image-set.ts";
import { evaluate } from "../../src/evaluate/evaluate.ts";
import { learningRateAt } from "../../src/optim/schedule.ts";
import { checkpointPath, loadCheckpoint } from "../../src/train/checkpoint.ts";
import { resolveConfig } from "../../src/train/config.ts";
import { train } from "../../src/train/train.ts";
import { temporaryFolder, testDigits, tinyConfig, trainingDigits } from "../support/digits.ts";

const data = await trainingDigits();

describe("train", () => {
  it.each(["sdim", "softmax"] as const)("learns real digits with the %s head", async (head) => {
    const out = temporaryFolder();
    const result = await train({ config: tinyConfig({ head }), data, out });
    expect(result.history.at(-1)!.loss).toBeLessThan(result.history[0]!.loss);
    const classifier = await Classifier.load(result.modelPath);
    const { evaluation } = await evaluate(classifier, await testDigits(), { percentiles: [1] });
    await classifier.release();
    expect(evaluation.accuracy).toBeGreaterThan(0.85);
    expect(evaluation.rejection[0]!.selectiveAccuracy).toBeGreaterThan(0.9);
    expect(readdirSync(out).sort()).toEqual(["checkpoint.safetensors", "config.json", "metrics.jsonl", "model.onnx"]);
    expect(readFileSync(join(out, "metrics.jsonl"), "utf8").trim().split("\n").length).toBe(result.history.length);
  });

  it("stopped and resumed gives what it would have given, bit for bit", async () => {
    const config = tinyConfig({ epochs: 2 });
    const [whole, parts] = [temporaryFolder(), temporaryFolder()];
    await train({ config, data, out: whole });
    const controller = new AbortController();
    const stopped = train({
      config,
      data,
      out: parts,
      signal: controller.signal,
      onProgress: ({ step }) => step === 7 && controller.abort(),
    });
    await expect(stopped).rejects.toThrow(Interrupted);
    expect(existsSync(join(parts, "model.onnx"))).toBe(false);
    expect(loadCheckpoint(parts).position.step).toBe(7);
    await train({ config, data, out: parts, resume: true });
    const [a, b] = [loadCheckpoint(whole), loadCheckpoint(parts)];
    expect(b.state).toEqual(a.state);
    const timeless = (history: typeof a.position.history) => history.map(({ imagesPerSecond: _, ...record }) => record);
    expect(timeless(b.position.history)).toEqual(timeless(a.position.history));
    const [one, other] = [whole, parts].map((folder) => readFileSync(join(folder, "model.onnx")));
    expect(one!.equals(other!)).toBe(true);
  });

  it("stops at a loss that is not finite, says which part, and keeps the last checkpoint", async () => {
    const out = temporaryFolder();
    const config = tinyConfig({ learningRate: 1e18, schedule: "constant" });
    await expect(train({ config, data, out, checkpointEverySteps: 1 })).rejects.toThrow(
      /training stopped at step \d+: .*(loss|margin|mutualInformation|negativeLogLikelihood) = (NaN|Infinity)/,
    );
    const { state, position } = loadCheckpoint(out);
    expect(position.step).toBeGreaterThan(0);
    expect(state.size).toBeGreaterThan(0);
    expect(existsSync(join(out, "model.onnx"))).toBe(false);
  });

  it("refuses a folder that is taken", async () => {
    const out = temporaryFolder();
    writeFileSync(join(out, "something"), "");
    await expect(train({ config: tinyConfig(), data, out })).rejects.toThrow(
      `${out} exists and is not empty: choose another folder, go on with --resume, or overwrite with --force`,
    );
  });

  it("resumes only its own config and data", async () => {
    const out = temporaryFolder();
    const config = tinyConfig();
    await expect(train({ config, data, out, signal: AbortSignal.abort() })).rejects.toThrow("stopped after 0 of 72 steps");
    await expect(train({ config: tinyConfig({ epochs: 9 }), data, out, resume: true })).rejects.toThrow("was trained with another config");
    const other = subset(
      data,
      Array.from({ length: 200 }, (_, i) => i),
    );
    await expect(train({ config, data: other, out, resume: true })).rejects.toThrow("was trained on mnist (train), other data than");
    await expect(train({ config, data, out: temporaryFolder(), resume: true })).rejects.toThrow("--resume: there is no checkpoint in");
  });

  it("writes no model file when a class has no correctly classified sample", async () => {
    const out = temporaryFolder();
    // A class that has a name but no image.
    const poor = { ...data, classNames: [...data.classNames, "never seen"] };
    await expect(train({ config: tinyConfig({ epochs: 1 }), data: poor, out })).rejects.toThrow(
      /no correctly classified sample of class .*"never seen"/,
    );
    expect(existsSync(join(out, "model.onnx"))).toBe(false);
    expect(existsSync(checkpointPath(out))).toBe(true);
  });

  it("says when the folder cannot be written", async () => {
    const file = join(temporaryFolder(), "file");
    writeFileSync(file, "");
    await expect(train({ config: tinyConfig(), data, out: join(file, "run") })).rejects.toThrow(/cannot write .*config\.json/);
  });
});

describe("checkpoints", () => {
  it.each([
    ["truncated", (bytes: Buffer) => bytes.subarray(0, bytes.length - 100)],
    ["something else", () => Buffer.from("no checkpoint")],
  ])("that are %s are refused", async (_what, damage) => {
    const out = temporaryFolder();
    await train({ config: tinyConfig({ epochs: 0.2 }), data, out, checkpointEverySteps: 1 }).catch((error: unknown) => {
      // One step may leave a class without correct samples; the checkpoint is there all the same.
      expect(error).toBeInstanceOf(UserError);
    });
    writeFileSync(checkpointPath(out), damage(readFileSync(checkpointPath(out))));
    expect(() => loadCheckpoint(out)).toThrow(UserError);
    expect(() => loadCheckpoint(out)).toThrow("checkpoint.safetensors");
  });
});

describe("resolveConfig", () => {
  it("starts from defaults, then preset, then what is given", () => {
    expect(resolveConfig({}).epochs).toBe(5);
    expect(resolveConfig({}, "paper")).toMatchObject({ epochs: 500, learningRate: 0.001, schedule: "constant" });
    expect(resolveConfig({ epochs: 7 }, "paper")).toMatchObject({ epochs: 7, learningRate: 0.001 });
  });

  it.each([
    [{ epocs: 3 }, 'unknown config key "epocs": did you mean "epochs"?'],
    [{ epochs: -1 }, "epochs"],
    [{ critic: "none" }, "critic"],
    [{ imageSize: 30 }, "imageSize"],
  ])("refuses %o", (given, message) => {
    expect(() => resolveConfig(given)).toThrow(UserError);
    expect(() => resolveConfig(given)).toThrow(message);
  });
});

describe("learningRateAt", () => {
  it("rises to the peak over the first 30% and falls to nearly nothing", () => {
    const rates = Array.from({ length: 101 }, (_, step) => learningRateAt("one-cycle", 1, step, 101));
    expect(rates[0]).toBeCloseTo(1 / 25, 10);
    expect(Math.max(...rates)).toBe(rates[30]);
    expect(rates[30]).toBeCloseTo(1, 10);
    expect(rates[100]).toBeCloseTo(4e-6, 10);
    expect(learningRateAt("constant", 0.5, 77, 100)).toBe(0.5);
  });
});
