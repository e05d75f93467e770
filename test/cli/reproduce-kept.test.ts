import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { fileDigest } from "../../src/core/files.ts";
import { sdim, tinyTraining } from "../support/cli.ts";

const folder = mkdtempSync(join(tmpdir(), "sdim-reproduce-kept-"));
const [models, out] = [join(folder, "models"), join(folder, "results")];
const table = join(out, "table1.json");
const read = () => JSON.parse(readFileSync(table, "utf8"));
const reproduce = (...args: string[]) => sdim("reproduce", ...args, "--models", models, "--out", out);

/** A row of a model, as an earlier command left it. */
const rowOf = (model: string, ours: number | null) => ({
  model,
  label: `row of ${model}`,
  cells: [
    { paper: 1, ours, interval: null },
    { paper: 2, ours, interval: null },
  ],
});

const columns = [
  { name: "accuracy", unit: "%" },
  { name: "parameters", unit: "M" },
];
const circumstances = { command: "earlier", at: "2026-01-02T03:04:05Z", sdim: "0", node: "v20", onnxruntime: "1", machine: "m", cores: 2 };
const fashion = join(models, "fashion-mnist", "model.onnx");

const leave = (document: object) => writeFileSync(table, JSON.stringify(document));
const leaveTable = (changes: object = {}) =>
  leave({
    columns,
    rows: [rowOf("mnist", 12), rowOf("fashion-mnist", 34), rowOf("cifar10", null)],
    madeFrom: [{ circumstances: { ...circumstances, load: 1 }, modelFile: { path: "elsewhere", sha256: fileDigest(fashion), kept: true } }],
    ...changes,
  });

beforeAll(async () => {
  const trained = await sdim("train", "--data", "mnist", "--out", join(models, "mnist"), ...tinyTraining);
  expect(trained.code).toBe(0);
  mkdirSync(out);
  mkdirSync(join(models, "fashion-mnist"));
  writeFileSync(fashion, "a model file, of which only the digest is asked");
});

beforeEach(() => leaveTable());

afterAll(() => rmSync(folder, { recursive: true }));

describe("sdim reproduce --only", () => {
  it("makes the rows of the models it names, and keeps those that were measured of the files that are there", async () => {
    const { code, stdout, stderr } = await reproduce("table1", "--only", "mnist");
    expect(stderr).not.toContain("leaves out");
    expect(code).toBe(0);
    const { rows, madeFrom } = read();
    expect(rows.map(({ model }: { model: string }) => model)).toEqual(["mnist", "fashion-mnist", "cifar10"]);
    expect(rows[0].cells[0]).toMatchObject({ paper: 99.55, ours: expect.any(Number), interval: [expect.any(Number), expect.any(Number)] });
    expect(rows.slice(1)).toEqual([rowOf("fashion-mnist", 34), rowOf("cifar10", null)]);
    // What the earlier command said of itself is handed on whole.
    expect(madeFrom[0]).toMatchObject({ circumstances: { command: "earlier", load: 1 }, modelFile: { kept: true } });
    expect(madeFrom[1].modelFile.path).toBe(join(models, "mnist", "model.onnx"));
    expect(stdout).toContain("measured 2026-01-02 03:04 UTC by `earlier`");
  });

  it("leaves out, and says so, what was measured of another model file or under other columns", async () => {
    leaveTable({ madeFrom: [{ circumstances, modelFile: { path: fashion, sha256: "0".repeat(64) } }] });
    const other = await reproduce("table1", "--data", "mnist");
    expect(other.stderr).toContain(`table1: leaves out the rows of fashion-mnist, which were not measured of ${fashion}`);
    expect(read().rows.map(({ model }: { model: string }) => model)).toEqual(["mnist", "mnist-softmax", "cifar10"]);
    leaveTable({ columns: [{ name: "speed", unit: "" }, columns[1]] });
    const changed = await reproduce("table1", "--only", "mnist");
    expect(changed.stderr).toContain("leaves out the rows that were there, whose columns were others");
    expect(read().rows).toHaveLength(1);
  });

  it("leaves the table as it is where a model that it asks for cannot be read", async () => {
    const { code, stderr } = await reproduce("table1");
    expect(code).toBe(2);
    expect(stderr).toContain(fashion);
    expect(read().rows).toEqual([rowOf("mnist", 12), rowOf("fashion-mnist", 34), rowOf("cifar10", null)]);
  });

  it("refuses a file that is no table before it measures anything, and models it does not know", async () => {
    leave({ rows: [{ label: "of a version without models", cells: [] }] });
    const { code, stderr } = await reproduce("table1", "--only", "mnist");
    expect(code).toBe(2);
    expect(stderr).toContain(`${table}: not a record of sdim reproduce`);
    expect(stderr).toContain("move the file away, or make the whole table");
    expect(stderr).not.toContain("scoring");
    expect(read().rows).toHaveLength(1);
    expect(await reproduce("table1", "--only", "mnits")).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('unknown --only "mnits"'),
    });
    expect(await reproduce("figure4", "--only", "mnist-softmax")).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("figure4: shows adversarial images of the model mnist, which --only leaves out"),
    });
    expect(await reproduce("figure2", "--only", "mnist")).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("figure2: is of no model that --data and --only name"),
    });
  });
});
