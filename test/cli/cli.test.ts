import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { closeSync, copyFileSync, cpSync, existsSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { encodeModelFile, readModelFile, withCard } from "../../src/classify/model-file.ts";
import { packageVersion } from "../../src/core/version.ts";
import type { Evaluation } from "../../src/evaluate/evaluation.ts";
import type { EvaluationRecord } from "../../src/evaluate/record.ts";
import { sdim, sdimHere, start, writeIdxSplit } from "../support/cli.ts";
import { temporaryFolder, testDigits, trainingDigits } from "../support/digits.ts";

const folder = temporaryFolder();
const data = join(folder, "digits");
const run = join(folder, "run");
const model = join(run, "model.onnx");
const tiny = ["--widths", "16,16,32,32", "--image-size", "16", "--dimension", "8", "--batch-size", "32", "--learning-rate", "0.005"];

beforeAll(async () => {
  writeIdxSplit(data, "train", await trainingDigits());
  writeIdxSplit(data, "t10k", await testDigits());
  const trained = await sdim("train", "--data", data, "--out", run, "--epochs", "6", ...tiny, "--seed", "3", "--json");
  expect(trained.stderr).toContain("training on 300 images");
  expect(trained.code).toBe(0);
  expect(JSON.parse(trained.stdout)).toMatchObject({
    model,
    data: { count: 300 },
    config: { epochs: 6, seed: 3, widths: [16, 16, 32, 32] },
  });
}, 120_000);

const json = async (...args: readonly string[]): Promise<Record<string, unknown>> => {
  const { code, stdout, stderr } = await sdim(...args, "--json");
  expect(stderr).not.toContain("sdim:");
  expect(code).toBe(0);
  return JSON.parse(stdout) as Record<string, unknown>;
};

describe("good paths", () => {
  it("evaluate --json", async () => {
    const result = await json("evaluate", model, "--data", data, "--ood", "fashion-mnist-sample", "--percentile", "1,2");
    expect(result).toMatchObject({ model, data, count: 200, ood: [{ data: "fashion-mnist-sample", count: 1000 }] });
    expect(result["accuracy"]).toBeGreaterThan(0.8);
    const [ood] = result["ood"] as {
      auroc: number;
      fprAt95InPositive: number;
      rejection: { percentile: number; decisionRejectionRate: number; perClassRejectionRate: number }[];
    }[];
    expect(ood!.auroc).toBeGreaterThan(0);
    expect(ood!.auroc).toBeLessThan(1);
    expect(ood!.rejection.map(({ percentile }) => percentile)).toEqual([1, 2]);
    expect((result["rejection"] as { rejectionRate: number }[])[1]!.rejectionRate).toBeGreaterThanOrEqual(
      (result["rejection"] as { rejectionRate: number }[])[0]!.rejectionRate,
    );
  });

  it("evaluate, for a person", async () => {
    const { stdout, code } = await sdim("evaluate", model, "--data", data);
    expect(code).toBe(0);
    expect(stdout).toMatch(/thresholds at percentile +1 +2\n-+\naccuracy on 200 .* images +\d+\.\d+% \[\d+\.\d+, \d+\.\d+\]\n/);
    expect(stdout).toMatch(/\n\[low, high\]: 95% percentile bootstrap interval, 1,000 resamples\n$/);
    expect(stdout.split("\n").length).toBeLessThan(12);
  });

  it("evaluate on synthetic sets, with a record and a report", async () => {
    const [out, report] = [join(folder, "record.json"), join(folder, "report.html")];
    const args = ["evaluate", model, "--data", data, "--ood", "uniform-noise,gaussian-noise,constant,shuffled-patches"];
    const options = ["--synthetic-count", "150", "--resamples", "50", "--seed", "7", "--percentile", "2"];
    const result = (await json(...args, ...options, "--out", out, "--report", report)) as unknown as Evaluation;
    expect(result.ood.map((set) => [set.data, set.count])).toEqual(
      ["uniform-noise", "gaussian-noise", "constant", "shuffled-patches"].map((name) => [name, 150]),
    );
    expect(result.bootstrap).toEqual({ resamples: 50, level: 0.95, seed: 7 });
    const { low, high } = result.intervals.accuracy!;
    expect(low).toBeLessThanOrEqual(result.accuracy);
    expect(high).toBeGreaterThanOrEqual(result.accuracy);
    expect(result.confusion.flat().reduce((a, b) => a + b)).toBe(200);

    const record = JSON.parse(readFileSync(out, "utf8")) as EvaluationRecord;
    expect(record.evaluation).toEqual(result);
    expect(record.modelFile).toMatchObject({
      path: model,
      sha256: createHash("sha256").update(readFileSync(model)).digest("hex"),
      training: { config: { epochs: 6, seed: 3 } },
      calibration: { data, split: "train", percentile: 1 },
    });
    expect(record.circumstances.command).toContain(`sdim evaluate ${model} --data ${data} --ood uniform-noise,`);
    expect(record.circumstances).toMatchObject({ node: process.version, sdim: packageVersion(), at: expect.stringMatching(/^\d{4}-.*Z$/) });

    const html = readFileSync(report, "utf8");
    expect(html).toContain(`<h1>SDIM on ${data}</h1>`);
    expect(html).toContain(record.modelFile.sha256);
    for (const name of ["constant", "shuffled-patches"]) expect(html).toContain(`ROC curve of ${name}: area`);
    // Same seed, same numbers.
    expect(await json(...args, ...options)).toEqual(result);
  });

  it("evaluate --resamples 0 gives numbers without intervals", async () => {
    const { stdout } = await sdim("evaluate", model, "--data", data, "--resamples", "0");
    expect(stdout).not.toContain("[");
    expect((await json("evaluate", model, "--data", data, "--resamples", "0"))["intervals"]).toMatchObject({ accuracy: null, aurc: null });
  });

  it("predict --json", async () => {
    const predictions = (await json("predict", model, "samples/images/digit.png", "samples/images/shirt.png")) as unknown as Record<
      string,
      unknown
    >[];
    expect(predictions.map(({ file }) => file)).toEqual(["samples/images/digit.png", "samples/images/shirt.png"]);
    for (const { label, accepted, logLikelihood, threshold, classLogLikelihoods } of predictions) {
      expect(["0", "1", "2"]).toContain(label);
      expect(accepted).toBe((logLikelihood as number) >= (threshold as number));
      expect(Math.max(...(classLogLikelihoods as number[]))).toBe(logLikelihood);
    }
  });

  it("predict --percentile decides by other thresholds of the file, and names those it has", async () => {
    const digit = "samples/images/digit.png";
    const thresholdAt = async (...options: string[]) =>
      (JSON.parse((await sdimHere("predict", model, digit, "--json", ...options)).stdout) as { threshold: number }[])[0]!.threshold;
    const inForce = await thresholdAt();
    expect(await thresholdAt("--percentile", "1")).toBe(inForce);
    expect(await thresholdAt("--percentile", "10")).toBeGreaterThan(inForce);
    const [unknown, none] = [
      await sdimHere("predict", model, digit, digit, "--percentile", "3"),
      await sdimHere("predict", model, digit, "--percentile", "x"),
    ];
    expect([unknown.code, unknown.stderr.match(/the model file has thresholds at 0\.5, 1, 2, 5, 10/g)?.length]).toEqual([2, 1]);
    expect([none.code, none.stderr]).toEqual([2, expect.stringContaining('expected a number, got "x"')]);
  });

  it("inspect --json", async () => {
    const result = await json("inspect", model);
    expect(result).toMatchObject({ classNames: ["0", "1", "2"], inputs: ["images"], calibration: { percentile: 1, correctOnly: true } });
    expect(result["thresholds"]).toHaveLength(3);
    expect(result["parameters"]).toBeGreaterThan(10_000);
    expect((result["measured"] as Record<string, number>)["testAccuracy"]).toBeGreaterThan(0.8);
  });

  it("train --resume measures what a stop after the training left unmeasured", async () => {
    const copy = join(folder, "unmeasured");
    cpSync(run, copy, { recursive: true });
    const path = join(copy, "model.onnx");
    const file = readModelFile(path);
    const { testAccuracy, testRejectionRate: _, ...rest } = file.card.measured;
    expect(testAccuracy).toBeGreaterThan(0.8);
    writeFileSync(path, encodeModelFile(withCard(file, { ...file.card, measured: rest })));
    const { code, stdout } = await sdim("train", "--out", copy, "--resume", "--json");
    expect([code, (JSON.parse(stdout) as Record<string, unknown>)["testAccuracy"]]).toEqual([0, testAccuracy]);
    expect(readModelFile(path).card.measured).toEqual(file.card.measured);
  });

  it("train goes on when nobody reads its progress any longer", async () => {
    const out = join(folder, "unheard");
    const { child, finished, stderr } = start(["train", "--data", data, "--out", out, "--epochs", "6", ...tiny, "--seed", "3"]);
    child.stderr!.once("data", () => child.stderr!.destroy());
    expect(await finished).toMatchObject({ code: 0, stdout: expect.stringContaining("trained in") });
    expect(stderr()).not.toContain("epoch 6");
    expect(existsSync(join(out, "model.onnx"))).toBe(true);
  });

  it("calibrate, to another percentile and back", async () => {
    const copy = join(folder, "copy.onnx");
    copyFileSync(model, copy);
    const at = async () => (await json("inspect", copy))["thresholds"] as number[];
    const before = await at();
    expect(await json("calibrate", copy, "--data", data, "--percentile", "20,3")).toMatchObject({ percentile: 20, correctOnly: true });
    (await at()).forEach((threshold, c) => {
      expect(threshold).toBeGreaterThan(before[c]!);
    });
    expect((await json("evaluate", copy, "--data", data, "--percentile", "3"))["count"]).toBe(200);
    expect(await json("calibrate", copy, "--data", data)).toMatchObject({ percentile: 20 });
    await json("calibrate", copy, "--data", data, "--percentile", "1");
    // The penalties of the training's own calibration were taken outside the graph: the same but for rounding.
    (await at()).forEach((threshold, c) => {
      expect(threshold / before[c]!).toBeCloseTo(1, 5);
    });
  });

  it("calibrate, to another score and one threshold for all, into another file", async () => {
    const strict = join(folder, "strict.onnx");
    const scores = ["--reject-by", "penalised-likelihood", "--thresholds-for", "all-classes"];
    const before = readFileSync(model);
    const result = await json("calibrate", model, "--data", data, ...scores, "--out", strict);
    expect(result).toMatchObject({ model: strict, rejectBy: "penalised-likelihood", thresholdsFor: "all-classes" });
    expect(new Set((await json("inspect", strict))["thresholds"] as number[]).size).toBe(1);
    expect((await sdim("inspect", strict)).stdout).toContain("of the penalised log-likelihood of training images");
    expect((await json("evaluate", strict, "--data", data))["count"]).toBe(200);
    expect(readFileSync(model).equals(before)).toBe(true);
    const refused = await sdim("calibrate", model, "--use", "training", "--reject-by", "likelihood");
    expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining("cannot be used with")]);
  });

  it("calibrate, to scores of images and their mirror images, and back", async () => {
    const flipped = join(folder, "flipped.onnx");
    const result = await json("calibrate", model, "--data", data, "--test-time-flip", "--out", flipped);
    expect(result).toMatchObject({ model: flipped, testTimeFlip: true });
    expect((await sdim("inspect", flipped)).stdout).toContain("means over the image and its mirror image");
    const report = join(folder, "flipped.html");
    expect((await json("evaluate", flipped, "--data", data, "--report", report))["count"]).toBe(200);
    expect(readFileSync(report, "utf8")).toContain("means over the image and its mirror image");
    expect(await json("calibrate", flipped, "--data", data, "--no-test-time-flip")).toMatchObject({ testTimeFlip: false });
    expect((await sdim("inspect", flipped)).stdout).not.toContain("mirror image");
  });

  it("config takes null, over a file too", async () => {
    const file = join(folder, "averaged.yaml");
    writeFileSync(file, "ema: 0.99\nvalidation: 0.1\npatience: 3\n");
    const shown = await json("config", "--config", file, "--ema", "null", "--log-sigma-floor", "none");
    expect(shown).toMatchObject({ ema: null, patience: 3, logSigmaFloor: null });
  });

  it("doctor --json", async () => {
    const checks = (await json("doctor")) as unknown as { what: string; state: string }[];
    expect(checks.find(({ what }) => what === "CPU provider")!.state).toBe("ok");
    expect(checks.find(({ what }) => what === "data set mnist")!.state).toBe("ok");
  });

  it("--help of every command shows an example or teaches the next step", async () => {
    const { stdout, code } = await sdim("--help");
    expect(code).toBe(0);
    expect(stdout).toContain("sdim train --data mnist --out runs/a --epochs 5");
    for (const command of ["train", "calibrate", "evaluate", "predict", "inspect"])
      expect((await sdim(command, "--help")).stdout).toContain("$ sdim");
  });
});

describe("stopping and going on", () => {
  const args = (out: string) => [
    "train",
    "--data",
    data,
    "--out",
    out,
    "--epochs",
    "40",
    ...tiny,
    "--threads",
    "1",
    "--checkpoint-every",
    "3",
  ];
  const untilCheckpoint = async (out: string) => {
    while (!existsSync(join(out, "checkpoint.safetensors"))) await new Promise((resolve) => setTimeout(resolve, 30));
  };
  const step = (out: string): number => {
    const lines = readFileSync(join(out, "checkpoint.safetensors")).toString("latin1");
    return Number(/\\"step\\":(\d+),\\"history/.exec(lines)![1]);
  };

  it("Ctrl-C leaves a checkpoint, --resume goes on, and a second one is refused other options", async () => {
    const out = join(folder, "interrupted");
    const { child, finished } = start(args(out));
    await untilCheckpoint(out);
    child.kill("SIGINT");
    const { code, stderr } = await finished;
    expect(code).toBe(130);
    const goOn = /stopped after \d+ of 360 steps; go on with: sdim (train --out .* --resume --threads 1)/.exec(stderr)![1]!;
    const refused = await sdim("train", "--out", out, "--resume", "--epochs", "41");
    expect([refused.code, refused.stderr]).toEqual([
      2,
      expect.stringContaining("--resume goes on with the run's own config; leave out epochs"),
    ]);
    const before = step(out);
    const again = start([...goOn.split(" "), "--checkpoint-every", "3"]);
    while (step(out) <= before) await new Promise((resolve) => setTimeout(resolve, 30));
    again.child.kill("SIGTERM");
    expect((await again.finished).code).toBe(130);
  });

  it("kill -9 loses at most the steps since the last checkpoint", async () => {
    const out = join(folder, "killed");
    const { child, finished } = start(args(out));
    await untilCheckpoint(out);
    child.kill("SIGKILL");
    expect((await finished).signal).toBe("SIGKILL");
    const at = step(out);
    expect(at % 3).toBe(0);
    const again = start(["train", "--out", out, "--resume", "--checkpoint-every", "3"]);
    while (step(out) <= at) await new Promise((resolve) => setTimeout(resolve, 30));
    again.child.kill("SIGINT");
    expect((await again.finished).code).toBe(130);
  });
});

describe("mistakes exit with 2 and say what to do", () => {
  it.each([
    ["no such command", ["trian"], "unknown command 'trian'"],
    ["an option that is not there", ["train", "--data", "mnist", "--out", "x", "--epocs", "3"], "Did you mean --epochs?"],
    ["an unknown data set", ["train", "--data", "mnits", "--out", join(folder, "new")], 'did you mean "mnist"?'],
    ["an unknown preset", ["train", "--data", "mnist", "--out", "x", "--preset", "fast"], "Allowed choices are quick, standard, paper"],
    ["a value out of range", ["train", "--data", "mnist", "--out", join(folder, "new"), "--epochs", "-3"], "epochs"],
    ["a value of another kind", ["train", "--data", "mnist", "--out", join(folder, "new"), "--critic", "dots"], "critic"],
    ["a folder that is taken", ["train", "--data", data, "--out", run, ...tiny], "exists and is not empty"],
    ["no data", ["train", "--out", join(folder, "new")], "--data: name a data set or a folder to train on"],
    [
      "a config file that is not there",
      ["train", "--data", "mnist", "--out", join(folder, "new"), "--config", "none.json"],
      "--config none.json: there is no such file",
    ],
    ["a model that is not there", ["inspect", join(folder, "none.onnx")], "none.onnx: there is no such file"],
    ["a folder to serve", ["serve", run], `cannot read the model ${run}: it is a folder; did you mean ${model}?`],
    ["no mean of trainings", ["average", run, run, "--out", "mean"], "--out: expected a model file that ends in .onnx, got mean"],
    ["a model that is not one", ["predict", "package.json", "samples/images/digit.png"], "package.json"],
    ["an image that is not one", ["predict", model, "package.json"], "package.json: cannot be read as an image"],
    ["a folder in place of a model", ["inspect", run], `cannot read the model ${run}: it is a folder; did you mean ${model}?`],
    ["a percentile that is none", ["calibrate", model, "--data", data, "--percentile", "1,101"], "from 0 to below 100, got 101"],
    ["threads where nothing is computed", ["calibrate", model, "--use", "training", "--threads", "1"], "cannot be used with option"],
    ["a count without a sheet", ["data", "show", data, "--count", "3"], "--count: of what sheet? Name its file with --out"],
    ["a count without a set", ["evaluate", model, "--data", data, "--synthetic-count", "9"], "--synthetic-count: of what data?"],
    ["more threads than there can be", ["reproduce", "table5", "--threads", "1000"], "expected at most 512 threads, got 1000"],
    ["a file that is there", ["calibrate", model, "--use", "training", "--out", "package.json"], "package.json: is there already; --force"],
    [
      "one file for two",
      ["evaluate", model, "--data", data, "--out", "x.json", "--report", "./x.json"],
      "--out and --report: both are x.json",
    ],
    ["layers that no ResNet has", ["config", "--depth", "12"], "expected 8n + 2 layers: 10, 18, 26, 34"],
    ["a sheet that is no PNG", ["data", "show", data, "--out", "sheet.jpg"], "--out sheet.jpg: the sheet is a PNG"],
    [
      "a percentile without thresholds",
      ["evaluate", model, "--data", data, "--percentile", "33"],
      "percentile 33: the model file has thresholds at 0.5, 1, 2, 5, 10. Add it with: sdim calibrate",
    ],
    [
      "an out-of-distribution set that is none",
      ["evaluate", model, "--data", data, "--ood", "uniform-nois"],
      'did you mean "uniform-noise"? Known: mnist, ',
    ],
    [
      "no images of a synthetic set",
      ["evaluate", model, "--data", data, "--ood", "constant", "--synthetic-count", "0"],
      "images of 28 x 28 x 1, asked for 0",
    ],
    [
      "too many resamples",
      ["evaluate", model, "--data", data, "--resamples", "1000000000"],
      "resamples: expected a whole number from 0 to 100000, got 1000000000",
    ],
    ["data of other classes", ["evaluate", model, "--data", "mnist"], "the model knows the classes 0, 1, 2; mnist has 0, 1, 2, 3"],
    ["nonsense for numbers", ["evaluate", model, "--data", data, "--percentile", "1,x"], 'expected numbers with commas between, got "1,x"'],
  ])("%s", async (_what, args, message) => {
    const { code, stdout, stderr } = await sdim(...args);
    expect(stderr).toContain(message);
    expect([code, stdout]).toEqual([2, ""]);
  });

  it("one of several images that is not one, after the verdicts on the others", async () => {
    const { code, stdout, stderr } = await sdim("predict", model, "samples/images/digit.png", "package.json", "samples/images/shirt.png");
    expect(stdout).toMatch(/^samples\/images\/digit\.png .*\nsamples\/images\/shirt\.png .*\n$/);
    expect(stderr).toContain("package.json: cannot be read as an image");
    expect(stderr).toContain("1 of 3 images could not be classified");
    expect(code).toBe(2);
  });

  it("an unknown key in a config file gets the nearest match", async () => {
    const config = join(folder, "config.json");
    writeFileSync(config, '{"learnRate": 0.1}');
    const { code, stderr } = await sdim("train", "--data", data, "--out", join(folder, "new"), "--config", config);
    expect([code, stderr]).toEqual([2, expect.stringContaining('unknown config key "learnRate": did you mean "learningRate"?')]);
    expect(existsSync(join(folder, "new"))).toBe(false);
  });

  it("a place that cannot be written", async () => {
    const { code, stderr } = await sdim("evaluate", model, "--data", data, "--out", "package.json/evaluation.json");
    expect([code, stderr]).toEqual([2, expect.stringContaining("cannot write package.json/evaluation.json")]);
  });

  it("an output that cannot be written", () => {
    const full = openSync("/dev/full", "w");
    const args = ["--import", "tsx", "src/cli/main.ts", "data", "list"];
    const { status, stderr } = spawnSync(process.execPath, args, { stdio: ["ignore", full, "pipe"], encoding: "utf8" });
    closeSync(full);
    expect([status, stderr]).toEqual([1, "sdim: cannot write the output: ENOSPC: no space left on device, write\n"]);
  });
});
