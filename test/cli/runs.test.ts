import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { readModelFile, thresholdsInForce } from "../../src/classify/model-file.ts";
import { readConfigFile } from "../../src/cli/config-file.ts";
import { UserError } from "../../src/core/errors.ts";
import type { ImageSet } from "../../src/data/image-set.ts";
import { checkpointPath } from "../../src/train/checkpoint.ts";
import { defaults, presets, resolveConfig } from "../../src/train/config.ts";
import { train } from "../../src/train/train.ts";
import { sdim, writeIdxSplit } from "../support/cli.ts";
import { temporaryFolder, tinyConfig, trainingDigits } from "../support/digits.ts";

const folder = temporaryFolder();
const runs = join(folder, "runs");
const digits = join(folder, "digits");
const config = join(folder, "mine.yaml");
const model = join(runs, "a", "model.onnx");

const json = async (...args: readonly string[]) => {
  const { code, stdout, stderr } = await sdim(...args, "--json");
  expect([code, stderr]).toEqual([0, ""]);
  return JSON.parse(stdout);
};

let data: ImageSet;
beforeAll(async () => {
  data = await trainingDigits();
  writeIdxSplit(digits, "train", data);
  writeFileSync(
    config,
    "# small\nwidths: [16, 16, 32, 32]\nimageSize: 16\ndimension: 8\nbatchSize: 32\nepochs: 6\nlearningRate: 0.005\ngamma: 1\nmeanSpread: 0.1\nrejectBy: likelihood\nvalidation: 0.2\nthresholdsFrom: validation\n",
  );
  const trained = await sdim(
    "train",
    "--data",
    digits,
    "--out",
    join(runs, "a"),
    "--config",
    config,
    "--ema",
    "0.5",
    "--tensorboard",
    "--json",
  );
  expect(trained.code).toBe(0);
  expect(trained.stderr).toMatch(/epoch 6 done: loss .* validation \d+\.\d\d%, log-likelihood -?\d/);
  expect(JSON.parse(trained.stdout)).toMatchObject({
    epochs: 6,
    config: { validation: 0.2, ema: 0.5 },
    validationAccuracy: expect.any(Number),
  });
  const controller = new AbortController();
  const onProgress = ({ step }: { step: number }) => step === 25 && controller.abort();
  await train({ config: tinyConfig(), data, out: join(runs, "b"), signal: controller.signal, onProgress }).catch(() => {});
  await train({ config: tinyConfig(), data, out: join(runs, "c"), signal: AbortSignal.abort() }).catch(() => {});
  writeFileSync(checkpointPath(join(runs, "c")), "not a checkpoint at all");
}, 120_000);

describe("runs", () => {
  it("list, with the state of each", async () => {
    const listed = await json("runs", "list", runs);
    expect(listed.map(({ folder, state }: { folder: string; state: unknown }) => ({ folder, state }))).toEqual([
      { folder: join(runs, "a"), state: { kind: "finished" } },
      { folder: join(runs, "b"), state: { kind: "stopped", step: 25, steps: 72 } },
      { folder: join(runs, "c"), state: { kind: "broken", reason: expect.stringContaining("not a whole safetensors file") } },
    ]);
    expect(listed[0]).toMatchObject({ epochs: 6, data: digits, config: { ema: 0.5 }, validationAccuracy: expect.any(Number) });
    const { code, stdout } = await sdim("runs", "list", runs);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^run +state +data +epochs +loss +validation +test +time +config\n-+\n/);
    expect(stdout).toMatch(/finished .* \d+\.\d\d% .*validation=0\.2 ema=0\.5 rejectBy="likelihood" thresholdsFrom="validation"\n/);
    expect(stdout).toContain("stopped at 25/72");
  });

  it("say which is running: by the process that holds the folder, if it is alive", async () => {
    const lock = join(runs, "b", "training.lock");
    const alive = process.ppid;
    writeFileSync(lock, JSON.stringify({ pid: alive, host: hostname() }));
    expect((await json("runs", "show", join(runs, "b"))).state).toEqual({ kind: "running", step: 25, steps: 72 });
    await expect(train({ config: tinyConfig(), data, out: join(runs, "b"), resume: true })).rejects.toThrow(
      `process ${alive} on ${hostname()} is training in this folder`,
    );
    const { pid } = spawnSync(process.execPath, ["-e", ""]);
    writeFileSync(lock, JSON.stringify({ pid, host: hostname() }));
    expect((await json("runs", "show", join(runs, "b"))).state.kind).toBe("stopped");
    rmSync(lock);
  });

  it("show one, with its curve", async () => {
    const { history, epochs } = await json("runs", "show", join(runs, "a"));
    expect(history.map(({ step }: { step: number }) => step)).toEqual([20, 40, 42]);
    expect(epochs).toHaveLength(6);
    const { stdout } = await sdim("runs", "show", join(runs, "a"));
    expect(stdout).toMatch(/epoch 6 done: .*validation .*\n\nloss by step\n( *\d+\.\d+ \|\**[ *]*\n){12} +\+-{72}\n +20 +42\n$/);
  });

  it("take a line each in the list where they are broken, and as many as it takes alone", async () => {
    const others = join(folder, "others");
    mkdirSync(join(others, "transformer"), { recursive: true });
    writeFileSync(join(others, "transformer", "config.json"), '{"hidden_size": 768}');
    const { stdout } = await sdim("runs", "list", others);
    expect(stdout.split("\n").at(-2)).toMatch(
      /transformer: .*not the config of a run: \.\.\. \(all of it: sdim runs show .*transformer\)$/,
    );
    expect((await sdim("runs", "show", join(others, "transformer"))).stdout).toMatch(/not the config of a run:\n +head: expected /);
  });

  it("compare, by the keys that differ", async () => {
    const { differingKeys } = await json("runs", "compare", join(runs, "a"), join(runs, "b"));
    expect(differingKeys).toEqual(["epochs", "validation", "ema", "thresholdsFrom"]);
    const { stdout } = await sdim("runs", "compare", join(runs, "a"), join(runs, "b"));
    expect(stdout).toMatch(/\nema +0\.5 +null\n/);
    expect(stdout).not.toContain("batchSize");
  });

  it("are refused where there are none", async () => {
    const { code, stderr } = await sdim("runs", "show", digits);
    expect([code, stderr]).toEqual([2, expect.stringContaining("expected the folder of a run")]);
    expect(await sdim("runs", "list", join(folder, "nothing"))).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("there is no folder"),
    });
  });

  it("have event files when asked", () => {
    expect(readdirSync(join(runs, "a", "tensorboard"))).toHaveLength(1);
    expect(readdirSync(join(runs, "b"))).not.toContain("tensorboard");
  });
});

describe("thresholds of both sides", () => {
  it("are shown by inspect and put in force by calibrate --use", async () => {
    const { stdout } = await sdim("inspect", model);
    expect(stdout).toMatch(/rejects +below percentile 1 of the log-likelihood of validation images, .* \(validation\)/);
    expect(stdout).toMatch(/class +validation \(in force\) +training\n/);
    const before = thresholdsInForce(readModelFile(model).card);
    const switched = await json("calibrate", model, "--use", "training", "--percentile", "5");
    expect(switched).toMatchObject({ source: "training", percentile: 5, otherCalibrations: [{ source: "validation" }] });
    expect(thresholdsInForce(readModelFile(model).card)).not.toEqual(before);
    expect(await json("calibrate", model, "--use", "validation")).toMatchObject({ source: "validation", percentile: 5 });
    await json("calibrate", model, "--use", "validation", "--percentile", "1");
    expect(thresholdsInForce(readModelFile(model).card)).toEqual(before);
    const given = await sdim("calibrate", model, "--data", digits);
    expect(given.stdout).toMatch(/\(train\), given images\n/);
    expect(given.stdout).toMatch(/also stored: validation images.*\nalso stored: training images/);
    const { code, stderr } = await sdim("calibrate", model, "--use", "training", "--percentile", "33");
    expect([code, stderr]).toEqual([2, expect.stringContaining("percentile 33: the model file has thresholds at 0.5, 1, 2, 5, 10")]);
    expect(await sdim("calibrate", model)).toMatchObject({ code: 2, stderr: expect.stringContaining("--data: name a data set") });
  });
});

describe("config", () => {
  it("is printed with what every key means, and read back the same", async () => {
    const { code, stdout } = await sdim("config", "--preset", "paper");
    expect(code).toBe(0);
    expect(stdout).toContain("# weight of the margin loss\ngamma: 1\n");
    expect(stdout).toContain("widths: [32, 64, 128, 256]\n");
    expect(stdout.match(/^# \S/gm)).toHaveLength(Object.keys(defaults).length);
    const file = join(folder, "paper.yaml");
    writeFileSync(file, stdout);
    expect(await json("config", "--config", file)).toEqual({ ...defaults, ...presets.paper });
    const ofData = await json("config", "--preset", "paper", "--data", "cifar10", "--flip", "false");
    expect(ofData).toEqual({ ...defaults, ...presets.paper, cropPadding: 4, flip: false });
  });

  it("and what is there are for --resume, which takes nothing that contradicts them", async () => {
    for (const [option, message] of [
      [["--force"], "--force begins anew; leave one out"],
      [["--from", join(runs, "b")], "leave --from out"],
      [["--epochs", "7"], "leave out epochs"],
      [["--preset", "paper"], "leave --preset out"],
    ] as const) {
      const refused = await sdim("train", "--out", join(runs, "a"), "--resume", ...option);
      expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining(message) });
    }
  });

  it("of a run is saved with it", () => {
    const saved = JSON.parse(readFileSync(join(runs, "a", "config.json"), "utf8"));
    expect(saved).toEqual(tinyConfig({ epochs: 6, validation: 0.2, ema: 0.5, thresholdsFrom: "validation" }));
  });

  it.each([
    ["an unknown key", "epocs: 3\n", 'unknown config key "epocs": did you mean "epochs"?'],
    ["a key twice", "epochs: 3\nepochs: 4\n", "bad.yaml: the key epochs is there twice, again at line 2"],
    ["a key twice further in", '{"seed": 1,\n"variants": [{"a": 1, "a": 2}]}', "bad.yaml: the key a is there twice, again at line 2"],
    ["more keys than there are", Array.from({ length: 30_000 }, (_, i) => `${i}:\n`).join(""), 'unknown config key "0"'],
    ["more than a config has", "#".repeat(2 ** 18 + 1), "bad.yaml: 262145 bytes, more than the 262144 that are read at most"],
    ["no YAML", "epochs: [1, 2\n", /not YAML or JSON: .* at line/],
    ["a list", "- 1\n", "expected config keys with their values"],
    [
      "aliases of aliases",
      `a: &a [x, x, x, x, x, x, x, x, x]\n${"bcdef"
        .split("")
        .map((name, i) => `${name}: &${name} [${`*${"abcdef"[i]}, `.repeat(9)}]\n`)
        .join("")}`,
      "alias",
    ],
    ["keys that need others", "patience: 3\n", "needs held-out images: set validation, for example to 0.1"],
  ])("with %s is refused", (_what, text, message) => {
    const file = join(folder, "bad.yaml");
    writeFileSync(file, text);
    const resolve = () => resolveConfig(readConfigFile(file));
    expect(resolve).toThrow(UserError);
    expect(resolve).toThrow(message);
  });

  it("that is no file is refused", () => {
    const pipe = join(folder, "pipe.yaml");
    execFileSync("mkfifo", [pipe]);
    expect(() => readConfigFile(pipe)).toThrow(new UserError(`--config ${pipe}: it is a device or a pipe, not a file`));
    expect(() => readConfigFile(folder)).toThrow(new UserError(`--config ${folder}: it is a folder, not a file`));
  });
});
