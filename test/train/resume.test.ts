import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { encodeModelFile, readModelFile } from "../../src/classify/model-file.ts";
import { Interrupted } from "../../src/core/errors.ts";
import type { ImageSet } from "../../src/data/image-set.ts";
import { calibrateModel } from "../../src/reject/calibrate.ts";
import { lockPath } from "../../src/train/lock.ts";
import { readRun } from "../../src/train/runs.ts";
import { train } from "../../src/train/train.ts";
import { temporaryFolder, tinyConfig, trainingDigits } from "../support/digits.ts";

let data: ImageSet;
beforeAll(async () => {
  data = await trainingDigits();
});

describe("a training that was finished", () => {
  it("leaves its model as it is, calibrated anew or not", async () => {
    const out = temporaryFolder();
    const config = tinyConfig({ epochs: 4 });
    const { modelPath, wasThere } = await train({ config, data, out });
    expect(wasThere).toBe(false);
    const { file } = await calibrateModel(readModelFile(modelPath), data, { percentile: 20, percentiles: [] });
    writeFileSync(modelPath, encodeModelFile(file));
    const before = readFileSync(modelPath);
    const notes: string[] = [];
    const again = await train({ config, data, out, resume: true, onNote: (note) => notes.push(note) });
    expect([again.wasThere, again.model.card.calibration.percentile]).toEqual([true, 20]);
    expect(readFileSync(modelPath).equals(before)).toBe(true);
    expect(notes).toEqual([`${modelPath} is there already, of the last step: it is left as it is`]);
    // Without it, it is made again, with its own thresholds.
    rmSync(modelPath);
    expect((await train({ config, data, out, resume: true })).model.card.calibration.percentile).toBe(config.percentile);
    // And so where it is damaged.
    writeFileSync(modelPath, "not a model");
    notes.length = 0;
    const mended = await train({ config, data, out, resume: true, onNote: (note) => notes.push(note) });
    expect([mended.wasThere, readModelFile(modelPath).card]).toEqual([false, mended.model.card]);
    expect(notes).toEqual([expect.stringMatching(/model\.onnx.*it is made anew, of the checkpoint/s)]);
  });

  it("without thresholds, for want of a correct image, takes one for all classes when asked to", async () => {
    const out = temporaryFolder();
    const labels = data.labels.map((label, i) => (i === 0 ? 3 : label));
    const poor = { ...data, classNames: [...data.classNames, "never"], labels };
    const config = tinyConfig({ epochs: 4 });
    await expect(train({ config, data: poor, out })).rejects.toThrow(
      /no correctly classified sample of class .*--thresholds-for all-classes/,
    );
    expect(readRun(out).state).toMatchObject({ kind: "broken", reason: expect.stringContaining("without a model file") });
    const notes: string[] = [];
    const other = tinyConfig({ epochs: 4, thresholdsFor: "all-classes", percentile: 2 });
    const { model } = await train({ config: other, data: poor, out, resume: true, onNote: (note) => notes.push(note) });
    expect(model.card.calibration).toMatchObject({ thresholdsFor: "all-classes", percentile: 2 });
    expect(model.card.training["config"]).toMatchObject({ thresholdsFor: "all-classes" });
    expect(JSON.parse(readFileSync(join(out, "config.json"), "utf8"))).toMatchObject({ thresholdsFor: "all-classes", percentile: 2 });
    expect(notes.join("\n")).toMatch(/no image of class .*"never" is classified correctly: the model never says so/);
    expect(readRun(out).state.kind).toBe("finished");
    await expect(train({ config: { ...other, margin: 5 }, data: poor, out, resume: true })).rejects.toThrow(
      "was trained with another config",
    );
  });
});

it("a training stopped while its images are scored for thresholds goes on with that", async () => {
  const out = temporaryFolder();
  const controller = new AbortController();
  const [config, options] = [tinyConfig({ epochs: 4 }), { data, out }];
  const stopped = train({ ...options, config, signal: controller.signal, onCalibrate: () => controller.abort() });
  await expect(stopped).rejects.toThrow(Interrupted);
  await expect(stopped).rejects.toThrow(`stopped before it was calibrated; go on with: sdim train --out ${out} --resume`);
  expect(existsSync(join(out, "model.onnx"))).toBe(false);
  expect((await train({ ...options, config, resume: true })).wasThere).toBe(false);
  expect(readRun(out).state.kind).toBe("finished");
});

it("a training killed before it wrote anything but its lock does not stand in the way of another", async () => {
  const out = temporaryFolder();
  writeFileSync(lockPath(out), JSON.stringify({ pid: 2 ** 22 + 1, host: hostname() }));
  await train({ config: tinyConfig({ epochs: 4 }), data, out });
  expect(readRun(out).state.kind).toBe("finished");
});

it("a folder that nothing came of is not left behind", async () => {
  const out = join(temporaryFolder(), "new");
  await expect(train({ config: tinyConfig(), data, out, from: "nowhere" })).rejects.toThrow("nowhere");
  expect(existsSync(out)).toBe(false);
  const empty = temporaryFolder();
  await expect(train({ config: tinyConfig(), data, out: empty, from: "nowhere" })).rejects.toThrow("nowhere");
  expect(readdirSync(empty)).toEqual([]);
});
