import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { type AttackOptions, runAttack, type Samples } from "../../src/attacks/attack.ts";
import { makeAttack } from "../../src/attacks/attacks.ts";
import { misclassifiedAndAccepted } from "../../src/attacks/criteria.ts";
import { type AttackedModel, loadAttackedModel } from "../../src/attacks/model.ts";
import { networkImages } from "../../src/attacks/samples.ts";
import { subset } from "../../src/data/image-set.ts";
import { loadDataset } from "../../src/data/registry.ts";

// On trained networks nothing is known of the nearest adversarial but that there is one: an attack without bounds must find it.

const open = (name: string) =>
  loadAttackedModel(fileURLToPath(new URL(`../../models/${name}/model.onnx`, import.meta.url)), { threads: 1 });
const sdim = open("mnist");
const softmax = open("mnist-softmax");
afterAll(() => Promise.all([sdim.release(), softmax.release()]));

async function digits(model: AttackedModel, count: number): Promise<Samples> {
  const set = subset(
    await loadDataset("mnist", "test"),
    Array.from({ length: count }, (_, i) => i),
  );
  return { images: await networkImages(set, model.shape), labels: Int32Array.from(set.labels) };
}

async function outcomeOf(model: AttackedModel, samples: Samples, name: string, settings = {}, options: AttackOptions = {}) {
  const { outcomes, attacked } = await runAttack(model, samples, makeAttack(name, settings), options);
  expect(attacked.every((value) => value === 1)).toBe(true);
  return outcomes[0]!;
}

/** Few and long steps, from a constant that is not far off: near enough for a yes or no. */
const quick = { steps: 80, learningRate: 0.1, binarySearchSteps: 3 };

describe("the discriminative counterpart", () => {
  it("is fooled by deepfool every time", async () => {
    const { success } = await outcomeOf(softmax, await digits(softmax, 8), "deepfool");
    expect(Array.from(success)).toEqual(Array(8).fill(1));
  });

  it("is fooled by cw-l2 every time, from nearer than by deepfool", async () => {
    const samples = await digits(softmax, 4);
    const { success, sizes } = await outcomeOf(softmax, samples, "cw-l2", { ...quick, initialConstant: 1 });
    expect(Array.from(success)).toEqual([1, 1, 1, 1]);
    const other = await outcomeOf(softmax, samples, "deepfool");
    const total = (values: Float32Array) => values.reduce((sum, value) => sum + value, 0);
    expect(total(sizes.l2)).toBeLessThan(total(other.sizes.l2));
  });
});

describe("the SDIM classifier", () => {
  it("accepts what cw-l2 makes when the attack knows the reject rule", async () => {
    const settings = { ...quick, loss: "accepted", initialConstant: 0.01 };
    const { success, scores } = await outcomeOf(sdim, await digits(sdim, 4), "cw-l2", settings, { criterion: misclassifiedAndAccepted });
    expect(Array.from(success)).toEqual([1, 1, 1, 1]);
    expect(Array.from(scores.accepted)).toEqual([1, 1, 1, 1]);
  });

  it("is wrong by at least cw-l2's confidence", async () => {
    const samples = await digits(sdim, 2);
    const smallestMargin = async (confidence: number) => {
      const { success, scores } = await outcomeOf(sdim, samples, "cw-l2", { ...quick, confidence, initialConstant: 0.01 });
      expect(Array.from(success)).toEqual([1, 1]);
      const value = (i: number, c: number) => scores.classLogLikelihoods[i * sdim.classes + c]!;
      return Math.min(...Array.from(samples.labels, (label, i) => value(i, scores.labels[i]!) - value(i, label)));
    };
    expect(await smallestMargin(0)).toBeLessThan(100);
    expect(await smallestMargin(200)).toBeGreaterThanOrEqual(200 - 0.01);
  });
});
