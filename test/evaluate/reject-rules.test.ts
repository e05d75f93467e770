import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { Classifier } from "../../src/classify/classifier.ts";
import { type ModelFile, readModelFile, withStatistics } from "../../src/classify/model-file.ts";
import type { ImageSet } from "../../src/data/image-set.ts";
import { synthesise } from "../../src/data/synthetic.ts";
import { evaluate } from "../../src/evaluate/evaluate.ts";
import { paperModels } from "../../src/evaluate/protocols/paper.ts";
import { type MeasuredRule, measureRules, rejectRules, rulePercentiles, rulesTable } from "../../src/evaluate/protocols/reject-rules.ts";
import { tableMarkdown } from "../../src/evaluate/protocols/render.ts";
import { calibrateModel } from "../../src/reject/calibrate.ts";
import { train } from "../../src/train/train.ts";
import { temporaryFolder, testDigits, tinyConfig, trainingDigits } from "../support/digits.ts";

const [training, test] = [await trainingDigits(), await testDigits()];
const outliers = ["uniform-noise", "shuffled-patches"].map((name) => synthesise(name, test, { count: 100 }));
const bootstrap = { resamples: 20 };
let file: ModelFile;
let rules: MeasuredRule[];
beforeAll(async () => {
  const out = temporaryFolder();
  await train({ config: tinyConfig({ epochs: 4 }), data: training, out });
  file = readModelFile(join(out, "model.onnx"));
  const classifier = await Classifier.load(withStatistics(file));
  const classified = (set: ImageSet) => classifier.classify(set);
  const labelled = async (set: ImageSet) => ({ verdicts: await classified(set), labels: set.labels });
  const sets = {
    training: await labelled(training),
    test: await labelled(test),
    synthetic: await Promise.all(outliers.map(classified)),
    published: await classified(outliers[1]!),
  };
  rules = measureRules(sets, file.card.classNames, { bootstrap });
  await classifier.release();
});

describe("reject rules", () => {
  it.each(rejectRules)("by $score for $thresholdsFor are those of a model calibrated so", async (rule) => {
    const measured = rules.find((one) => one.rule === rule)!;
    const options = { percentile: 1, percentiles: rulePercentiles, rejectBy: rule.score, thresholdsFor: rule.thresholdsFor };
    const calibrated = await Classifier.load((await calibrateModel(file, training, options)).file);
    const { evaluation } = await evaluate(calibrated, test, { ood: outliers, percentiles: rulePercentiles, bootstrap });
    await calibrated.release();
    const oneImage = 1 / outliers[0]!.count;
    measured.rejection.forEach(({ percentile, rejectionRate, selectiveAccuracy }, i) => {
      const expected = evaluation.rejection[i]!;
      expect(percentile).toBe(expected.percentile);
      // Penalties are taken here and in the graph: what lies on a threshold may fall either way.
      expect(Math.abs(rejectionRate - expected.rejectionRate)).toBeLessThanOrEqual(oneImage);
      expect(selectiveAccuracy).toBeCloseTo(expected.selectiveAccuracy!, 2);
    });
    measured.synthetic.forEach((set, i) => {
      const expected = evaluation.ood[i]!;
      expect(set.auroc).toBeCloseTo(expected.auroc, 3);
      expect(set.decisionAuroc).toBeCloseTo(expected.decisionAuroc!, 3);
      set.rejection.forEach(({ decisionRejectionRate, perClassRejectionRate }, p) => {
        expect(Math.abs(decisionRejectionRate - expected.rejection[p]!.decisionRejectionRate)).toBeLessThanOrEqual(oneImage);
        expect(Math.abs(perClassRejectionRate - expected.rejection[p]!.perClassRejectionRate)).toBeLessThanOrEqual(oneImage);
      });
    });
    expect(measured.published!.auroc).toBe(measured.synthetic[1]!.auroc);
  });

  it("differ", () => {
    const aurocs = rules.map(({ published }, i) => (i % 2 === 0 ? published!.decisionAuroc : published!.auroc));
    expect(new Set(aurocs).size).toBe(4);
  });

  it("are a table with a row for each, and the AUROC of the rule", () => {
    const [model] = paperModels;
    const table = rulesTable([{ model: model!, published: "garments", rules }]);
    expect(table.rows.map(({ label }) => label)).toEqual([
      "SDIM ResNet10, mnist -> garments: likelihood, a threshold per class",
      "SDIM ResNet10, mnist -> garments: likelihood, one threshold",
      "SDIM ResNet10, mnist -> garments: penalised likelihood, a threshold per class",
      "SDIM ResNet10, mnist -> garments: penalised likelihood, one threshold",
    ]);
    const last = table.rows.map(({ cells }) => cells.at(-1)!.ours);
    expect(last).toEqual(rules.map(({ published }, i) => (i % 2 === 0 ? published!.decisionAuroc : published!.auroc)));
    for (const { cells } of table.rows) expect(cells).toHaveLength(table.columns.length);
    const markdown = tableMarkdown(table, []);
    expect(markdown).toContain("**Ours** (95% confidence interval)");
    expect(markdown).not.toContain(" / **");
  });
});
