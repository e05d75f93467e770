import { writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type AttackResult, runAttack, type Samples } from "../../src/attacks/attack.ts";
import { makeAttack } from "../../src/attacks/attacks.ts";
import type { GraphModel } from "../../src/attacks/model.ts";
import { attackRates } from "../../src/attacks/rates.ts";
import { wilsonInterval } from "../../src/evaluate/metrics/wilson.ts";
import { adversarialGrid } from "../../src/evaluate/robustness/grid.ts";
import { inPlainWords, renderRobustness } from "../../src/evaluate/robustness/report.ts";
import { readRobustness } from "../../src/evaluate/robustness/report-schema.ts";
import { runSuite } from "../../src/evaluate/robustness/run-suite.ts";
import {
  attackOf,
  carriesOver,
  criterionOf,
  type SuiteEntry,
  suite,
  suiteFor,
  transferEntry,
} from "../../src/evaluate/robustness/suite.ts";
import { summariseAttack } from "../../src/evaluate/robustness/summary.ts";
import { renderAttack } from "../../src/evaluate/robustness/table.ts";
import { withTargets } from "../../src/evaluate/robustness/targets.ts";
import { before, successCurve, trialsOf, worstCase } from "../../src/evaluate/robustness/worst-case.ts";
import { linearModel, type SmallModel } from "../support/attacked-models.ts";
import { removeFolders, temporaryFolder } from "../support/folders.ts";
import { labelledPoints } from "../support/points.ts";

const rows = [
  [2, -1, 0.5, 0],
  [-1, 1.5, 0, 0.5],
  [0, 0.5, -1, 1],
];
const scaled = (factor: number): SmallModel => ({ rows: rows.map((weights) => weights.map((weight) => factor * weight)) });
/** Scores of tens of thousands: cross-entropy's gradient is zero in float32, the margin's is not. */
const saturated = linearModel(scaled(1e5));
const plain = linearModel(scaled(1));
/** Rejects what wins by little. */
const rejecting = linearModel({ rows, thresholds: [0.6, 0.6, 0.3] });
const models: readonly GraphModel[] = [saturated, plain, rejecting];
afterAll(removeFolders);
afterAll(() => Promise.all(models.map((model) => model.release())));

let samples: Samples;
beforeAll(async () => {
  samples = await labelledPoints(plain, 24, 4);
});
const thresholdsOf = (model: GraphModel, percentile = 1) => ({ percentile, values: Array.from(model.thresholds) });
const classNames = ["ant", "bee", "cat & co"];

it("gives Wilson's interval, also where none or all succeed", () => {
  expect(wilsonInterval(0, 10)).toEqual({ low: 0, high: expect.closeTo(0.27753, 5) });
  expect(wilsonInterval(10, 10)).toEqual({ low: expect.closeTo(0.72247, 5), high: 1 });
  expect(wilsonInterval(5, 10)).toEqual({ low: expect.closeTo(0.23659, 5), high: expect.closeTo(0.76341, 5) });
  expect(wilsonInterval(0, 0)).toBeNull();
});

describe("targets", () => {
  it("are never the sample's own class, and follow the rule", async () => {
    for (const rule of ["random", "next", "least-likely", "all"]) {
      const { samples: chosen, sources } = await withTargets(plain, samples, classNames, rule, 5);
      expect(chosen.labels.length).toBe(rule === "all" ? 48 : 24);
      expect(chosen.targets.every((target, i) => target !== chosen.labels[i] && target >= 0 && target < 3)).toBe(true);
      expect(Array.from(chosen.labels)).toEqual(Array.from(sources, (i) => samples.labels[i]!));
      if (rule === "next") expect(chosen.targets).toEqual(samples.labels.map((label) => (label + 1) % 3));
      if (rule === "least-likely") {
        const { classLogLikelihoods } = await plain.score(samples.images);
        const lowest = (i: number) =>
          Math.min(...[0, 1, 2].filter((c) => c !== samples.labels[i]).map((c) => classLogLikelihoods[3 * i + c]!));
        chosen.targets.forEach((target, i) => void expect(classLogLikelihoods[3 * i + target]).toBe(lowest(i)));
      }
    }
    const [once, again, other] = await Promise.all([5, 5, 6].map((seed) => withTargets(plain, samples, classNames, "random", seed)));
    expect(once!.samples.targets).toEqual(again!.samples.targets);
    expect(once!.samples.targets).not.toEqual(other!.samples.targets);
  });

  it("may be one class, for the images that are of another", async () => {
    const { samples: chosen, sources } = await withTargets(plain, samples, classNames, "bee", 0);
    expect(new Set(chosen.targets)).toEqual(new Set([1]));
    expect(sources.length).toBe(samples.labels.filter((label) => label !== 1).length);
    await expect(withTargets(plain, { ...samples, labels: samples.labels.map(() => 1) }, classNames, "bee", 0)).rejects.toThrow(
      "of class bee itself",
    );
    await expect(withTargets(plain, samples, classNames, "bea", 0)).rejects.toThrow('did you mean "bee"');
  });
});

describe("the summary of an attack", () => {
  it("counts both groups, other percentiles, and what rounding to 8 bits leaves", async () => {
    const result = await runAttack(rejecting, samples, makeAttack("pgd", { loss: "margin", norm: "linf" }), { epsilons: [0.3], seed: 1 });
    const strict = { percentile: 2, values: [1e6, 1e6, 1e6] };
    const { outcomes, percentileInForce } = await summariseAttack(rejecting, result, [thresholdsOf(rejecting), strict]);
    expect(percentileInForce).toBe(1);
    const [{ percentiles, survivesRounding, queries, medianPerturbation }] = outcomes as [(typeof outcomes)[0]];
    const [first, second] = percentiles as [(typeof percentiles)[0], (typeof percentiles)[0]];
    const acceptedBefore = result.attacked.filter((value, i) => value === 1 && result.clean.accepted[i] === 1).length;
    expect(first.attacked.attacked).toBe(24);
    expect(first.attackedAndAccepted.attacked).toBe(acceptedBefore);
    expect(acceptedBefore).toBeLessThan(24);
    const successes = result.outcomes[0]!.success.filter((value) => value === 1).length;
    expect(first.attacked.success).toMatchObject({ value: successes / 24, of: 24 });
    // Nothing is accepted there: every success is detected, none evades.
    expect(second.attacked.detection.value).toBe(1);
    expect(second.attacked.evasion.value).toBe(0);
    expect(second.attackedAndAccepted).toMatchObject({ attacked: 0, success: { value: null, interval: null } });
    expect(second.robustAccuracyWithRejection.value).toBe(0);
    expect(first.robustAccuracy.value).toBeCloseTo(1 - successes / 24, 6);
    expect(survivesRounding.of).toBe(successes);
    expect(queries.gradients).toBeGreaterThan(1);
    expect(medianPerturbation).toBeLessThanOrEqual(0.3 + 1e-6);
  });

  it("of images made to be accepted says nothing of other thresholds, nor of accuracy without rejection", async () => {
    const result = await runAttack(rejecting, samples, makeAttack("pgd", { loss: "accepted" }), { epsilons: [0.3], seed: 1 });
    const lax = { percentile: 2, values: [-1e6, -1e6, -1e6] };
    const { outcomes, criterion } = await summariseAttack(rejecting, result, [thresholdsOf(rejecting), lax]);
    expect(criterion).toBe("misclassified-and-accepted");
    const [first, second] = outcomes[0]!.percentiles;
    expect(first!.attacked).toMatchObject({ detection: { value: 0 }, evasion: { of: 24 } });
    expect(first!.attacked.evasion.value).toBeGreaterThan(0);
    expect(first!.robustAccuracyWithRejection.of).toBe(24);
    expect(second!.attacked.success).toEqual(first!.attacked.success);
    const nothing = { value: null, of: 0, interval: null };
    for (const unmeasured of [second!.attacked.detection, second!.attackedAndAccepted.evasion, second!.robustAccuracyWithRejection]) {
      expect(unmeasured).toEqual(nothing);
    }
    expect([first!.robustAccuracy, second!.robustAccuracy]).toEqual([nothing, nothing]);
  });

  it("of images attacked once per target takes the worst target, and gives dependent rates no interval", async () => {
    const { samples: pairs, sources } = await withTargets(plain, samples, classNames, "all", 0);
    const result = await runAttack(plain, pairs, makeAttack("pgd", { loss: "margin", steps: 5 }), { epsilons: [0.1], seed: 1 });
    const summary = await summariseAttack(plain, result, [thresholdsOf(plain)], sources);
    const { percentiles, worstTarget } = summary.outcomes[0]!;
    const changed = new Set(sources.filter((_, i) => result.outcomes[0]!.scores.labels[i] !== pairs.labels[i]));
    // Some images, and not by each of their targets.
    expect(changed.size).toBeGreaterThan(0);
    expect(changed.size).toBeLessThan(24);
    expect(worstTarget!.success).toMatchObject({ value: changed.size / 24, of: 24, interval: { low: expect.any(Number) } });
    expect(worstTarget!.robustAccuracy).toMatchObject({ value: expect.closeTo(1 - changed.size / 24, 6), of: 24 });
    expect(percentiles[0]!.attacked.success).toMatchObject({ of: 48, interval: null });
    expect(percentiles[0]!.attacked.success.value).toBeLessThan(changed.size / 24);
    const table = renderAttack(summary);
    expect(table).toContain("48 pairs of image and target");
    expect(table).toMatch(/each image's worst target \(24 images right before\)\n {2}wrong +\d+\.\d\d% \[/);
    const once = await summariseAttack(plain, result, [thresholdsOf(plain)]);
    expect(once.outcomes[0]!.worstTarget).toBeUndefined();
    const accepted = await runAttack(plain, pairs, makeAttack("pgd", { loss: "accepted", steps: 5 }), { epsilons: [0.1], seed: 1 });
    const ofAccepted = (await summariseAttack(plain, accepted, [thresholdsOf(plain)], sources)).outcomes[0]!.worstTarget!;
    expect([ofAccepted.success.value, ofAccepted.robustAccuracy.value]).toEqual([null, null]);
    expect(ofAccepted.evasion).toMatchObject({ of: 24, value: expect.any(Number) });
  });

  it("has the mean of the middle two as the median of an even number", async () => {
    const result = await runAttack(plain, samples, makeAttack("deepfool"));
    const [outcome] = result.outcomes;
    const medianOfFirst = (count: number) => {
      const success = outcome!.success.map((value, i) => (i < count ? value : 0));
      return attackRates(result, { ...outcome!, success }).medianPerturbation;
    };
    const sizes = (count: number) => [...outcome!.sizes.l2.subarray(0, count)].sort((a, b) => a - b);
    expect(Array.from(outcome!.success)).toEqual(Array(24).fill(1));
    expect(medianOfFirst(3)).toBe(sizes(3)[1]);
    expect(medianOfFirst(4)).toBeCloseTo((sizes(4)[1]! + sizes(4)[2]!) / 2, 6);
    expect(medianOfFirst(0)).toBeNaN();
  });

  it("says that a perturbation below half a grey level does not survive rounding", async () => {
    const near = { images: Float32Array.of(100 / 255 + 0.0001, 100 / 255), labels: Int32Array.of(0) };
    const step = linearModel({
      rows: [
        [1, 0],
        [0, 1],
      ],
    });
    const result = await runAttack(step, near, makeAttack("fgsm", { loss: "margin" }), { epsilons: [0.001] });
    const { outcomes } = await summariseAttack(step, result, [thresholdsOf(step)]);
    await step.release();
    expect(outcomes[0]!.percentiles[0]!.attacked.success.value).toBe(1);
    expect(outcomes[0]!.survivesRounding).toMatchObject({ value: 0, of: 1 });
  });
});

describe("the suite", () => {
  it("names attacks, settings and criteria that there are", () => {
    for (const entry of [...suite, transferEntry]) {
      expect(attackOf(entry).name).toBe(entry.attack);
      if (entry.criterion !== undefined) expect(criterionOf(entry)?.name).toBe(entry.criterion);
      if (entry.doubles !== undefined) expect(suite.map(({ id }) => id)).toContain(entry.doubles);
    }
    expect(new Set(suite.map(({ id }) => id)).size).toBe(suite.length);
    expect(suiteFor("softmax", 2).map(({ id }) => id)).not.toContain("match-mean");
    expect(suiteFor("softmax", 2).map(({ id }) => id)).not.toContain("apgd-dlr");
  });

  it("carries over what is wrong and accepted, and no attack that may still be accepted at a larger epsilon", () => {
    expect([...suite, transferEntry].filter(carriesOver).map(({ id }) => id)).toEqual([
      ...["noise", "apgd-accepted", "apgd-accepted-double", "apgd-accepted-targets", "match-mean", "match-sample", "cw-l2-accepted"],
      ...["square-accepted", "local-search", "hopskipjump"],
    ]);
  });

  const entries = (...ids: string[]): SuiteEntry[] => ids.map((id) => suite.find((entry) => entry.id === id)!);
  const run = (model: GraphModel, chosen: readonly SuiteEntry[], linf: readonly number[] = [0.1, 0.3, 1]) =>
    runSuite({ model, sha256: "abc" }, samples, {
      data: "points",
      head: "softmax",
      thresholds: [thresholdsOf(model)],
      entries: chosen,
      epsilons: { linf, l2: [0.5] },
    });
  const kinds = ({ warnings }: { warnings: readonly { kind: string }[] }) => [...new Set(warnings.map(({ kind }) => kind))].sort();

  it("warns where gradients are masked, and not where they are not", async () => {
    const masked = await run(saturated, entries("noise", "fgsm", "pgd"));
    expect(kinds(masked)).toEqual(["black-box-better", "unbounded-below-100", "zero-gradients"]);
    expect(masked.warnings[0]!.text).toContain("fgsm: up to 100.00% of its gradients were zero");
    expect(renderRobustness(masked)).toContain("WARNING fgsm");
    const seen = await run(plain, entries("noise", "fgsm", "pgd", "pgd-margin", "apgd-accepted", "apgd-accepted-double"));
    expect(seen.warnings).toEqual([]);
    expect(seen.worstCase.linf.at(-1)!.success.value).toBe(1);
  });

  it("warns where twice the steps find more, and where one step finds more than many", async () => {
    const slow = { role: "white-box", attack: "bim" } as const;
    const steps = (count: number) => ({ loss: "margin", steps: count, relativeStepSize: 0.1 });
    const halfWay: SuiteEntry[] = [
      { ...slow, id: "few", settings: steps(5) },
      { ...slow, id: "many", settings: steps(10), doubles: "few" },
    ];
    expect(kinds(await run(plain, halfWay, [0.1, 0.2, 0.3]))).toEqual(["more-steps-help"]);
    const oneStep: SuiteEntry[] = [
      { ...slow, id: "fgsm", attack: "fgsm", settings: { loss: "margin" } },
      { ...slow, id: "pgd", settings: steps(1) },
    ];
    expect(kinds(await run(plain, oneStep, [0.2]))).toEqual(["one-step-better"]);
  });

  it("leaves out what has nothing to imitate, and says so", async () => {
    const one = samples.labels.indexOf(0);
    const alone = { images: samples.images.slice(4 * one, 4 * one + 4), labels: Int32Array.of(0) };
    const report = await runSuite(
      { model: plain, sha256: "abc" },
      { ...alone, guides: alone },
      {
        ...{ data: "points", head: "softmax", thresholds: [thresholdsOf(plain)], epsilons: { linf: [0.1], l2: [0.5] } },
        entries: entries("fgsm", "match-sample"),
      },
    );
    expect(report.attacks.map(({ entry }) => entry.id)).toEqual(["fgsm"]);
    expect(report.warnings[0]).toMatchObject({
      kind: "left-out",
      text: expect.stringContaining("match-sample was left out: match-sample: none of 1 guides"),
    });
  });

  it("takes of each image the worst of all attacks, whatever epsilon it was made for", async () => {
    const attack = (settings: object, epsilons: number[]): Promise<AttackResult> =>
      runAttack(rejecting, samples, makeAttack("pgd", { ...settings }), { epsilons, seed: 2 });
    const results = [await attack({ loss: "margin" }, [0.1, 0.2]), await attack({ loss: "accepted" }, [0.4])];
    const trials = results.flatMap((result) => trialsOf("white-box", result));
    const start = before(results[0]!);
    const cases = [0.05, 0.1, 0.2, 0.3, 0.4].map((epsilon) => worstCase(trials, start, "linf", epsilon));
    const success = cases.map((one) => one.success.value!);
    expect(success).toEqual([...success].sort((a, b) => a - b));
    expect(cases[1]!.success.value).toBeCloseTo(results[0]!.outcomes[0]!.success.filter((value) => value === 1).length / 24, 6);
    // Nothing was made for 0.3: what was made for 0.2 counts, and what happens to be so near.
    expect(success[3]!).toBeGreaterThanOrEqual(success[2]!);
    for (const { success: wrong, evasion, robustAccuracy } of cases) {
      expect(evasion.value!).toBeLessThanOrEqual(wrong.value!);
      expect(robustAccuracy.value! + wrong.value!).toBeCloseTo(1, 6);
    }
    const curve = successCurve(trials, start, "linf", "wrong");
    expect(curve[0]).toEqual({ epsilon: 0, share: 0 });
    expect(curve.filter(({ epsilon }) => epsilon <= 0.4 + 1e-5).at(-1)!.share).toBeCloseTo(success[4]!, 6);
  });

  it("judges what was made on a twin, and says in words how many images there were", async () => {
    const report = await runSuite({ model: rejecting, sha256: "abc" }, samples, {
      data: "points",
      head: "softmax",
      thresholds: [thresholdsOf(rejecting)],
      entries: entries("pgd-margin"),
      twin: { model: plain, sha256: "def", path: "twin.onnx" },
      epsilons: { linf: [0.3], l2: [0.5] },
    });
    expect(report.attacks.map(({ entry }) => entry.id)).toEqual(["pgd-margin", "transfer"]);
    expect(report.attacks[1]!.summary.criterion).toBe("misclassified-and-accepted");
    expect(report.twin).toBe("twin.onnx");
    expect(inPlainWords(report).join(" ")).toContain("24 images are few: the intervals are wide");
    const words = (linf: readonly number[]) =>
      inPlainWords({
        ...report,
        worstCase: { ...report.worstCase, linf: linf.map((epsilon) => ({ ...report.worstCase.linf[0]!, epsilon })) },
      });
    expect(words([0.1]).join(" ")).toContain("no linf epsilon is 1");
    expect(words([1]).join(" ")).not.toContain("no linf epsilon is 1");
    const folder = temporaryFolder();
    const path = join(folder, "robustness.json");
    const write = (robustness: object) => writeFileSync(path, JSON.stringify({ modelFile: { sha256: "abc" }, robustness }));
    write(report);
    expect(readRobustness(path)).toEqual(report);
    expect(readRobustness(path, "abc")).toEqual(report);
    expect(() => readRobustness(path, "def")).toThrow("is of another model file (SHA-256 abc) than the evaluation beside it (def)");
    write({ ...report, paperCase: { linf: [] } });
    expect(() => readRobustness(path)).toThrow("expected as many worst cases of the paper's attacks as of all");
    write({ ...report, curves: { ...report.curves, wrong: [] } });
    expect(() => readRobustness(path)).toThrow("robustness.json: not a record of sdim attack --standard --out");
  });
});

it("draws a grid with a row per image, of the right size, and refuses a count that is none", async () => {
  const result = await runAttack(plain, samples, makeAttack("fgsm", { loss: "margin" }), { epsilons: [0.2] });
  const shape = { channels: 1, height: 2, width: 2 };
  const [outcome] = result.outcomes;
  const png = await adversarialGrid(result, outcome!, samples.images, shape, { classNames, count: 3 });
  // Pixels of 48: cells of 96, gaps of 6, a head of 24 and 250 for words.
  expect(await sharp(png).metadata()).toMatchObject({ format: "png", width: 3 * 102 + 6 + 250, height: 24 + 3 * 102 + 6 });
  const { data, info } = await sharp(png).raw().toBuffer({ resolveWithObject: true });
  const grey = (x: number, y: number) => data[(y * info.width + x) * info.channels];
  const first = result.outcomes[0]!.success.indexOf(1);
  expect(grey(6 + 10, 30 + 10)).toBe(Math.round(255 * samples.images[4 * first]!));
  expect(grey(102 + 6 + 10, 30 + 10)).toBe(Math.round(255 * outcome!.images[4 * first]!));
  await expect(adversarialGrid(result, outcome!, samples.images, shape, { classNames, count: 0 })).rejects.toThrow("1 to 200 rows, got 0");
});
