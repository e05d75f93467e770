import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseHTML } from "linkedom";
import { afterAll, describe, expect, it } from "vitest";
import { takeFirst } from "../../src/data/image-set.ts";
import { loadDataset } from "../../src/data/registry.ts";
import { evenlySpaced } from "../../src/evaluate/record.ts";
import { readRecord } from "../../src/evaluate/record-schema.ts";
import { defaults } from "../../src/train/config.ts";
import { sdim, writeIdxSplit } from "../support/cli.ts";
import { removeFolders, temporaryFolder } from "../support/folders.ts";

afterAll(removeFolders);
const shipped = "models/mnist/evaluation.json";

const headings = (page: string): string[] => [...parseHTML(page).document.querySelectorAll("h2")].map((heading) => heading.textContent!);

describe("sdim report", () => {
  it("of an evaluation with --out: histograms, examples and numbers, without images", async () => {
    const folder = temporaryFolder();
    const record = join(folder, "evaluation.json");
    const args = ["--ood", "constant", "--synthetic-count", "50", "--resamples", "0", "--threads", "1"];
    const live = join(folder, "live.html");
    await writeDigits(folder);
    const evaluated = await sdim(
      "evaluate",
      "models/mnist/model.onnx",
      ...args,
      "--data",
      join(folder, "digits"),
      "--out",
      record,
      "--report",
      live,
    );
    expect(evaluated.stderr).not.toContain("sdim:");
    const { code, stdout, stderr } = await sdim("report", record);
    expect([code, stdout, stderr]).toEqual([0, `${join(folder, "evaluation.html")}\n`, ""]);
    const [made, direct] = [join(folder, "evaluation.html"), live].map((path) => readFileSync(path, "utf8")) as [string, string];
    expect(headings(made)).toEqual(headings(direct));
    const { document } = parseHTML(made);
    expect(document.querySelectorAll(".examples img").length).toBe(parseHTML(direct).document.querySelectorAll(".examples img").length);
    expect(document.querySelectorAll(".examples img").length).toBeGreaterThan(12);
    expect(document.querySelector(".lead")!.textContent).toBe(parseHTML(direct).document.querySelector(".lead")!.textContent);
  });

  it("of a record without pictures: the numbers, and what to do for the rest", async () => {
    const out = join(temporaryFolder(), "page.html");
    const { code, stderr } = await sdim("report", shipped, "--out", out);
    expect([code, stderr]).toEqual([0, expect.stringContaining("has no histograms and examples; an evaluation with --out has them")]);
    const page = readFileSync(out, "utf8");
    expect(headings(page)).toContain("Data it should refuse");
    expect(headings(page)).not.toContain("What it said");
    expect(page).toContain("99.65%");
  });

  it("leaves out attacks on another model file, and does not replace the evaluation", async () => {
    const folder = temporaryFolder();
    const evaluation = join(folder, "evaluation.json");
    cpSync(shipped, evaluation);
    cpSync("results/robustness-mnist.json", join(folder, "robustness.json"));
    writeFileSync(join(folder, "config.json"), JSON.stringify(defaults));
    const whole = await sdim("report", folder);
    expect([whole.code, headings(readFileSync(join(folder, "report.html"), "utf8"))]).toEqual([
      0,
      expect.arrayContaining(["Under attack"]),
    ]);
    cpSync("results/robustness-fashion-mnist.json", join(folder, "robustness.json"));
    const { code, stderr } = await sdim("report", folder);
    expect([code, stderr]).toEqual([0, expect.stringMatching(/left out: .*robustness\.json: is of another model file/)]);
    expect(headings(readFileSync(join(folder, "report.html"), "utf8"))).not.toContain("Under attack");
    writeFileSync(join(folder, "robustness.json"), "{}");
    expect(await sdim("report", folder)).toMatchObject({ code: 2, stderr: expect.stringContaining("robustness.json: not a record of") });
    const onto = await sdim("report", evaluation, "--out", evaluation);
    expect([onto.code, onto.stderr]).toEqual([2, expect.stringContaining("which is read; name another file")]);
    expect(readFileSync(evaluation, "utf8")).toBe(readFileSync(shipped, "utf8"));
  });

  it("of a run: its curves, the validation's among them", async () => {
    const folder = join(temporaryFolder(), "run");
    mkdirSync(folder);
    const parts = { mutualInformation: 1, negativeLogLikelihood: 2, margin: 3 };
    const steps = (step: number) => ({
      kind: "steps",
      step,
      epoch: step / 10,
      loss: 6 / step,
      parts,
      trainAccuracy: 0.5,
      learningRate: 0.1,
      imagesPerSecond: 9,
    });
    const epoch = (n: number) => ({
      kind: "epoch",
      epoch: n,
      step: 10 * n,
      loss: 1,
      parts,
      trainAccuracy: 0.5,
      seconds: 1,
      elapsedSeconds: n,
      validation: { accuracy: 0.9 + n / 100, logLikelihood: -70 + n, rejectionRate: null },
    });
    const lines = [steps(10), epoch(1), steps(20), epoch(2)];
    writeFileSync(join(folder, "metrics.jsonl"), lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
    cpSync("models/mnist/model.onnx", join(folder, "model.onnx"));
    writeFileSync(
      join(folder, "config.json"),
      JSON.stringify(
        (JSON.parse(readFileSync(shipped, "utf8")) as { modelFile: { training: { config: unknown } } }).modelFile.training.config,
      ),
    );
    const { code, stderr } = await sdim("report", folder);
    expect([code, stderr]).toEqual([0, ""]);
    const page = readFileSync(join(folder, "report.html"), "utf8");
    expect(headings(page)).toEqual(["Training", "How it was made"]);
    expect([...parseHTML(page).document.querySelectorAll("figcaption")].map((caption) => caption.textContent)).toEqual(
      expect.arrayContaining(["Training accuracy", "Validation accuracy", "Validation log-likelihood"]),
    );
    expect(page).toContain("The training is finished.");
  });
});

interface LooseRecord {
  readonly evaluation: { accuracy: unknown; readonly perClassAccuracy: unknown[] };
  display?: unknown;
}

describe("records are judged before they are shown", () => {
  const changed = (change: (record: LooseRecord) => void): string => {
    const record = JSON.parse(readFileSync(shipped, "utf8")) as LooseRecord;
    change(record);
    const path = join(temporaryFolder(), "evaluation.json");
    writeFileSync(path, JSON.stringify(record));
    return path;
  };

  it.each<[string, Parameters<typeof changed>[0], string]>([
    [
      "a number that is none",
      (record) => {
        record.evaluation.accuracy = "high";
      },
      "evaluation.accuracy",
    ],
    [
      "a class too few",
      (record) => {
        record.evaluation.perClassAccuracy.pop();
      },
      "perClassAccuracy: expected 10 values, one for each class, got 9",
    ],
    [
      "a picture that is an address",
      (record) => {
        record.display = {
          thresholds: [],
          scores: { inDistribution: Array(10).fill([]), outOfDistribution: [] },
          examples: [
            {
              title: "a",
              examples: [
                {
                  png: "https://elsewhere/x.png",
                  source: "",
                  trueLabel: null,
                  label: "",
                  accepted: true,
                  logLikelihood: 0,
                  threshold: 0,
                  posterior: null,
                },
              ],
            },
          ],
        };
      },
      "display.examples[0].examples[0].png",
    ],
  ])("%s", (_what, change, message) => {
    expect(() => readRecord(changed(change))).toThrow(message);
  });

  it("a file that is none", () => {
    expect(() => readRecord("none.json")).toThrow("there is no such file");
    expect(() => readRecord("README.md")).toThrow("README.md: expected JSON that sdim evaluate --out wrote, got something else");
    expect(() => readRecord("package.json")).toThrow("not a record of sdim evaluate --out");
  });
});

it("quantiles keep the ends and the middle", () => {
  expect(evenlySpaced([3, 1, 2])).toEqual([1, 2, 3]);
  const many = evenlySpaced(Array.from({ length: 10_000 }, (_, i) => 9999 - i));
  expect([many.length, many[0], many.at(-1)]).toEqual([200, 0, 9999]);
  expect(Math.abs(many[100]! - 5000)).toBeLessThan(60);
});

/** A small test split of all ten digits. */
async function writeDigits(folder: string): Promise<void> {
  writeIdxSplit(join(folder, "digits"), "t10k", takeFirst(await loadDataset("mnist", "test"), 300));
}
