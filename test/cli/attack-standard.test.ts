import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { subset } from "../../src/data/image-set.ts";
import type { RobustnessReport } from "../../src/evaluate/robustness/report.ts";
import { carriesOver, suiteFor } from "../../src/evaluate/robustness/suite.ts";
import { sdim, sdimHere, start, writeIdxSplit } from "../support/cli.ts";
import { testDigits, trainingDigits } from "../support/digits.ts";

// The whole suite, on models of 8 x 8 pixels and three digits.

const folder = mkdtempSync(join(tmpdir(), "sdim-standard-"));
const data = join(folder, "digits");
const model = join(folder, "sdim", "model.onnx");
const twin = join(folder, "softmax", "model.onnx");
const out = join(folder, "robust");
/** Fewer than a quick run takes. */
const count = 6;
const epsilons = { linf: [0.05, 0.2, 1], l2: [0.5, 2] };

beforeAll(async () => {
  writeIdxSplit(data, "train", await trainingDigits());
  const test = await testDigits();
  writeIdxSplit(
    data,
    "t10k",
    subset(
      test,
      Array.from({ length: count }, (_, i) => i),
    ),
  );
  const tiny = "--image-size 8 --widths 8,8,8,8 --dimension 4 --batch-size 32 --epochs 12 --learning-rate 0.005".split(" ");
  const train = (id: string, ...more: string[]) => sdim("train", "--data", data, "--out", join(folder, id), ...tiny, ...more, "--json");
  for (const trained of await Promise.all([train("sdim"), train("softmax", "--head", "softmax")])) {
    expect(trained.code).toBe(0);
    expect((JSON.parse(trained.stdout) as { calibrationAccuracy: number }).calibrationAccuracy).toBeGreaterThan(0.8);
  }
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true }));

const args = (...more: string[]) => [
  ...["attack", model, "--data", data, "--threads", "1", "--standard", "--quick", "--twin", twin, "--out", out],
  ...["--epsilon", epsilons.linf.join(), "--epsilon-l2", epsilons.l2.join(), ...more],
];
const partsIn = (id: string) => {
  const attacks = join(out, "attacks", id);
  return existsSync(attacks) ? readdirSync(attacks).filter((name) => name.endsWith(".safetensors")) : [];
};
const changedAt = (id: string) => partsIn(id).map((name) => [name, statSync(join(out, "attacks", id, name)).mtimeMs]);
const ids = [...suiteFor("sdim", 3).map(({ id }) => id), "transfer"];

describe("sdim attack --standard", () => {
  let report: RobustnessReport;

  it("killed in the middle goes on with what is there, to a report of all attacks", async () => {
    const { child, finished } = start(args("--chunk", "2"));
    const waiting = setInterval(() => {
      if (partsIn("apgd-margin").length > 0) child.kill("SIGKILL");
    }, 20);
    const { signal } = await finished;
    clearInterval(waiting);
    expect(signal).toBe("SIGKILL");
    expect(existsSync(join(out, "robustness.json"))).toBe(false);
    const kept = ["noise", "deepfool", "cw-l2"].map(changedAt);
    expect(kept.map((parts) => parts.length)).toEqual([3, 3, 3]);
    expect(partsIn("hopskipjump")).toEqual([]);
    const { code, stdout } = await sdimHere(...args("--chunk", "2", "--json"));
    expect(code).toBe(0);
    expect(["noise", "deepfool", "cw-l2"].map(changedAt)).toEqual(kept);
    const record = JSON.parse(stdout) as { robustness: RobustnessReport };
    expect(record).toEqual(JSON.parse(readFileSync(join(out, "robustness.json"), "utf8")));
    expect(record).toMatchObject({ modelFile: { path: model }, data: { name: data, count } });
    report = record.robustness;
    expect(report).toMatchObject({ samples: count, twin, percentile: 1 });
    expect(report.attacks.map(({ entry }) => entry.id)).toEqual(ids);
    expect(ids.map((id) => partsIn(id).length)).toEqual(ids.map(() => 3));
  }, 120_000);

  it("has a row per attack and epsilon, and success that does not fall where samples are carried over", () => {
    for (const { entry, summary } of report.attacks) {
      const { distance, outcomes } = summary;
      expect(outcomes.map(({ epsilon }) => epsilon)).toEqual(distance === "l0" ? [null] : epsilons[distance]);
      const success = outcomes.map(({ percentiles: [first] }) => first!.attacked.success.value!);
      expect(success.every((value) => value >= 0 && value <= 1)).toBe(true);
      expect(outcomes.every(({ percentiles }) => percentiles.map(({ percentile }) => percentile).join() === "1,2")).toBe(true);
      if (carriesOver(entry)) expect(success).toEqual([...success].sort((a, b) => a - b));
    }
  });

  it("is no better of each image than under any one attack, and says so at every epsilon", () => {
    expect(report.attacked).toBeGreaterThan(0);
    for (const distance of ["linf", "l2"] as const) {
      expect(report.worstCase[distance].map(({ epsilon }) => epsilon)).toEqual(epsilons[distance]);
      for (const [k, worst] of report.worstCase[distance].entries()) {
        for (const { summary } of report.attacks.filter((one) => one.summary.distance === distance)) {
          const { robustAccuracy, robustAccuracyWithRejection, attacked } = summary.outcomes[k]!.percentiles[0]!;
          expect(worst.robustAccuracyWithRejection.value).toBeLessThanOrEqual(robustAccuracyWithRejection.value!);
          // Transferred images are judged over those that the twin knows, too.
          expect(worst.success.value! * report.attacked).toBeGreaterThanOrEqual(attacked.success.value! * attacked.attacked - 1e-9);
          // What is made to be accepted is measured with rejection alone.
          expect(robustAccuracy.value === null).toBe(summary.criterion.endsWith("-and-accepted"));
          if (robustAccuracy.value === null || attacked.attacked !== report.attacked) continue;
          expect(worst.robustAccuracy.value).toBeLessThanOrEqual(robustAccuracy.value);
        }
        if (k === 0) continue;
        expect(worst.success.value).toBeGreaterThanOrEqual(report.worstCase[distance][k - 1]!.success.value!);
        expect(worst.evasion.value).toBeLessThanOrEqual(worst.success.value!);
      }
    }
    const reached = report.curves.wrong.filter(({ epsilon }) => epsilon <= 0.2 + 1e-5).at(-1)!;
    expect(reached.share).toBeCloseTo(report.worstCase.linf[1]!.success.value!, 6);
  });

  it("warns just of attacks most of whose gradients were zero, and of what else it sees", () => {
    const blind = report.attacks.filter(({ summary }) => summary.outcomes.some(({ zeroGradients }) => (zeroGradients ?? 0) > 0.05));
    const warned = report.warnings.filter(({ kind }) => kind === "zero-gradients").map(({ text }) => text.split(":")[0]);
    expect(warned).toEqual(blind.map(({ entry }) => entry.id));
    const unbounded = report.worstCase.linf.at(-1)!;
    const falls = report.warnings.some(({ kind }) => kind === "unbounded-below-100");
    if (unbounded.success.value! < 1) expect(falls).toBe(true);
  });

  it("made again makes nothing anew, and prints what it found", async () => {
    const before = ids.map(changedAt);
    const { code, stdout } = await sdimHere(...args("--chunk", "2"));
    expect(code).toBe(0);
    expect(ids.map(changedAt)).toEqual(before);
    for (const id of ids) expect(stdout).toMatch(new RegExp(`^${id} +[a-z-]+ +(linf|l2|l0) `, "m"));
    expect(stdout.match(/^WARNING /gm) ?? []).toHaveLength(report.warnings.length);
    for (const { text } of report.warnings) expect(stdout).toContain(`WARNING ${text}`);
    expect(stdout).toContain(`${count} images are few`);
    expect(stdout).toContain(`${join(out, "robustness.html")} and robustness.json`);
    expect(readFileSync(join(out, "robustness.html"), "utf8")).toContain("<svg");
    expect(JSON.parse(readFileSync(join(out, "robustness.json"), "utf8")).robustness).toEqual(report);
  });

  it("refuses a folder of another seed or another twin, and a twin of another kind of images", async () => {
    const seed = await sdimHere(...args("--chunk", "2", "--seed", "4"));
    expect(seed).toMatchObject({ code: 2, stderr: expect.stringContaining("differs in seed (0 there, 4 now)") });
    const other = await sdimHere(...args("--chunk", "2"), "--twin", model);
    expect(other.code).toBe(2);
    expect(other.stderr).toContain(`${join(out, "attacks", "transfer")}: holds another run, which differs in model`);
    const large = await sdimHere(...args(), "--twin", "models/mnist/model.onnx");
    expect(large).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("expected a model of the same classes and of images 1 x 8 x 8"),
    });
  });
});
