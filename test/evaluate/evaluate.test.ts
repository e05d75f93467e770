import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { Classifier } from "../../src/classify/classifier.ts";
import { readModelFile, tensorsOf } from "../../src/classify/model-file.ts";
import { convertChannels } from "../../src/data/channels.ts";
import { takeFirst } from "../../src/data/image-set.ts";
import { synthesise } from "../../src/data/synthetic.ts";
import { evaluate } from "../../src/evaluate/evaluate.ts";
import { winningPosteriors } from "../../src/evaluate/metrics/calibration.ts";
import { renderTable } from "../../src/evaluate/summary.ts";
import { replaceInitializer } from "../../src/onnx/model-file.ts";
import { train } from "../../src/train/train.ts";
import { temporaryFolder, testDigits, tinyConfig, trainingDigits } from "../support/digits.ts";

const folder = temporaryFolder();
const digits = takeFirst(await testDigits(), 60);
let classifier: Classifier;
beforeAll(async () => {
  const config = tinyConfig({ epochs: 2, prior: "training-frequency" });
  await train({ config, data: await trainingDigits(), out: folder });
  classifier = await Classifier.load(join(folder, "model.onnx"));
}, 120_000);

describe("evaluate", () => {
  it("takes the priors from the model file, so that the posterior's winner is the label", async () => {
    const priors = classifier.logPriors!;
    expect(priors.reduce((sum, value) => sum + Math.exp(value), 0)).toBeCloseTo(1, 5);
    const { evaluation, inDistribution } = await evaluate(classifier, digits);
    const { classLogLikelihoods, labels } = inDistribution;
    const posteriors = winningPosteriors(classLogLikelihoods, labels, priors);
    // The winner of three has at least a third, which is not so for another class than the winner with these priors.
    for (const p of posteriors) expect(p).toBeGreaterThanOrEqual(1 / 3 - 1e-6);
    const means = posteriors.reduce((a, b) => a + b) / posteriors.length;
    const { reliability } = evaluation.calibration;
    expect(reliability.reduce((sum, bin) => sum + bin.count * (bin.confidence ?? 0), 0) / digits.count).toBeCloseTo(means, 10);
  });

  it("names data, images and intervals, and gives the same for the same seed", async () => {
    const noise = synthesise("uniform-noise", digits, { count: 50 });
    const { evaluation } = await evaluate(classifier, digits, { ood: [noise], bootstrap: { resamples: 100, seed: 4 } });
    expect(evaluation).toMatchObject({
      fingerprint: digits.fingerprint,
      classNames: ["0", "1", "2"],
      bootstrap: { resamples: 100, level: 0.95, seed: 4 },
      ood: [{ data: "uniform-noise", fingerprint: noise.fingerprint, count: 50 }],
    });
    expect((await evaluate(classifier, digits, { ood: [noise], bootstrap: { resamples: 100, seed: 4 } })).evaluation).toEqual(evaluation);
  });

  it("reports the thresholds in force and, beside them, those of every other source the file has, each by its own values", async () => {
    const file = readModelFile(join(folder, "model.onnx"));
    const high = file.card.classNames.map(() => 1e9);
    const heldOut = { ...file.card.calibration, source: "validation" as const, thresholds: [{ percentile: 1, values: high }] };
    const both = await Classifier.load({ ...file, card: { ...file.card, format: 2, otherCalibrations: [heldOut] } });
    const { evaluation } = await evaluate(both, digits, { ood: [synthesise("constant", digits, { count: 20 })] });
    const names = (rows: readonly { readonly percentile: number; readonly source: string | null }[]) =>
      rows.map(({ percentile, source }) => [percentile, source]);
    const expected = [
      [1, "training"],
      [2, "training"],
      [1, "validation"],
    ];
    expect(names(evaluation.rejection)).toEqual(expected);
    expect(names(evaluation.ood[0]!.rejection)).toEqual(expected);
    expect(evaluation.rejection[0]!.rejectionRate).toBeLessThan(1);
    expect(evaluation.rejection[2]!.rejectionRate).toBe(1);
    expect(evaluation.ood[0]!.rejection[2]!.decisionRejectionRate).toBe(1);
    expect(renderTable(evaluation).split("\n")[0]).toMatch(/1 +2 +1 of validation$/);
    await both.release();
  });

  it("refuses sets of other channels until they are converted", async () => {
    const colour = convertChannels(digits, 3);
    await expect(evaluate(classifier, digits, { ood: [colour] })).rejects.toThrow(
      /as RGB \(test\): the model takes images of 1 channel\(s\), these have 3\. .*--convert-channels/,
    );
    const { evaluation } = await evaluate(classifier, digits, { ood: [convertChannels(colour, 1)] });
    // Digits against the same digits.
    expect(evaluation.ood[0]!.auroc).toBe(0.5);
    expect(evaluation.ood[0]!.data).toMatch(/ as RGB as grey$/);
  });

  it("refuses a model that gives NaN, rather than order what has no order", async () => {
    const file = readModelFile(join(folder, "model.onnx"));
    const [name, mean] = [...tensorsOf(file)].find(([found]) => found.includes("gaussian"))!;
    replaceInitializer(file.proto, name, new Float32Array(mean.length).fill(Number.NaN));
    const damaged = await Classifier.load(file);
    await expect(evaluate(damaged, digits)).rejects.toThrow(/\(test\): the model gives NaN for image 0: its weights are damaged/);
    await damaged.release();
  });

  it("takes a class at minus infinity for what it is: never the winner", async () => {
    const path = join(folder, "model.onnx");
    const [name, sigmas] = [...tensorsOf(readModelFile(path))].find(([found]) => found.includes("logSigma"))!;
    const file = readModelFile(path);
    // exp(50) squared is beyond float32, so that the last class's log-likelihood is -inf everywhere.
    const width = sigmas.length / digits.classNames.length;
    replaceInitializer(
      file.proto,
      name,
      sigmas.map((value, i) => (i >= sigmas.length - width ? -50 : value)),
    );
    const narrow = await Classifier.load(file);
    const { classLogLikelihoods, logLikelihoods, labels } = await narrow.classify(digits);
    const { evaluation } = await evaluate(narrow, digits);
    await narrow.release();
    expect(classLogLikelihoods.filter((value) => value === Number.NEGATIVE_INFINITY)).toHaveLength(digits.count);
    const last = digits.classNames.length - 1;
    labels.forEach((label, i) => {
      expect(label).not.toBe(last);
      expect(logLikelihoods[i]).toBe(classLogLikelihoods[i * digits.classNames.length + label]);
    });
    expect(evaluation.rejection[0]!.rejectionRate).toBeLessThan(1);
  });

  it("refuses an option out of range before it scores anything", async () => {
    const seen: string[] = [];
    const onProgress = (what: string) => seen.push(what);
    await expect(evaluate(classifier, digits, { bootstrap: { resamples: 0.5 }, onProgress })).rejects.toThrow("resamples: expected");
    for (const wrong of [{ coverages: [1.5] }, { coverages: [0] }, { risks: [-1] }, { risks: [Number.NaN] }]) {
      await expect(evaluate(classifier, digits, { ...wrong, onProgress })).rejects.toThrow(/(coverages|risks): expected shares/);
    }
    expect(seen).toEqual([]);
  });
});
