import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Classifier } from "../../src/classify/classifier.ts";
import { floatWeights, type ModelFile, readModelFile } from "../../src/classify/model-file.ts";
import { meanParameter } from "../../src/nn/gaussians.ts";
import { beginWith } from "../../src/train/begin-with.ts";
import { checkpointPath, loadCheckpoint, previousCheckpointPath } from "../../src/train/checkpoint.ts";
import { lossConfigOf, modelConfigOf } from "../../src/train/config.ts";
import { uncalibratedModel } from "../../src/train/export.ts";
import { initialState } from "../../src/train/initialise.ts";
import { buildTrainingStep } from "../../src/train/step.ts";
import { train } from "../../src/train/train.ts";
import { sdimHere } from "../support/cli.ts";
import { temporaryFolder, tinyConfig, trainingDigits } from "../support/digits.ts";
import { relativeError } from "../support/graphs.ts";

const data = await trainingDigits();
const first = { out: temporaryFolder(), config: tinyConfig({ epochs: 8, meanSpread: 1 }) };
const firstResult = await train({ ...first, data });
const earlier = loadCheckpoint(first.out);
const seen = { images: data, imageSize: 16 };

async function likelihoods(model: string | ModelFile): Promise<Float32Array> {
  const classifier = await Classifier.load(model);
  const { classLogLikelihoods } = await classifier.classify(data);
  await classifier.release();
  return classLogLikelihoods;
}

function freshOf(overrides: Parameters<typeof tinyConfig>[0], classes = data.classNames.length) {
  const config = tinyConfig(overrides);
  const { batchSize, negatives } = config;
  const { height, width } = data;
  const model = modelConfigOf(config, classes, 1);
  const { parameters, optimizerState } = buildTrainingStep({ model, loss: lossConfigOf(config), negatives, batchSize, height, width });
  return { parameters, state: initialState(parameters, optimizerState, 5) };
}

describe("a training that begins with another's weights", () => {
  it("has all weights and statistics, and an optimizer of its own", async () => {
    const { parameters, state } = freshOf({});
    const begun = await beginWith(first.out, parameters, state, seen);
    for (const [name, { data: values }] of begun.state) {
      expect([name, values]).toEqual([name, (name.startsWith("adam.") ? state : earlier.state).get(name)!.data]);
    }
    expect(begun.note).toBe(`begins with the weights of ${first.out} (${data.name}, 72 steps)`);
  });

  it("begins anew what has another shape, and names it", async () => {
    const { parameters, state } = freshOf({}, 4);
    const begun = await beginWith(first.out, parameters, state, seen);
    expect(begun.note).toContain("; anew: gaussians.mean, gaussians.logSigma");
    expect(begun.state.get(meanParameter)).toEqual(state.get(meanParameter));
    expect(begun.state.get("encoder.head.linear1.weight")).toEqual(earlier.state.get("encoder.head.linear1.weight"));
  });

  it.each([
    ["averages", tinyConfig({ epochs: 3, ema: 0.95, learningRate: 0.03, schedule: "constant" })],
    ["best epoch's", tinyConfig({ epochs: 3, validation: 0.3, keep: "best-validation", learningRate: 0.03, schedule: "constant" })],
  ])("has the %s weights where its model has them", async (_, config) => {
    const out = temporaryFolder();
    const { model } = await train({ config: { ...config, thresholdsFor: "all-classes" }, data, out });
    const { parameters, state } = freshOf({});
    const [begun, last] = [(await beginWith(out, parameters, state, seen)).state, loadCheckpoint(out).state];
    expect(begun.get(meanParameter)!.data).toEqual(floatWeights(model, "test").get(meanParameter));
    expect(begun.get(meanParameter)!.data).not.toEqual(last.get(meanParameter)!.data);
  });

  it("says so when the newest checkpoint is damaged and the one before it serves", async () => {
    const folder = temporaryFolder();
    copyFileSync(checkpointPath(first.out), previousCheckpointPath(folder));
    writeFileSync(checkpointPath(folder), readFileSync(checkpointPath(first.out)).subarray(0, -8));
    const { parameters, state } = freshOf({});
    const begun = await beginWith(folder, parameters, state, seen);
    expect(begun.note).toMatch(/\nso the checkpoint before it serves: begins with the weights of/);
    expect(begun.state.get(meanParameter)).toEqual(earlier.state.get(meanParameter));
  });

  it("refuses an encoder of another shape, and a folder without a training", async () => {
    const { parameters, state } = freshOf({ dimension: 16 });
    await expect(beginWith(first.out, parameters, state, seen)).rejects.toThrow(/--from: the encoder of .* is 8 x 32 there, 16 x 32 here/);
    await expect(beginWith(temporaryFolder(), parameters, state, seen)).rejects.toThrow("there is no checkpoint in");
    await expect(beginWith("models/mnist", parameters, state, seen)).rejects.toThrow("did you mean models/mnist/model.onnx?");
    await expect(beginWith("runs/typo.onnx", parameters, state, seen)).rejects.toThrow("there is no runs/typo.onnx: expected");
  });

  it("goes on where the other was, and the model file lists what came before", async () => {
    const second = await train({ config: tinyConfig({ epochs: 1 }), data, out: temporaryFolder(), from: first.out });
    expect(second.history[0]!.loss).toBeLessThan(firstResult.history[0]!.loss / 2);
    const { training } = readModelFile(second.modelPath).card;
    expect(training["startedFrom"]).toEqual([{ config: first.config, data: data.name, steps: 72 }]);
  });

  it("is no training that goes on", async () => {
    const { code, stderr } = await sdimHere("train", "--out", first.out, "--resume", "--from", first.out);
    expect([code, stderr]).toEqual([2, "sdim: --resume goes on with the run's own weights; leave --from out\n"]);
  });
});

describe("a training that begins with a model file", () => {
  const { modelPath } = firstResult;

  it("has its weights, with batch normalisation made anew and a fresh critic", async () => {
    const { parameters, state } = freshOf({});
    const begun = await beginWith(modelPath, parameters, state, seen);
    const critic = parameters.map(({ name }) => name).filter((name) => name.startsWith("critic."));
    expect(begun.note).toBe(`begins with the weights of ${modelPath} (${data.name}, 72 steps); anew: ${critic.join(", ")}`);
    expect(begun.startedFrom).toEqual([{ config: first.config, data: data.name, steps: 72 }]);
    for (const name of critic) expect(begun.state.get(name)).toEqual(state.get(name));
    expect(begun.state.get(meanParameter)!.data).toEqual(earlier.state.get(meanParameter)!.data);
    // Exported at once, it is the same model.
    const source = { name: data.name, split: data.split, fingerprint: data.fingerprint };
    const position = { config: first.config, data: source, step: 0, startedFrom: begun.startedFrom };
    const again = uncalibratedModel(begun.state, parameters, position, { training: data });
    const [before, after] = [await likelihoods(modelPath), await likelihoods(again)];
    expect(relativeError(after, before)).toBeLessThan(1e-4);
  });

  it("is that model for batch normalisation by the batch, too", async () => {
    const whole = { epochs: 1, batchSize: data.count, learningRate: 1e-12 };
    const { history } = await train({ config: tinyConfig(whole), data, out: temporaryFolder(), from: modelPath });
    const ll = await likelihoods(modelPath);
    const classes = data.classNames.length;
    const mean = data.labels.reduce((sum, label, i) => sum + ll[i * classes + label]!, 0) / data.count;
    expect(history[0]!.parts["negativeLogLikelihood"]).toBeCloseTo(-mean / first.config.dimension, 3);
  });

  it("refuses one of another shape, and one whose weights are no floats", async () => {
    const { parameters, state } = freshOf({ widths: [16, 16, 32, 48] });
    await expect(beginWith(modelPath, parameters, state, seen)).rejects.toThrow(/--from: the encoder of .*model\.onnx is not this one's/);
    const exported = join(temporaryFolder(), "half.onnx");
    expect((await sdimHere("export", modelPath, "--format", "onnx-fp16", "--out", exported)).code).toBe(0);
    await expect(beginWith(exported, parameters, state, seen)).rejects.toThrow(/--from: .*: the weights are not stored in float32/);
  });
});

describe("meanSpread", () => {
  it("is the deviation that the class means are drawn with", async () => {
    const out = temporaryFolder();
    // Too large for the means to move far.
    await train({ config: tinyConfig({ epochs: 4, meanSpread: 5 }), data, out });
    const values = loadCheckpoint(out).state.get(meanParameter)!.data as Float32Array;
    const deviation = Math.sqrt(values.reduce((sum, value) => sum + value ** 2, 0) / values.length);
    expect(deviation).toBeGreaterThan(3.5);
    expect(deviation).toBeLessThan(6.5);
  });
});
