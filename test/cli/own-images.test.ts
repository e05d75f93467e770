import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { Prediction } from "../../src/cli/commands/predict.ts";
import { sdim, start } from "../support/cli.ts";
import { removeFolders, temporaryFolder } from "../support/folders.ts";
import { writeNoise } from "../support/pictures.ts";
import { writeStripes } from "../support/shapes.ts";

const folder = temporaryFolder();
const data = join(folder, "stripes");
// A comma divides names, not the name of a folder that is there.
const ood = join(folder, "noise, grey");
const single = join(folder, "single");
const run = join(folder, "run");
const model = join(run, "model.onnx");
const tiny = ["--widths", "16,16,32,32", "--dimension", "8", "--batch-size", "16", "--learning-rate", "0.005", "--image-size", "24"];
const train = (out: string, ...more: string[]) => ["train", "--data", data, "--out", out, "--epochs", "24", ...tiny, ...more];

beforeAll(async () => {
  // The cache is the test's own.
  vi.stubEnv("HOME", folder);
  await writeStripes(data, 40, 3);
  await writeNoise([join(single, "only/1.png")]);
  writeFileSync(join(data, "notes.txt"), "no image");
  await writeNoise(
    Array.from({ length: 12 }, (_, i) => join(ood, `${i}.png`)),
    3,
  );
  const { code, stderr, stdout } = await sdim(...train(run, "--test-share", "0.25", "--split-seed", "7", "--json"));
  expect(stderr).toContain(`${data}: passed over files that are not images: 1 .txt`);
  expect(stderr).toContain(`training on 60 images of ${data} (train)`);
  expect(code).toBe(0);
  expect((JSON.parse(stdout) as { testAccuracy: number }).testAccuracy).toBeGreaterThan(0.9);
}, 120_000);
afterAll(() => {
  vi.unstubAllEnvs();
  removeFolders();
});

const json = async (...args: readonly string[]): Promise<unknown> => {
  const { code, stdout, stderr } = await sdim(...args, "--json");
  expect([code, stderr]).toEqual([0, expect.not.stringContaining("sdim:")]);
  return JSON.parse(stdout);
};

describe("a folder of one's own images", () => {
  it("is evaluated on the split that training set aside, at the model's size and channels, against images of no class", async () => {
    const result = (await json("evaluate", model, "--data", data, "--ood", ood)) as { accuracy: number; ood: { auroc: number }[] };
    expect(result).toMatchObject({ data, split: "test", count: 20, ood: [{ data: ood, count: 12 }] });
    expect(result.accuracy).toBeGreaterThan(0.9);
    expect(result.ood[0]!.auroc).toBeGreaterThanOrEqual(0);
    expect(result.ood[0]!.auroc).toBeLessThanOrEqual(1);
    expect(await json("evaluate", model, "--data", data, "--test-share", "1")).toMatchObject({ count: 80 });
  });

  it("says in the model card what it takes and how the data was loaded", async () => {
    const card = (await json("inspect", model)) as Record<string, unknown>;
    expect(card).toMatchObject({ classNames: ["lying", "standing"] });
    expect(JSON.stringify(card)).toContain('"loading":{"channels":3,"testShare":0.25,"splitSeed":7,"onBroken":"refuse"}');
  });

  it("is calibrated on the same training images", async () => {
    const before = (await json("inspect", model)) as { thresholds: number[] };
    const copy = join(folder, "copy.onnx");
    copyFileSync(model, copy);
    expect(await json("calibrate", copy, "--data", data, "--percentile", "1")).toMatchObject({ percentile: 1 });
    expect(((await json("inspect", copy)) as { thresholds: number[] }).thresholds).toEqual(before.thresholds);
  });

  it("has files that predict tells apart as training did", async () => {
    const files = [join(data, "lying/0.png"), join(data, "standing/0.png")];
    const predictions = (await json("predict", model, ...files)) as { label: string }[];
    expect(predictions.map(({ label }) => label)).toEqual(["lying", "standing"]);
  });

  it("is predicted as a folder too, with the likeliest classes", async () => {
    const predictions = (await json("predict", model, join(data, "lying"), join(data, "standing/0.png"), "--top", "5")) as Prediction[];
    expect(predictions.map(({ file }) => file).sort()).toEqual(
      [...readdirSync(join(data, "lying")).map((name) => join(data, "lying", name)), join(data, "standing/0.png")].sort(),
    );
    for (const { label, top } of predictions) {
      const [first, second, ...more] = top!;
      expect([first!.label, more]).toEqual([label, []]);
      expect(first!.posterior).toBeGreaterThanOrEqual(second!.posterior);
      expect(first!.posterior + second!.posterior).toBeCloseTo(1, 12);
    }
    const { stdout } = await sdim("predict", model, join(data, "standing/0.png"), "--top", "1");
    expect(stdout).toMatch(/0\.png {2}standing {2}.*\) {2}standing \d+\.\d\d%\n$/);
    const empty = join(folder, "empty");
    mkdirSync(empty);
    const refused = await sdim("predict", model, empty);
    expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining(`${empty}: no images in this folder`)]);
  });

  it("is taken up again by --resume without saying how it was loaded", async () => {
    const out = join(folder, "stopped");
    const { child, finished } = start(train(out, "--test-share", "0.25", "--split-seed", "7", "--checkpoint-every", "2"));
    while (!existsSync(join(out, "checkpoint.safetensors"))) await new Promise((resolve) => setTimeout(resolve, 20));
    child.kill("SIGINT");
    expect((await finished).code).toBe(130);
    const resumed = await sdim("train", "--out", out, "--resume", "--json");
    expect([resumed.code, resumed.stderr]).toEqual([0, expect.stringContaining("training on 60 images")]);
    expect(readFileSync(join(out, "model.onnx")).equals(readFileSync(model))).toBe(true);
    renameSync(data, `${data}-elsewhere`);
    const gone = await sdim("train", "--out", out, "--resume");
    expect([gone.code, gone.stderr]).toEqual([2, expect.stringContaining(`was trained on ${data}, which is not here; say with --data`)]);
    renameSync(`${data}-elsewhere`, data);
    const changed = await sdim("train", "--out", out, "--resume", "--split-seed", "8");
    expect([changed.code, changed.stderr]).toEqual([
      2,
      expect.stringContaining("other images than now. Give --limit, --channels, --test-share and --split-seed"),
    ]);
  });

  it("is trained on in batches and epochs that suit so few images, unless they are asked for", async () => {
    const options = ["--widths", "8,8,8,8", "--dimension", "8", "--image-size", "24", "--json"];
    const { code, stdout, stderr } = await sdim("train", "--data", data, "--out", join(folder, "fitted"), ...options);
    expect(stderr).toContain(
      "150 epochs in batches of 16 in place of 5 epochs in batches of 128, as there are only 64 images to train on (--epochs, --batch-size)",
    );
    expect([code, JSON.parse(stdout)]).toEqual([
      0,
      expect.objectContaining({ config: expect.objectContaining({ epochs: 150, batchSize: 16 }) }),
    ]);
  });

  it("is kept in the cache of the user", () => {
    expect(readdirSync(join(folder, ".cache/sdim/images")).length).toBeGreaterThan(2);
  });
});

describe("broken files", () => {
  it("stop a training, unless they are to be skipped: then they are named", async () => {
    const broken = join(folder, "broken");
    await writeStripes(broken, 24, 1, 2);
    writeFileSync(join(broken, "lying/bad.png"), "no image");
    const args = (out: string) => ["train", "--data", broken, "--out", join(folder, out), "--epochs", "20", ...tiny, "--test-share", "0"];
    const refused = await sdim(...args("b1"));
    expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining(`${broken}: 1 of 49 images cannot be read:`)]);
    expect(existsSync(join(folder, "b1"))).toBe(false);
    const skipped = await sdim(...args("b2"), "--skip-broken");
    expect(skipped.stderr).toContain(`skipped 1 of 49 images that cannot be read:\n  ${join(broken, "lying/bad.png")}: cannot be read`);
    expect(skipped.stderr).toContain("will not be measured on a test split");
    expect(skipped.code).toBe(0);
  });
});

it("a broken file among the test images stops a training too, before it begins", async () => {
  const divided = join(folder, "divided");
  for (const split of ["train", "test"]) await writeStripes(join(divided, split), 24, 1, 2);
  writeFileSync(join(divided, "test/lying/bad.png"), "no image");
  const args = ["train", "--data", divided, "--out", join(folder, "d1"), "--epochs", "1", ...tiny, "--thresholds-for", "all-classes"];
  const refused = await sdim(...args);
  expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining(`${divided}: 1 of 49 images cannot be read:`)]);
  expect(existsSync(join(folder, "d1"))).toBe(false);
  const { code, stdout } = await sdim(...args, "--skip-broken");
  expect([code, stdout]).toEqual([0, expect.stringMatching(/, test accuracy \d+\.\d\d%, \d+\.\d\d% rejected\n$/)]);
});

describe("mistakes exit with 2 and say what to do", () => {
  it.each([
    [
      "options of own images for a data set that is none",
      ["train", "--data", "mnist", "--out", join(folder, "m"), "--channels", "3"],
      "--channels: for a folder or CSV of images only; mnist is as it is",
    ],
    [
      "as many channels as there are not",
      ["train", "--data", data, "--out", join(folder, "m"), "--channels", "2"],
      'expected 1 or 3, got "2"',
    ],
    [
      "a share that is none",
      ["train", "--data", data, "--out", join(folder, "m"), "--test-share", "20"],
      'expected a number from 0 to 1, got "20"',
    ],
    [
      "a folder of one class",
      ["train", "--data", single, "--out", join(folder, "m")],
      `${single}: expected at least two classes, found only`,
    ],
    ["data options where nothing is loaded", ["calibrate", model, "--use", "training", "--skip-broken"], "cannot be used with option"],
    [
      "a percentile that is none",
      ["evaluate", model, "--data", data, "--percentile", "1,100"],
      "expected a number from 0 to below 100, got 100",
    ],
    [
      "a record in the place of the model",
      ["evaluate", model, "--data", data, "--out", join(run, ".", "model.onnx")],
      `would replace ${model}, which is read`,
    ],
    ["a page in the place of the training's config", ["report", run, "--out", join(run, "config.json")], "config.json, which is read"],
    [
      "a sheet among the images",
      ["data", "show", data, "--out", join(data, "upright", "sheet.png")],
      "would be taken for one of the images",
    ],
    ["a split that is not drawn", ["evaluate", model, "--data", data, "--split", "val"], `${data} has no val split`],
  ])("%s", async (_what, args, message) => {
    const { code, stdout, stderr } = await sdim(...args);
    expect(stderr).toContain(message);
    expect([code, stdout]).toEqual([2, ""]);
  });
});
