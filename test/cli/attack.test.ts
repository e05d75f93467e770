import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fileDigest } from "../../src/core/files.ts";
import { sdim, sdimHere, start, tinyTraining } from "../support/cli.ts";

const folder = mkdtempSync(join(tmpdir(), "sdim-attack-"));
const models = join(folder, "models");
const model = join(models, "mnist", "model.onnx");
const twin = join(models, "mnist-softmax", "model.onnx");
const small = ["--data", "mnist", "--threads", "1"];

beforeAll(async () => {
  const train = (id: string, ...more: string[]) =>
    sdim("train", "--data", "mnist", "--out", join(models, id), ...tinyTraining, ...more, "--json");
  for (const trained of await Promise.all([train("mnist"), train("mnist-softmax", "--head", "softmax")])) expect(trained.code).toBe(0);
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true }));

const result = (text: string) => JSON.parse(text);

describe("sdim attack", () => {
  it("lists attacks with source and settings", async () => {
    const { code, stdout } = await sdimHere("attack", "--list", "--attack", "pgd");
    expect(code).toBe(0);
    expect(stdout).toMatch(/^pgd: .*\(Madry et al\. 2018\); within --epsilon, linf, needs gradients$/m);
    expect(stdout).toMatch(/^ {4}--loss "cross-entropy" {2}.*: cross-entropy \| margin \| dlr \| accepted$/m);
    // The command has an option of that name, which is another thing.
    expect(stdout).toMatch(/^ {4}--set targets=0 {2}/m);
    const listed = result((await sdimHere("attack", "--list", "--json")).stdout) as { name: string; settings: { name: string }[] }[];
    expect(listed.map(({ name }) => name)).toEqual(expect.arrayContaining(["fgsm", "apgd", "cw-l2", "square"]));
  });

  it("writes the result with its circumstances, and a grid; goes on where it was stopped, to the same result", async () => {
    const slow = ["attack", model, ...small, "--attack", "pgd", "--loss", "margin", "--steps", "100", "--set", "earlyStop=false"];
    const args = [...slow, "--epsilon", "0.02,8/255", "--count", "12", "--chunk", "2", "--json"];
    const out = join(folder, "stopped");
    const { child, finished } = start([...args, "--out", out]);
    const waiting = setInterval(() => {
      if (!existsSync(out) || !readdirSync(out).some((name) => name.endsWith(".safetensors"))) return;
      // Once: a second one ends the process without a word.
      clearInterval(waiting);
      child.kill("SIGINT");
    }, 20);
    const stopped = await finished;
    expect(stopped.code).toBe(130);
    expect(stopped.stderr).toContain(`stopped; the same command goes on with what is in ${out}`);
    const kept = readdirSync(out).filter((name) => name.endsWith(".safetensors"));
    expect(kept.length).toBeGreaterThan(0);
    expect(kept.length).toBeLessThan(6);
    const grid = join(folder, "grid.png");
    const resumed = await sdim(...args, "--out", out, "--grid", grid, "--grid-rows", "3");
    expect(resumed.code).toBe(0);
    const whole = await sdimHere(...args);
    const record = result(resumed.stdout);
    expect(record.attack).toEqual(result(whole.stdout).attack);
    expect(record.attack).toMatchObject({
      attack: "pgd",
      settings: { steps: 100, loss: "margin" },
      samples: 12,
      criterion: "misclassified",
    });
    expect(record).toMatchObject({
      circumstances: { command: expect.stringContaining("sdim attack") },
      modelFile: { path: model, sha256: expect.stringMatching(/^\w{64}$/) },
      data: { name: "mnist", split: "test", count: 12 },
      targets: null,
    });
    expect(record.attack.outcomes.map(({ epsilon }: { epsilon: number }) => epsilon)).toEqual([0.02, 8 / 255]);
    expect(record.attack.outcomes[0].percentiles.map(({ percentile }: { percentile: number }) => percentile)).toEqual([1, 2]);
    expect(result(readFileSync(join(out, "result.json"), "utf8"))).toEqual(record);
    expect(await sharp(grid).metadata()).toMatchObject({ width: 3 * 102 + 256, height: 24 + 3 * 102 + 6 });
    const changed = await sdimHere(...args, "--out", out, "--seed", "5");
    expect(changed).toMatchObject({ code: 2, stderr: expect.stringContaining("differs in seed (0 there, 5 now)") });
  });

  it("takes over what is there when more images are asked for, with the same guides; carries samples over where asked to", async () => {
    const matching = ["attack", model, ...small, "--attack", "match-sample", "--steps", "5", "--guides", "2", "--epsilon", "0.1,0.3"];
    const args = [...matching, "--carry-over", "--chunk", "2", "--json"];
    const [grown, whole] = [join(folder, "grown"), join(folder, "whole")];
    await sdimHere(...args, "--count", "3", "--out", grown);
    const changedAt = (name: string) => statSync(join(grown, name)).mtimeMs;
    const [kept, last] = ["samples-000000-000001.safetensors", "samples-000002-000002.safetensors"];
    const before = changedAt(kept);
    const after = await sdimHere(...args, "--count", "5", "--out", grown);
    const once = await sdimHere(...args, "--count", "5", "--out", whole);
    expect([after.code, once.code]).toEqual([0, 0]);
    expect(changedAt(kept)).toBe(before);
    const parts = (at: string) => readdirSync(at).filter((name) => name.endsWith(".safetensors"));
    expect(parts(grown).sort()).toEqual([kept, last, "samples-000003-000003.safetensors", "samples-000004-000004.safetensors"]);
    for (const name of parts(whole).filter((one) => parts(grown).includes(one))) {
      expect(readFileSync(join(grown, name)).equals(readFileSync(join(whole, name)))).toBe(true);
    }
    const { attack } = result(after.stdout);
    expect(attack).toEqual(result(once.stdout).attack);
    expect(attack).toMatchObject({ samples: 5, carryOver: true });
  });

  it("prints a table, and takes a discriminative model the same way", async () => {
    const { code, stdout } = await sdimHere(
      "attack",
      twin,
      ...small,
      "--attack",
      "fgsm",
      "--epsilon",
      "0.2",
      "--count",
      "20",
      "--targets",
      "3",
    );
    expect(code).toBe(0);
    expect(stdout).toMatch(/^fgsm, targeted \(norm linf/);
    // One of the first 20 digits is a 3.
    expect(stdout).toMatch(/^success: targeted; 19 images \(1 of the class aimed at left out\);/m);
    expect(stdout).toMatch(/^attacked: right and accepted before +\d+ images +\d+ images$/m);
    expect(stdout).toMatch(/^robust accuracy with rejection, of all images +\d+\.\d\d% \[/m);
  });

  it.each([
    ["an unknown attack", ["--attack", "fgsn"], 'unknown attack "fgsn": did you mean "fgsm"'],
    [
      "an unknown setting",
      ["--attack", "fgsm", "--epsilon", "0.1", "--set", "los=margin"],
      'unknown setting of fgsm "los": did you mean "loss"',
    ],
    ["a missing epsilon", ["--attack", "fgsm", "--count", "4"], "fgsm: needs epsilons (--epsilon)"],
    ["an epsilon of grey levels", ["--attack", "fgsm", "--count", "4", "--epsilon", "8"], "8 of 255 grey levels"],
    [
      "more rows than a picture may have",
      ["--attack", "fgsm", "--epsilon", "0.1", "--grid", "g.png", "--grid-rows", "201"],
      "1 to 200 rows",
    ],
    [
      "a picture where no file can be",
      ["--attack", "fgsm", "--epsilon", "0.1", "--grid", "/dev/null/g.png"],
      "cannot write /dev/null/g.png",
    ],
    ["rows of no picture", ["--attack", "fgsm", "--epsilon", "0.1", "--grid-rows", "3"], "--grid-rows: rows of which picture?"],
    ["what a nearest adversarial has no use for", ["--attack", "deepfool", "--carry-over"], "--carry-over: deepfool looks for the nearest"],
    ["a provider that is not there", ["--attack", "fgsm", "--epsilon", "0.1", "--count", "4", "--provider", "cuda"], 'on provider "cuda"'],
    ["no threads", ["--attack", "fgsm", "--epsilon", "0.1", "--threads", "0"], "expected a whole number above 0"],
    ["an epsilon of the suite that is none", ["--standard", "--count", "4", "--epsilon-l2=-1"], "expected a number of at least 0, got -1"],
    ["too many images", ["--attack", "fgsm", "--epsilon", "0.1", "--count", "10001"], "count: expected 1 to 10000"],
    ["a percentile that is not there", ["--attack", "fgsm", "--epsilon", "0.1", "--percentile", "33"], "percentile 33"],
    ["options of one attack with the suite", ["--standard", "--targets", "next"], "leave out --targets"],
    ["what the suite decides itself", ["--standard", "--carry-over"], "leave out --carry-over"],
    ["two counts", ["--standard", "--quick", "--count", "3"], "leave out --count 3, or --quick"],
    ["settings with the suite", ["--standard", "--steps", "3"], "leave out steps"],
  ])("refuses %s", async (_, args, message) => {
    expect(await sdimHere("attack", model, ...small, ...args)).toMatchObject({ code: 2, stderr: expect.stringContaining(message) });
  });

  it("says which models an attack cannot be made on", async () => {
    const refused = await sdimHere("attack", twin, ...small, "--attack", "match-mean", "--epsilon", "0.1", "--count", "4");
    expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining("needs class means, a discriminative model has none") });
  });
});

describe("sdim reproduce, of attacks", () => {
  it("makes a figure of curves and pictures, from runs that are kept; without a model there is none", async () => {
    const [out, runs] = [join(folder, "results"), join(folder, "runs")];
    const args = [
      "reproduce",
      "figure4",
      "--data",
      "mnist",
      "--models",
      models,
      "--out",
      out,
      "--runs",
      runs,
      "--count",
      "cifar10=5,mnist=3,fgsm=4",
      "--threads",
      "1",
    ];
    expect(await sdimHere(...args)).toMatchObject({ code: 0 });
    const { rows, columns, notes, madeFrom } = result(readFileSync(join(out, "figure4.json"), "utf8"));
    expect(columns).toHaveLength(11);
    expect(rows.map(({ label }: { label: string }) => label)).toContain(
      "SDIM ResNet10, mnist: Auto-PGD that knows the rule, with rejection",
    );
    expect(rows[0].cells[0]).toMatchObject({ paper: null, ours: expect.any(Number) });
    expect(notes[0]).toContain("The first 3 test images, for FGSM 4; the paper took 1,000");
    expect(madeFrom.map(({ modelFile }: { modelFile: { path: string } }) => modelFile.path)).toEqual([model, twin]);
    expect(readFileSync(join(out, "figure4.svg"), "utf8")).toContain("data:image/png;base64,");
    expect((await sharp(join(out, "figure4.png")).metadata()).width).toBeGreaterThan(900);
    const [ofModel] = readdirSync(join(runs, "attacks", "mnist"));
    expect(ofModel).toBe(fileDigest(model).slice(0, 16));
    expect(readdirSync(join(runs, "attacks", "mnist", ofModel!))).toContain("pgd");
    const again = await sdimHere(...args);
    expect(again.code).toBe(0);
    expect(result(readFileSync(join(out, "figure4.json"), "utf8")).rows).toEqual(rows);
    const tooMany = await sdimHere(...args.map((arg) => arg.replace("fgsm=4", "fgsm=10001")));
    expect(tooMany).toMatchObject({ code: 2, stderr: expect.stringContaining("--count: expected at most 10000, as many images as mnist") });
    const missing = await sdimHere("reproduce", "figure5", "--models", models, "--out", out, "--runs", runs);
    expect(missing).toMatchObject({ code: 2, stderr: expect.stringContaining("figure5: needs the model cifar10 or cifar10-softmax") });
  });
});
