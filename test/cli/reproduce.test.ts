import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { sdim, tinyTraining } from "../support/cli.ts";

const folder = mkdtempSync(join(tmpdir(), "sdim-reproduce-"));
const [models, out] = [join(folder, "models"), join(folder, "results")];

beforeAll(async () => {
  const trained = await sdim("train", "--data", "mnist", "--out", join(models, "mnist"), ...tinyTraining, "--json");
  expect(trained.stderr).toContain("training on 3000 images of mnist");
  expect(trained.code).toBe(0);
});

afterAll(() => rmSync(folder, { recursive: true }));

describe("sdim reproduce", () => {
  it("lists what there is to make, and which models are there", async () => {
    const { code, stdout } = await sdim("reproduce", "--list", "--models", models);
    expect(code).toBe(0);
    expect(stdout).toContain("table1, table2, table3, figure2, figure3");
    expect(stdout).toMatch(/^mnist +ResNet10 on mnist +.*model\.onnx$/m);
    expect(stdout).toMatch(/^cifar10 +ResNet26 on cifar10 +not trained$/m);
  });

  it("makes tables from the models that are there, the paper's numbers beside ours", async () => {
    const { code, stdout, stderr } = await sdim("reproduce", "table1", "table2", "--data", "mnist", "--models", models, "--out", out);
    expect(code).toBe(0);
    expect(stderr).toMatch(/mnist-softmax: no .*mnist-softmax\/model\.onnx, its cells stay empty/);
    const table = JSON.parse(readFileSync(join(out, "table1.json"), "utf8"));
    const [sdimRow, softmaxRow] = table.rows;
    expect(sdimRow.cells[0]).toMatchObject({ paper: 99.55 });
    expect(sdimRow.cells[0].ours).toBeGreaterThan(50);
    const [low, high] = sdimRow.cells[0].interval;
    expect(low).toBeLessThan(sdimRow.cells[0].ours);
    expect(high).toBeGreaterThan(sdimRow.cells[0].ours);
    expect(table.madeFrom[0].modelFile).toMatchObject({
      path: join(models, "mnist", "model.onnx"),
      sha256: expect.stringMatching(/^\w{64}$/),
    });
    expect(softmaxRow.cells[0]).toEqual({ paper: 99.42, ours: null, interval: null });
    expect(stdout).toContain(readFileSync(join(out, "table2.md"), "utf8").trim());
  });

  it.runIf(existsSync("/usr/share/datasets/fashion-mnist"))(
    "writes a card with every number, and how long it took, beside the model",
    async () => {
      const facts = {
        elapsedSeconds: 3600,
        circumstances: { command: "sdim train", at: "2026-01-02T03:04:05Z", machine: "a machine", cores: 3 },
      };
      writeFileSync(join(models, "mnist", "training.json"), JSON.stringify(facts));
      const { code } = await sdim("reproduce", "cards", "--data", "mnist", "--models", models);
      expect(code).toBe(0);
      const card = readFileSync(join(models, "mnist", "README.md"), "utf8");
      const { evaluation } = JSON.parse(readFileSync(join(models, "mnist", "evaluation.json"), "utf8"));
      expect(card).toContain(`| accuracy, nothing rejected | ${(100 * evaluation.accuracy).toFixed(2)}% (`);
      expect(card.match(/^\| fashion-mnist \(10000\) \| [125] \|/gm)).toHaveLength(3);
      expect(card).toContain("Took 60 minutes on a machine, 3 cores, until 2026-01-02, by `sdim train`.");
      expect(card).toContain("epochs 3, batchSize 32");
    },
  );

  it("refuses what it does not know, and a figure without its model", async () => {
    expect(await sdim("reproduce", "table8")).toMatchObject({ code: 2, stderr: expect.stringContaining("table1") });
    expect(await sdim("reproduce")).toMatchObject({ code: 2, stderr: expect.stringContaining("name what to make") });
    for (const [count, reason] of [
      ["svnh=3", "a data set (mnist, fashion-mnist, cifar10, svhn) or an attack (deepfool,"],
      ["mnist=0", "expected a whole number above 0"],
      ["mnist=2=3", 'got "mnist=2=3"'],
    ] as const)
      expect(await sdim("reproduce", "table5", "--count", count)).toMatchObject({ code: 2, stderr: expect.stringContaining(reason) });
    for (const [data, reason] of [
      ["fashion-mnist", "table5: is of no model that --data and --only name"],
      ["mnist,foo", 'unknown --data "foo"'],
      ["cifar10", "table5: needs the model cifar10; train it with --train, or name another folder"],
    ] as const)
      expect(await sdim("reproduce", "table5", "--models", models, "--out", out, "--data", data)).toMatchObject({
        code: 2,
        stderr: expect.stringContaining(reason),
      });
    expect(existsSync(join(out, "table5.md"))).toBe(false);
    for (const what of ["table2", "table3", "reject-rules"]) {
      const { code, stderr } = await sdim("reproduce", what, "--models", models, "--out", out, "--only", "mnist-softmax");
      expect([code, stderr]).toEqual([2, `sdim: ${what}: is of no model that --data and --only name; leave them out, or name others\n`]);
    }
    const figure = await sdim("reproduce", "figure2", "--models", models, "--out", out);
    expect(figure).toMatchObject({ code: 2, stderr: expect.stringContaining("figure2: needs the model fashion-mnist") });
    expect(existsSync(join(out, "figure2.svg"))).toBe(false);
    // What was measured is not replaced by dashes.
    writeFileSync(join(out, "table2.md"), "measured");
    const nowhere = await sdim("reproduce", "table2", "--models", "nope", "--out", out);
    expect(nowhere).toMatchObject({ code: 2, stderr: expect.stringContaining("table2: none of the models is there") });
    expect(readFileSync(join(out, "table2.md"), "utf8")).toBe("measured");
  });
});
