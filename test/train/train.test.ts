import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { thresholdsAt } from "../../src/classify/calibrations.ts";
import { Classifier } from "../../src/classify/classifier.ts";
import { readModelFile, tensorsOf, thresholdsInForce } from "../../src/classify/model-file.ts";
import { Interrupted, UserError } from "../../src/core/errors.ts";
import { decodeSafetensors, encodeSafetensors } from "../../src/core/safetensors.ts";
import { holdOut } from "../../src/data/hold-out.ts";
import { type ImageSet, subset } from "../../src/data/image-set.ts";
import { evaluate } from "../../src/evaluate/evaluate.ts";
import { learningRateAt } from "../../src/optim/schedule.ts";
import { checkpointPath, loadCheckpoint, previousCheckpointPath } from "../../src/train/checkpoint.ts";
import { resolveConfig } from "../../src/train/config.ts";
import { bestValidated, lowestLoss } from "../../src/train/records.ts";
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
    const lines = readFileSync(join(out, "metrics.jsonl"), "utf8").trim().split("\n");
    const ofKind = (kind: string) => lines.map((line) => JSON.parse(line)).filter((line) => line.kind === kind);
    expect(ofKind("steps")).toEqual(result.history.map((record) => ({ kind: "steps", ...record })));
    expect(ofKind("epoch")).toEqual(result.epochs.map((record) => ({ kind: "epoch", ...record })));
    expect(result.epochs.map(({ epoch, step }) => [epoch, step])).toEqual(Array.from({ length: 8 }, (_, i) => [i + 1, 9 * (i + 1)]));
    expect(result.epochs[0]!.validation).toBe(null);
  });

  it.each([
    ["plainly", {}],
    [
      "with everything on",
      {
        cropPadding: 2,
        flip: true,
        randomErasing: 0.5,
        validation: 0.2,
        ema: 0.9,
        keep: "best-validation",
        thresholdsFrom: "validation",
        patience: 2,
      },
    ],
    ["keeping the lowest training loss", { keep: "lowest-training-loss", ema: 0.5 }],
  ] as const)("stopped and resumed gives what it would have given, bit for bit: %s", async (_what, overrides) => {
    const config = tinyConfig({ epochs: 5, ...overrides });
    const [whole, parts] = [temporaryFolder(), temporaryFolder()];
    await train({ config, data, out: whole, batchThread: false });
    // Within an epoch, and at the very end of one (7 steps an epoch with held-out images, 9 without).
    for (const stopAt of [4, config.validation > 0 ? 14 : 18]) {
      const controller = new AbortController();
      const stopped = train({
        config,
        data,
        out: parts,
        resume: stopAt !== 4,
        signal: controller.signal,
        onProgress: ({ step }) => step === stopAt && controller.abort(),
      });
      await expect(stopped).rejects.toThrow(Interrupted);
      expect(existsSync(join(parts, "model.onnx"))).toBe(false);
      expect(loadCheckpoint(parts).position.step).toBe(stopAt);
    }
    await train({ config, data, out: parts, resume: true });
    const [a, b] = [loadCheckpoint(whole), loadCheckpoint(parts)];
    expect(b.state).toEqual(a.state);
    expect(b.kept).toEqual(a.kept);
    expect(a.kept.size > 0).toBe(config.keep !== "last");
    const timeless = ({ history, epochs }: typeof a.position) => [
      history.map(({ imagesPerSecond: _, ...record }) => record),
      epochs.map(({ seconds: _, elapsedSeconds: __, ...record }) => record),
    ];
    expect(timeless(b.position)).toEqual(timeless(a.position));
    const [one, other] = [whole, parts].map((folder) => readFileSync(join(folder, "model.onnx")));
    expect(one!.equals(other!)).toBe(true);
  });

  it("stops at a loss that is not finite, says which part, and keeps the last checkpoint", async () => {
    const out = temporaryFolder();
    const config = tinyConfig({ learningRate: 1e6, schedule: "constant" });
    await expect(train({ config, data, out, checkpointEverySteps: 1 })).rejects.toThrow(
      /training stopped at step \d+: .*(loss|margin|mutualInformation|negativeLogLikelihood) = (NaN|Infinity)/,
    );
    const { state, position } = loadCheckpoint(out);
    expect(position.step).toBeGreaterThan(0);
    expect(state.size).toBeGreaterThan(0);
    expect(existsSync(join(out, "model.onnx"))).toBe(false);
  });

  it("promises no checkpoint when there is none", async () => {
    const config = tinyConfig({ learningRate: 1e6, schedule: "constant" });
    await expect(train({ config, data, out: temporaryFolder() })).rejects.toThrow(/training stopped at step \d+: [^.]*\. Try a lower/);
  });

  it("overwrites with `force`, leaving nothing of the run before that could pass for its own", async () => {
    const out = temporaryFolder();
    await train({ config: tinyConfig(), data, out, checkpointEverySteps: 30 });
    const measured = ["evaluation.json", "robustness.json"];
    for (const name of measured) writeFileSync(join(out, name), "{}");
    const files = ["checkpoint.safetensors", "checkpoint.previous.safetensors", "model.onnx", ...measured].map((name) => join(out, name));
    expect(files.filter(existsSync)).toEqual(files);
    // Refused before anything is touched.
    await expect(train({ config: tinyConfig({ batchSize: 301 }), data, out, force: true })).rejects.toThrow("batchSize: expected at most");
    expect(files.filter(existsSync)).toEqual(files);
    let left: string[] | undefined;
    const onProgress = () => {
      left ??= files.filter(existsSync);
    };
    await train({ config: tinyConfig({ epochs: 8, seed: 2 }), data, out, force: true, onProgress });
    expect(left).toEqual([]);
  });

  it("leaves no thread behind, however it ends", async () => {
    const threads = () => process.getActiveResourcesInfo().filter((kind) => kind === "Worker" || kind === "MessagePort").length;
    const before = threads();
    const during: number[] = [];
    const onProgress = () => during.push(threads());
    await train({ config: tinyConfig({ epochs: 4 }), data, out: temporaryFolder(), onProgress });
    expect(threads()).toBe(before);
    await train({ config: tinyConfig({ learningRate: 1e6, schedule: "constant" }), data, out: temporaryFolder() }).catch(() => {});
    expect(threads()).toBe(before);
    await train({ config: tinyConfig(), data, out: temporaryFolder(), signal: AbortSignal.abort() }).catch(() => {});
    expect(threads()).toBe(before);
    expect(Math.min(...during)).toBeGreaterThan(before);
  });

  it("refuses a folder that is taken", async () => {
    const out = temporaryFolder();
    writeFileSync(join(out, "something"), "");
    await expect(train({ config: tinyConfig(), data, out })).rejects.toThrow(
      `${out} exists and is not empty: choose another folder, or overwrite with --force`,
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
    await expect(train({ config, data: other, out, resume: true })).rejects.toThrow(
      "was trained on mnist (train), of which it was other images than now. Give --limit",
    );
    await expect(train({ config, data, out: temporaryFolder(), resume: true })).rejects.toThrow("there is no checkpoint in");
  });

  it("writes no model file when a class has no correctly classified sample", async () => {
    const out = temporaryFolder();
    // One image of 300.
    const poor = {
      ...data,
      classNames: [...data.classNames, "never learnt"],
      labels: data.labels.map((label, i) => (i === 0 ? 3 : label)),
    };
    await expect(train({ config: tinyConfig({ epochs: 1 }), data: poor, out })).rejects.toThrow(
      /no correctly classified sample of class .*"never learnt"/,
    );
    expect(existsSync(join(out, "model.onnx"))).toBe(false);
    expect(existsSync(checkpointPath(out))).toBe(true);
  });

  it("says when the folder cannot be written", async () => {
    const file = join(temporaryFolder(), "file");
    writeFileSync(file, "");
    await expect(train({ config: tinyConfig(), data, out: join(file, "run") })).rejects.toThrow(/cannot write .*run/);
  });
});

describe("early stopping", () => {
  it("ends after `patience` epochs without a better score, and a resumed run knows that it is over", async () => {
    const out = temporaryFolder();
    const config = tinyConfig({ epochs: 40, learningRate: 0.02, validation: 0.3, patience: 2, keep: "best-validation" });
    const { epochs, modelPath } = await train({ config, data, out });
    expect(epochs.length).toBeGreaterThan(2);
    expect(epochs.length).toBeLessThan(40);
    expect(epochs.indexOf(bestValidated(epochs)!)).toBe(epochs.length - 3);
    const model = readFileSync(modelPath);
    rmSync(modelPath);
    const again = await train({ config, data, out, resume: true });
    expect(again.epochs).toEqual(epochs);
    expect(readFileSync(modelPath).equals(model)).toBe(true);
  });
});

describe("bad input of a training", () => {
  it("is a class without images, which is told before the training", async () => {
    const out = join(temporaryFolder(), "new");
    const gap = { ...data, classNames: [...data.classNames, "3", "4"] };
    await expect(train({ config: tinyConfig(), data: gap, out })).rejects.toThrow('none of the 300 images is of class "3", "4"');
    expect(existsSync(out)).toBe(false);
  });

  it("is a file in the place of the run's folder", async () => {
    const out = join(temporaryFolder(), "file");
    writeFileSync(out, "mine");
    for (const force of [false, true]) await expect(train({ config: tinyConfig(), data, out, force })).rejects.toThrow(UserError);
    await expect(train({ config: tinyConfig(), data, out })).rejects.toThrow(`${out}: is a file; expected a folder for the run`);
    expect(readFileSync(out, "utf8")).toBe("mine");
  });
});

describe("validation", () => {
  it("images too few for thresholds of their own are a note, and an error where those were to be in force", async () => {
    // The held-out ones of class 2 carry its label and are pictures of another digit: none is classified correctly.
    const config = tinyConfig({ validation: 0.1, epochs: 4 });
    const { validation } = holdOut(data, 0.1, config.seed);
    const perImage = data.height * data.width;
    const pixelsOf = (of: ImageSet, i: number) => of.pixels.subarray(i * perImage, (i + 1) * perImage);
    const zero = data.labels.indexOf(0);
    const mixed = { ...data, pixels: data.pixels.slice() };
    for (let k = 0; k < validation.count; k++) {
      if (validation.labels[k] !== 2) continue;
      const at = Array.from(data.labels, (_, i) => i).find((i) => Buffer.compare(pixelsOf(data, i), pixelsOf(validation, k)) === 0)!;
      mixed.pixels.set(pixelsOf(data, zero), at * perImage);
    }
    const notes: string[] = [];
    const { model } = await train({ config, data: mixed, out: temporaryFolder(), onNote: (note) => notes.push(note) });
    expect(notes).toEqual([
      expect.stringContaining('no thresholds of the 30 held-out images: calibration: no correctly classified sample of class "2"'),
    ]);
    expect(model.card.calibration).toMatchObject({ source: "training" });
    expect(() => thresholdsAt(model.card, 1, "validation")).toThrow(UserError);
    const inForce = tinyConfig({ validation: 0.1, epochs: 4, thresholdsFrom: "validation" });
    await expect(train({ config: inForce, data: mixed, out: temporaryFolder() })).rejects.toThrow("no correctly classified sample");
  });

  it("scores the very weights that are exported, and the model carries thresholds from both sides", async () => {
    const config = tinyConfig({ validation: 0.2, ema: 0.8, thresholdsFrom: "validation", percentile: 5 });
    const { model, epochs } = await train({ config, data, out: temporaryFolder() });
    const { training, validation } = holdOut(data, 0.2, config.seed);
    const classifier = await Classifier.load(model);
    const held = await classifier.classify(validation);
    await classifier.release();
    const last = epochs.at(-1)!.validation!;
    expect(last.accuracy).toBe(held.labels.filter((label, i) => label === validation.labels[i]).length / validation.count);
    const truth = Array.from(validation.labels, (label, i) => held.classLogLikelihoods[i * 3 + label]!);
    expect(last.logLikelihood).toBeCloseTo(truth.reduce((a, b) => a + b, 0) / validation.count, 5);
    expect(last.rejectionRate).toBeGreaterThanOrEqual(0);
    const { card } = model;
    expect(card.measured["validationAccuracy"]).toBe(last.accuracy);
    expect(card.calibration).toMatchObject({
      source: "validation",
      split: "validation",
      fingerprint: validation.fingerprint,
      percentile: 5,
    });
    expect(card.otherCalibrations).toMatchObject([{ source: "training", split: "train", fingerprint: training.fingerprint }]);
    expect([...thresholdsInForce(card)]).toEqual([...Float32Array.from(thresholdsAt(card, 5, "validation").values)]);
    expect(thresholdsAt(card, 5)).toEqual(thresholdsAt(card, 5, "validation"));
    expect(thresholdsAt(card, 5, "training")).not.toEqual(thresholdsAt(card, 5, "validation"));
  });

  it("does not change the training", async () => {
    const [without, withScores] = [temporaryFolder(), temporaryFolder()];
    const { training, validation } = holdOut(data, 0.2, 1);
    expect(validation.count).toBe(60);
    await train({ config: tinyConfig(), data: training, out: without });
    await train({ config: tinyConfig({ validation: 0.2 }), data, out: withScores });
    expect(loadCheckpoint(withScores).state).toEqual(loadCheckpoint(without).state);
  });
});

describe("what is kept", () => {
  it("is the epoch with the lowest training loss", async () => {
    const [kept, shorter] = [temporaryFolder(), temporaryFolder()];
    // So high a rate that the loss goes up again within the four epochs.
    const config = tinyConfig({ epochs: 6, learningRate: 0.05, schedule: "constant", keep: "lowest-training-loss" });
    const { epochs, modelPath } = await train({ config, data, out: kept });
    const best = lowestLoss(epochs)!;
    expect(best.step).toBeLessThan(epochs.at(-1)!.step);
    const { modelPath: other } = await train({ config: { ...config, epochs: best.epoch, keep: "last" }, data, out: shorter });
    const [a, b] = [readModelFile(modelPath), readModelFile(other)];
    expect(tensorsOf(a)).toEqual(tensorsOf(b));
  });
});

describe("checkpoints", () => {
  const damages: [string, (bytes: Buffer) => Buffer][] = [
    ["truncated", (bytes) => bytes.subarray(0, bytes.length - 100)],
    ["something else", () => Buffer.from("no checkpoint")],
    ["changed in one bit", (bytes) => Buffer.concat([bytes.subarray(0, -5), Buffer.from([bytes.at(-5)! ^ 1]), bytes.subarray(-4)])],
  ];

  it.each(damages)("that are %s give way to the one before, with a note, and the result is the same", async (_what, damage) => {
    const [whole, out] = [temporaryFolder(), temporaryFolder()];
    const config = tinyConfig({ epochs: 6 });
    await train({ config, data, out: whole });
    const stop = (at: number) => {
      const controller = new AbortController();
      return { signal: controller.signal, onProgress: ({ step }: { step: number }) => step === at && controller.abort() };
    };
    await expect(train({ config, data, out, checkpointEverySteps: 10, ...stop(25) })).rejects.toThrow(Interrupted);
    writeFileSync(checkpointPath(out), damage(readFileSync(checkpointPath(out))));
    const loaded = loadCheckpoint(out);
    expect(loaded.position.step).toBe(20);
    expect(loaded.damage).toContain(checkpointPath(out));
    const notes: string[] = [];
    const onNote = (text: string) => notes.push(text);
    // Stopped again at once: the good checkpoint must not have been pushed out by the damaged one.
    await expect(train({ config, data, out, resume: true, onNote, signal: AbortSignal.abort() })).rejects.toThrow("stopped after 20");
    expect(notes).toEqual([expect.stringMatching(/checkpoint\.safetensors: .*going on from the checkpoint before it, at step 20/s)]);
    expect(loadCheckpoint(out).damage).toBe(undefined);
    writeFileSync(checkpointPath(out), "");
    await train({ config, data, out, resume: true });
    expect(loadCheckpoint(out).state).toEqual(loadCheckpoint(whole).state);
  });

  it("are written by time as well", async () => {
    const out = temporaryFolder();
    const controller = new AbortController();
    const seen: boolean[] = [];
    const onProgress = ({ step }: { step: number }) => {
      seen.push(existsSync(checkpointPath(out)));
      if (step === 3) controller.abort();
    };
    const { signal } = controller;
    await expect(train({ config: tinyConfig(), data, out, signal, onProgress, checkpointEveryMinutes: 1e-9 })).rejects.toThrow(Interrupted);
    expect(seen).toEqual([false, true, true]);
  });

  it("of before there were validation, averages and crops are read", async () => {
    const out = temporaryFolder();
    await expect(train({ config: tinyConfig(), data, out, signal: AbortSignal.abort() })).rejects.toThrow(Interrupted);
    const { tensors, metadata } = decodeSafetensors(readFileSync(checkpointPath(out)), out);
    const { epochs: _, pendingEpoch: __, config, ...position } = JSON.parse(metadata["sdim"]!);
    for (const key of ["validation", "patience", "keep", "ema", "thresholdsFrom", "cropPadding", "flip", "randomErasing"])
      delete config[key];
    writeFileSync(checkpointPath(out), encodeSafetensors(tensors, { sdim: JSON.stringify({ config, ...position }) }));
    expect(loadCheckpoint(out).position.config).toEqual(tinyConfig());
  });

  it.each(damages.slice(0, 2))("that are %s are refused when there is none before", async (_what, damage) => {
    const out = temporaryFolder();
    await train({ config: tinyConfig({ epochs: 0.2 }), data, out, checkpointEverySteps: 1 }).catch((error: unknown) => {
      // One step may leave a class without correct samples; the checkpoint is there all the same.
      expect(error).toBeInstanceOf(UserError);
    });
    writeFileSync(checkpointPath(out), damage(readFileSync(checkpointPath(out))));
    writeFileSync(previousCheckpointPath(out), "");
    expect(() => loadCheckpoint(out)).toThrow("and the checkpoint before it:");
    rmSync(previousCheckpointPath(out), { force: true });
    expect(() => loadCheckpoint(out)).toThrow(UserError);
    expect(() => loadCheckpoint(out)).toThrow("checkpoint.safetensors");
  });
});

describe("resolveConfig", () => {
  it("starts from defaults, then preset, then what is given", () => {
    expect(resolveConfig({}).epochs).toBe(5);
    expect([resolveConfig({}), resolveConfig({}, "paper"), resolveConfig({ head: "softmax" })].map(({ rejectBy }) => rejectBy)).toEqual([
      "penalised-likelihood",
      "likelihood",
      "likelihood",
    ]);
    expect(resolveConfig({}, "paper")).toMatchObject({ epochs: 500, learningRate: 0.001, schedule: "constant" });
    expect(resolveConfig({ epochs: 7 }, "paper")).toMatchObject({ epochs: 7, learningRate: 0.001 });
  });

  it.each([
    [{ epocs: 3 }, 'unknown config key "epocs": did you mean "epochs"?'],
    [{ epochs: -1 }, "epochs"],
    [{ critic: "none" }, "critic"],
    [{ imageSize: 30 }, "imageSize"],
    [{ patience: 3 }, "needs held-out images: set validation, for example to 0.1"],
    [{ keep: "best-validation" }, "keep"],
    [{ thresholdsFrom: "validation" }, "thresholdsFrom"],
    [{ validation: 1 }, "validation"],
    [{ ema: 1 }, "ema"],
    [{ epochs: 1e308 }, "epochs: expected at most 1000000, got 1e+308"],
    [{ depth: 1002, widths: [2048, 2048, 2048, 2048] }, "million weights"],
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
