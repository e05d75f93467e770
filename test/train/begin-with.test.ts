import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { readModelFile } from "../../src/classify/model-file.ts";
import { meanParameter } from "../../src/nn/gaussians.ts";
import { beginWith } from "../../src/train/begin-with.ts";
import { checkpointPath, loadCheckpoint, previousCheckpointPath } from "../../src/train/checkpoint.ts";
import { lossConfigOf, modelConfigOf } from "../../src/train/config.ts";
import { initialState } from "../../src/train/initialise.ts";
import { buildTrainingStep } from "../../src/train/step.ts";
import { train } from "../../src/train/train.ts";
import { sdimHere } from "../support/cli.ts";
import { temporaryFolder, tinyConfig, trainingDigits } from "../support/digits.ts";

const data = await trainingDigits();
const first = { out: temporaryFolder(), config: tinyConfig({ epochs: 8, meanSpread: 1 }) };
const firstResult = await train({ ...first, data });
const earlier = loadCheckpoint(first.out);

function freshOf(overrides: Parameters<typeof tinyConfig>[0], classes = data.classNames.length) {
  const config = tinyConfig(overrides);
  const { batchSize, negatives } = config;
  const { height, width } = data;
  const model = modelConfigOf(config, classes, 1);
  const { parameters, optimizerState } = buildTrainingStep({ model, loss: lossConfigOf(config), negatives, batchSize, height, width });
  return { parameters, state: initialState(parameters, optimizerState, 5) };
}

describe("a training that begins with another's weights", () => {
  it("has all weights and statistics, and an optimizer of its own", () => {
    const { parameters, state } = freshOf({});
    const begun = beginWith(first.out, parameters, state);
    for (const [name, { data: values }] of begun.state) {
      expect([name, values]).toEqual([name, (name.startsWith("adam.") ? state : earlier.state).get(name)!.data]);
    }
    expect(begun.note).toBe(`begins with the weights of ${first.out} (${data.name}, 72 steps)`);
  });

  it("begins anew what has another shape, and names it", () => {
    const { parameters, state } = freshOf({}, 4);
    const begun = beginWith(first.out, parameters, state);
    expect(begun.note).toContain("; anew: gaussians.mean, gaussians.logSigma");
    expect(begun.state.get(meanParameter)).toEqual(state.get(meanParameter));
    expect(begun.state.get("encoder.linear1.weight")).toEqual(earlier.state.get("encoder.linear1.weight"));
  });

  it("says so when the newest checkpoint is damaged and the one before it serves", () => {
    const folder = temporaryFolder();
    copyFileSync(checkpointPath(first.out), previousCheckpointPath(folder));
    writeFileSync(checkpointPath(folder), readFileSync(checkpointPath(first.out)).subarray(0, -8));
    const { parameters, state } = freshOf({});
    const begun = beginWith(folder, parameters, state);
    expect(begun.note).toMatch(/\nso the checkpoint before it serves: begins with the weights of/);
    expect(begun.state.get(meanParameter)).toEqual(earlier.state.get(meanParameter));
  });

  it("refuses an encoder of another shape, and a folder without a training", () => {
    const { parameters, state } = freshOf({ dimension: 16 });
    expect(() => beginWith(first.out, parameters, state)).toThrow(/--from: the encoder of .* is 8 x 32 there, 16 x 32 here/);
    expect(() => beginWith(temporaryFolder(), parameters, state)).toThrow("there is no checkpoint in");
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
