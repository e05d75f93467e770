import { appendFileSync, copyFileSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { parse } from "csv-parse/sync";
import { asyncBufferFromFile, parquetReadObjects } from "hyparquet";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { thresholdsAt } from "../../src/classify/calibrations.ts";
import { Classifier } from "../../src/classify/classifier.ts";
import { readModelFile } from "../../src/classify/model-file.ts";
import { readPicture } from "../../src/data/images.ts";
import { csvLine } from "../../src/score/results.ts";
import type { Row } from "../../src/score/rows.ts";
import { journalPath, type ScoreOptions, score } from "../../src/score/score.ts";
import { sdim, start } from "../support/cli.ts";
import { removeFolders, temporaryFolder } from "../support/folders.ts";
import { noise, writePicture } from "../support/pictures.ts";

const model = "models/mnist/model.onnx";
let pictures: string;
let truth: Map<string, { label: string; accepted: boolean; logLikelihood: number; threshold: number }>;

/** Digits, garments, noise of several sizes, one broken file. */
beforeAll(async () => {
  pictures = temporaryFolder();
  mkdirSync(join(pictures, "sub"));
  for (let i = 0; i < 6; i++) await writePicture(join(pictures, `noise-${i}.png`), noise(i, 20 + (i % 3), 28, i % 2 === 0 ? 1 : 3));
  for (let i = 0; i < 140; i++) copyFileSync(`samples/images/${i % 2 === 0 ? "digit" : "shirt"}.png`, join(pictures, "sub", `${i}.png`));
  writeFileSync(join(pictures, "broken.png"), "no picture");
  const classifier = await Classifier.load(model, { threads: 1 });
  truth = new Map();
  for (const name of ["sub/0.png", "sub/1.png", ...Array.from({ length: 6 }, (_, i) => `noise-${i}.png`)]) {
    const said = await classifier.classify({ ...(await readPicture(join(pictures, name), 1)), count: 1 });
    truth.set(name, {
      label: classifier.card.classNames[said.labels[0]!]!,
      accepted: said.accepted[0] === 1,
      logLikelihood: said.logLikelihoods[0]!,
      threshold: said.thresholds[0]!,
    });
  }
  await classifier.release();
});
afterAll(removeFolders);

const run = (out: string, options: Partial<ScoreOptions> = {}) => score(model, pictures, { out, threads: 1, ...options });
const rowsOf = (path: string): Row[] =>
  readFileSync(path, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Row);

describe("scoring a folder", () => {
  it("says of each file what predict says of it alone, in the order of the names", async () => {
    const out = join(temporaryFolder(), "results.jsonl");
    const summary = await run(out, { withClassLogLikelihoods: true });
    const rows = rowsOf(out);
    expect(rows.map(({ file }) => file)).toEqual(rows.map(({ file }) => file).sort());
    expect(rows).toHaveLength(147);
    expect(rows.find(({ file }) => file.endsWith("broken.png"))).toEqual({
      file: join(pictures, "broken.png"),
      error: expect.stringContaining("cannot be read as an image"),
    });
    for (const [name, expected] of truth) {
      const row = rows.find(({ file }) => file === join(pictures, name))!;
      const { logLikelihood, ...verdict } = expected;
      expect(row).toMatchObject({ ...verdict, error: null });
      if (row.error !== null) throw new Error("not read");
      expect(Math.abs(row.logLikelihood - logLikelihood)).toBeLessThan(1e-4 * Math.abs(logLikelihood));
      expect(Math.max(...row.classLogLikelihoods!)).toBe(row.logLikelihood);
    }
    const rejected = rows.filter((row) => row.error === null && !row.accepted).length;
    expect(summary).toMatchObject({ files: 147, resumed: 0, broken: 1, accepted: 146 - rejected, acceptedShare: (146 - rejected) / 146 });
    expect(summary.classes.reduce((sum, one) => sum + one.rejected, 0)).toBe(rejected);
    expect(summary.classes.reduce((sum, one) => sum + one.count, 0)).toBe(146);
    expect(rejected).toBeGreaterThanOrEqual(70);
    expect(existsSync(journalPath(out))).toBe(false);
  });

  it("CSV, JSON lines and Parquet hold the same rows", async () => {
    const folder = temporaryFolder();
    const [csv, jsonl, parquet] = ["csv", "jsonl", "parquet"].map((ending) => join(folder, `results.${ending}`)) as [
      string,
      string,
      string,
    ];
    for (const out of [csv, jsonl, parquet]) await run(out, { withClassLogLikelihoods: true });
    const expected = rowsOf(jsonl).map((row) => ({
      file: row.file,
      ...(row.error === null
        ? { label: row.label, accepted: row.accepted, logLikelihood: row.logLikelihood, threshold: row.threshold }
        : { label: null, accepted: null, logLikelihood: null, threshold: null }),
      ...Object.fromEntries(
        Array.from({ length: 10 }, (_, c) => [`logLikelihood:${c}`, row.error === null ? row.classLogLikelihoods![c] : null]),
      ),
      error: row.error,
    }));
    expect(await parquetReadObjects({ file: await asyncBufferFromFile(parquet) })).toEqual(expected);
    const texts = expected.map((row) => Object.fromEntries(Object.entries(row).map(([key, value]) => [key, String(value ?? "")])));
    expect(parse(readFileSync(csv), { columns: true })).toEqual(texts);
  });

  it("by the thresholds at the percentile asked for, if the model has them", async () => {
    const folder = temporaryFolder();
    const [plain, inForce, strict] = ["plain", "in-force", "strict"].map((name) => join(folder, `${name}.jsonl`)) as [
      string,
      string,
      string,
    ];
    await run(plain);
    await run(inForce, { percentile: 1 });
    await run(strict, { percentile: 10 });
    expect(rowsOf(inForce)).toEqual(rowsOf(plain));
    const { card } = readModelFile(model);
    const { values } = thresholdsAt(card, 10);
    const expected = rowsOf(plain).map((row) => {
      if (row.error !== null) return row;
      const threshold = Math.fround(values[card.classNames.indexOf(row.label)]!);
      return { ...row, threshold, accepted: row.logLikelihood >= threshold };
    });
    expect(rowsOf(strict)).toEqual(expected);
    const out = join(folder, "out.jsonl");
    await expect(run(out, { percentile: 3 })).rejects.toThrow("percentile 3: the model file has thresholds at 0.5, 1, 2, 5, 10");
    expect(existsSync(journalPath(out))).toBe(false);
  });

  it("shards are a partition", async () => {
    const folder = temporaryFolder();
    const parts: Row[] = [];
    for (const index of [1, 2, 3]) {
      const out = join(folder, `${index}.jsonl`);
      await run(out, { shard: { index, count: 3 } });
      parts.push(...rowsOf(out));
    }
    const whole = join(folder, "whole.jsonl");
    await run(whole);
    const files = (rows: readonly Row[]) => rows.map(({ file }) => file).sort();
    expect(files(parts)).toEqual(files(rowsOf(whole)));
  });

  it("strict: the first broken file ends it", async () => {
    const out = join(temporaryFolder(), "results.csv");
    await expect(run(out, { isStrict: true })).rejects.toThrow(/broken\.png: cannot be read as an image/);
    expect(existsSync(out)).toBe(false);
  });

  it("strict: also where more of a list is still to come, and where the row was kept by a run that was not strict", async () => {
    const out = join(temporaryFolder(), "results.csv");
    const listed = (options: Partial<ScoreOptions>) => {
      const stdin = new PassThrough();
      stdin.write(`${join(pictures, "broken.png")}\n`);
      return score(model, "-", { out, threads: 1, stdin, ...options });
    };
    await expect(listed({ isStrict: true })).rejects.toThrow(/broken\.png: cannot be read as an image/);
    const stop = new AbortController();
    await expect(listed({ signal: stop.signal, onProgress: () => stop.abort() })).rejects.toThrow("stopped after 1 files");
    await expect(listed({ isStrict: true })).rejects.toThrow(/an earlier run without --strict kept this row.*With --restart/);
  });

  it("strict: also where a picture before it holds all the memory there is for pictures", async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "a.png"), "no picture");
    const large = sharp({ create: { width: 10_000, height: 9000, channels: 3, background: "#abc" } });
    await large.png({ compressionLevel: 1 }).toFile(join(folder, "b.png"));
    copyFileSync("samples/images/digit.png", join(folder, "c.png"));
    const scoring = score("models/cifar10/model.onnx", folder, { out: join(folder, "results.csv"), threads: 1, isStrict: true });
    await expect(scoring).rejects.toThrow(/a\.png: cannot be read as an image/);
  });
});

describe("going on", () => {
  it("after a stop: rows are kept, a line that was cut off is made again, the result is the same", async () => {
    const folder = temporaryFolder();
    const [whole, out] = [join(folder, "whole.jsonl"), join(folder, "out.jsonl")];
    await run(whole);
    const controller = new AbortController();
    await expect(run(out, { signal: controller.signal, onProgress: () => controller.abort() })).rejects.toThrow(
      /stopped after \d+ files; they are kept in .*out\.jsonl\.partial\.jsonl/,
    );
    expect(existsSync(out)).toBe(false);
    const kept = rowsOf(journalPath(out)).length - 1;
    expect(kept).toBeGreaterThan(0);
    appendFileSync(journalPath(out), '{"file":"cut o');
    const seen: number[] = [];
    const { resumed, files } = await run(out, { onProgress: (progress) => seen.push(progress.files) });
    expect([resumed, files]).toEqual([kept, 147]);
    expect(Math.min(...seen)).toBeGreaterThan(kept);
    expect(readFileSync(out, "utf8")).toBe(readFileSync(whole, "utf8"));
  });

  it("not with another model, shard or input; --restart begins anew", async () => {
    const out = join(temporaryFolder(), "out.csv");
    const stop = async () => {
      const controller = new AbortController();
      await run(out, { signal: controller.signal, onProgress: () => controller.abort() }).catch(() => undefined);
    };
    await stop();
    await expect(run(out, { shard: { index: 1, count: 2 } })).rejects.toThrow("another value of --shard");
    await expect(run(out, { percentile: 1 })).rejects.toThrow("another value of --percentile");
    await expect(score("models/mnist-softmax/model.onnx", pictures, { out, threads: 1 })).rejects.toThrow(
      "another value of the model file",
    );
    await writePicture(join(pictures, "a-new-one.png"), noise(9, 20, 20, 1));
    await expect(run(out)).rejects.toThrow(/the input has changed: where .*broken\.png was, it has .*a-new-one\.png/);
    expect((await run(out, { restart: true })).files).toBe(148);
    await expect(run(out)).rejects.toThrow("is there already; --force replaces it");
  });

  it("a journal without a row stands in nobody's way", async () => {
    const folder = temporaryFolder();
    const out = join(folder, "out.csv");
    writeFileSync(join(folder, "mistyped.csv"), "fiel\na.png\n");
    await expect(score(model, join(folder, "mistyped.csv"), { out, threads: 1 })).rejects.toThrow("file");
    expect(readFileSync(journalPath(out), "utf8").trim().split("\n")).toHaveLength(1);
    expect((await run(out)).resumed).toBe(0);
  });

  it("a damaged journal is refused with its line", async () => {
    const out = join(temporaryFolder(), "out.csv");
    const controller = new AbortController();
    await run(out, { signal: controller.signal, onProgress: () => controller.abort() }).catch(() => undefined);
    const lines = readFileSync(journalPath(out), "utf8").split("\n");
    lines[2] = '{"file":3}';
    writeFileSync(journalPath(out), lines.join("\n"));
    await expect(run(out)).rejects.toThrow(/partial\.jsonl, line 3: damaged, or not ours/);
  });
});

describe("the command", () => {
  it("kill -9 loses nothing that was kept", async () => {
    const folder = temporaryFolder();
    const list = join(folder, "list.txt");
    const out = join(folder, "out.csv");
    writeFileSync(list, Array.from({ length: 1200 }, (_, i) => `samples/images/${i % 2 === 0 ? "digit" : "shirt"}.png\n`).join(""));
    const { child, finished } = start(["score", model, list, "--out", out, "--threads", "1"]);
    while (!existsSync(journalPath(out)) || statSync(journalPath(out)).size < 20_000)
      await new Promise((resolve) => setTimeout(resolve, 20));
    child.kill("SIGKILL");
    expect((await finished).signal).toBe("SIGKILL");
    expect(existsSync(out)).toBe(false);
    const { code, stdout } = await sdim("score", model, list, "--out", out, "--threads", "1", "--json");
    const summary = JSON.parse(stdout) as { files: number; resumed: number };
    expect(code).toBe(0);
    expect(summary.files).toBe(1200);
    expect(summary.resumed).toBeGreaterThan(100);
    const rows = parse<{ file: string; accepted: string }>(readFileSync(out), { columns: true });
    expect(rows).toHaveLength(1200);
    expect(rows.every(({ file, accepted }) => accepted === String(file.includes("digit")))).toBe(true);
  });

  it.each([
    ["an ending that is none", ["score", model, "samples/images", "--out", "results.xlsx"], "ends in .csv, .jsonl or .parquet"],
    ["a shard that is none", ["score", model, "samples/images", "--out", "r.csv", "--shard", "4/3"], "expected i/n"],
    ["no model", ["score", "package.json", "samples/images", "--out", "r.csv"], "package.json: expected an ONNX model file"],
  ])("%s is refused", async (_what, args, message) => {
    const { code, stderr } = await sdim(...args);
    expect([code, stderr]).toEqual([2, expect.stringContaining(message)]);
  });
});

it("CSV cells come back as they were, whatever is in them", () => {
  for (const text of ['a"b', "a,b", "a\nb", "a\r", " a ", "", "=1+1", "é"]) {
    expect(parse(csvLine([text, true, -1.5, null]))).toEqual([[text, "true", "-1.5", ""]]);
  }
});
