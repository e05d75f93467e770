import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readModelFile } from "../../src/classify/model-file.ts";
import { sdim, start, writeIdxSplit } from "../support/cli.ts";
import { testDigits, trainingDigits } from "../support/digits.ts";
import { removeFolders, temporaryFolder } from "../support/folders.ts";

const folder = temporaryFolder();
const [out, runs, path] = [join(folder, "results", "digits"), join(folder, "runs"), join(folder, "digits.yaml")];
const args = ["ablate", path, "--out", out, "--runs", runs, "--threads", "1"];

const study = `
name: digits
data: ${join(folder, "digits")}
heldOutClasses: [2]
base: { widths: [16, 16, 32, 32], imageSize: 16, dimension: 8, batchSize: 32, epochs: 8, learningRate: 0.005 }
seeds: [1, 2]
outliers: [held-out-classes, constant]
outlierCount: 50
reported: [fashion-mnist-sample]
variants:
  huge: { description: a loss that overflows, config: { learningRate: 1000000, schedule: constant } }
`;

beforeAll(async () => {
  writeIdxSplit(join(folder, "digits"), "train", await trainingDigits());
  writeIdxSplit(join(folder, "digits"), "t10k", await testDigits());
  writeFileSync(path, study);
});
afterAll(removeFolders);

const kinds = (): [string, string][] =>
  JSON.parse(readFileSync(`${out}.json`, "utf8")).trainings.map((one: { id: string; seed: number; outcome: { kind: string } }) => [
    `${one.id}-${one.seed}`,
    one.outcome.kind,
  ]);

describe("sdim ablate", () => {
  it("leaves a true result when it is stopped, and goes on to the end", async () => {
    const { child, finished, stderr } = start(args);
    while (!/training 2 of 3: base, seed 2\n[\s\S]*epoch 1 done/.test(stderr()) && child.exitCode === null)
      await new Promise((resolve) => setTimeout(resolve, 20));
    child.kill("SIGINT");
    const stopped = await finished;
    expect(stopped.stderr).toContain("sdim: stopped; the same command goes on from there");
    expect(stopped.code).toBe(130);
    expect(kinds()).toEqual([
      ["base-1", "measured"],
      ["base-2", "missing"],
      ["huge-1", "missing"],
    ]);
    expect(readFileSync(`${out}.md`, "utf8")).toContain("**Not finished.** Yet to be trained: base (seed 2), huge (seed 1).");

    const { code, stdout, stderr: notes } = await sdim(...args);
    expect(code).toBe(0);
    expect(notes).toContain("training 1 of 2: base, seed 2");
    expect(notes).not.toContain("base, seed 1");
    expect(stdout).toContain("digits: 3 of 3 trainings done, 1 of them failed; better than the base: none");
    expect(kinds()).toEqual([
      ["base-1", "measured"],
      ["base-2", "measured"],
      ["huge-1", "failed"],
    ]);
    expect(readModelFile(join(runs, "base-2", "model.onnx")).card.classNames).toEqual(["0", "1"]);

    const { circumstances, data, comparison } = JSON.parse(readFileSync(`${out}.json`, "utf8"));
    expect(circumstances.command).toContain(`sdim ablate ${path} --out ${out}`);
    expect(data.reported.map(({ name }: { name: string }) => name)).toEqual([`2 of ${join(folder, "digits")}`, "fashion-mnist-sample"]);
    expect(comparison.base.measured).toEqual([1, 2]);
    const markdown = readFileSync(`${out}.md`, "utf8");
    expect(markdown).toContain("| huge | learningRate 1000000, schedule constant | - | - | - | - | - | - | failed with seed 1 |");
    expect(markdown).not.toContain("Not finished");
    for (const kind of ["svg", "png"]) expect(existsSync(`${out}.${kind}`)).toBe(true);
  });

  it("refuses a study that is none, and an unknown variant, before it loads data", async () => {
    const bad = join(folder, "bad.yaml");
    writeFileSync(bad, study.replace("outliers:", "outlier:").replace(join(folder, "digits"), "nowhere"));
    expect(await sdim("ablate", bad, "--out", out)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining(`${bad}: unknown study key "outlier": did you mean "outliers"?`),
    });
    const only = await sdim(...args, "--only", "hug");
    expect(only).toMatchObject({ code: 2, stderr: expect.stringContaining('unknown variant "hug": did you mean "huge"?') });
    expect(await sdim("ablate", join(folder, "none.yaml"), "--out", out)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("none.yaml"),
    });
  });
});
