import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ablate, type StudyResult } from "../../src/ablate/ablate.ts";
import { loadStudyData, type StudyData } from "../../src/ablate/data.ts";
import { parseStudy } from "../../src/ablate/study.ts";
import { readModelFile } from "../../src/classify/model-file.ts";
import { UserError } from "../../src/core/errors.ts";
import { type ImageSet, subset } from "../../src/data/image-set.ts";
import { loadDataset } from "../../src/data/registry.ts";
import { type TrainOptions, train } from "../../src/train/train.ts";
import { removeFolders, temporaryFolder } from "../support/folders.ts";

// Four digits, of which one is held out; trainings of a second or two.

const raw = {
  name: "digits",
  data: "digits",
  limit: 300,
  heldOutClasses: ["1"],
  base: { widths: [16, 16, 32, 32], imageSize: 16, dimension: 8, batchSize: 32, epochs: 6, learningRate: 0.005 },
  seeds: [1, 2],
  outliers: ["held-out-classes", "uniform-noise"],
  outlierCount: 60,
  variants: {
    "margin-1": { description: "smaller margin", config: { margin: 1 } },
    huge: { description: "a loss that overflows", config: { learningRate: 1000000, schedule: "constant" } },
  },
};
const study = (overrides: Readonly<Record<string, unknown>> = {}) => parseStudy({ ...raw, ...overrides }, "digits.yaml");

const firstDigits = (set: ImageSet, count: number): ImageSet => {
  const chosen = Array.from(set.labels.keys()).filter((i) => set.labels[i]! < 4);
  return { ...subset(set, chosen.slice(0, count)), classNames: set.classNames.slice(0, 4) };
};

let load: (spec: string, split: "train" | "test") => Promise<ImageSet>;
let data: StudyData;
let result: StudyResult;
const results: StudyResult[] = [];
const runs = temporaryFolder();
const trained: string[] = [];
const options = {
  runs,
  threads: 1,
  command: "a test",
  train: (given: TrainOptions) => {
    trained.push(`${given.out.slice(runs.length + 1)}${given.resume ? ", resumed" : ""}`);
    return train(given);
  },
};

beforeAll(async () => {
  const sets = { train: firstDigits(await loadDataset("mnist", "train"), 600), test: firstDigits(await loadDataset("mnist", "test"), 200) };
  load = async (_spec, split) => sets[split];
  data = await loadStudyData(study(), { load });
  result = await ablate(study(), data, { ...options, onResult: async (so) => void results.push(so) });
});
afterAll(removeFolders);

const outcomeOf = (id: string, seed = 1) => {
  const { outcome } = result.trainings.find((one) => one.id === id && one.seed === seed)!;
  if (outcome.kind !== "measured") throw new Error(`${id}: ${outcome.kind}`);
  return outcome;
};

describe("ablate", () => {
  it("trains each variant and seed into a folder of its own, on the known classes alone", () => {
    expect(trained).toEqual(["base-1", "base-2", "margin-1-1", "huge-1"]);
    const { classNames, training } = readModelFile(join(runs, "margin-1-1", "model.onnx")).card;
    expect(classNames).toEqual(["0", "2", "3"]);
    expect(training).toMatchObject({ images: 270, config: { margin: 1, seed: 1 }, data: { fingerprint: data.training.fingerprint } });
    expect(readModelFile(join(runs, "base-2", "model.onnx")).card.training).toMatchObject({ config: { margin: 10, seed: 2 } });
  });

  it("measures on validation images and outliers for choosing, on test images and held-out classes beside", () => {
    const { choosing, test, seconds, final } = outcomeOf("base");
    expect(choosing).toMatchObject({
      data: "mnist without 1",
      count: 30,
      outliers: [
        { data: "1 of mnist", count: 60 },
        { data: "uniform-noise", count: 60 },
      ],
    });
    expect(test).toMatchObject({ count: data.test.count, outliers: [{ data: "1 of mnist", count: data.reported[0]!.count }] });
    expect(choosing.accuracy).toBeGreaterThan(0.7);
    expect(test.accuracy).not.toBe(choosing.accuracy);
    expect(test.rejection.map(({ percentile, source }) => [percentile, source])).toEqual([
      [1, "validation"],
      [1, "training"],
    ]);
    expect(seconds).toBeGreaterThan(0);
    expect(final.trainAccuracy).toBeGreaterThan(0.7);
  });

  it("records a training that fails, and goes on", () => {
    const { outcome } = result.trainings.find(({ id }) => id === "huge")!;
    expect(outcome).toMatchObject({ kind: "failed", reason: expect.stringMatching(/^training stopped at step 2: /) });
    expect(result.comparison.variants.find(({ id }) => id === "huge")).toMatchObject({ failed: [1], mark: null, merits: null });
  });

  it("compares by the two seeds of the base", () => {
    const [one, two] = [outcomeOf("base").choosing.accuracy, outcomeOf("base", 2).choosing.accuracy];
    expect(result.comparison.spread!.accuracy).toBeCloseTo(Math.abs(one - two), 12);
    expect(result.comparison.variants[0]!.difference!.accuracy).toBeCloseTo(outcomeOf("margin-1").choosing.accuracy - (one + two) / 2, 12);
  });

  it("says after every training what there is and what is missing", () => {
    expect(results.map(({ trainings }) => trainings.map(({ outcome }) => outcome.kind))).toEqual([
      ["measured", "missing", "missing", "missing"],
      ["measured", "measured", "missing", "missing"],
      ["measured", "measured", "measured", "missing"],
      ["measured", "measured", "measured", "failed"],
    ]);
    expect(results.at(-1)!.trainings).toEqual(result.trainings);
  });

  it("neither trains nor measures again what is done, and still gives the result", async () => {
    trained.length = 0;
    const before = readFileSync(join(runs, "base-1", "outcome.json"), "utf8");
    let writes = 0;
    const again = await ablate(study(), data, { ...options, onResult: async () => void writes++ });
    expect(trained).toEqual([]);
    expect(writes).toBe(1);
    expect(again.trainings).toEqual(result.trainings);
    expect(readFileSync(join(runs, "base-1", "outcome.json"), "utf8")).toBe(before);
  });

  it("measures anew, without a step of training, when the outliers change, and only what was asked for", async () => {
    trained.length = 0;
    const other = study({ outliers: ["constant"] });
    const { trainings } = await ablate(other, await loadStudyData(other, { load }), { ...options, only: ["margin-1"] });
    expect(trained).toEqual(["margin-1-1, resumed"]);
    const byId = Object.fromEntries(trainings.map(({ id, seed, outcome }) => [`${id}-${seed}`, outcome]));
    expect(byId).toMatchObject({ "base-1": { kind: "missing" }, "huge-1": { kind: "missing" } });
    const [before, after] = [outcomeOf("margin-1"), byId["margin-1-1"]!];
    if (after.kind !== "measured") throw new Error(after.kind);
    expect(after.choosing.outliers.map(({ data: name }) => name)).toEqual(["constant"]);
    expect([after.model, after.choosing.accuracy, after.test]).toEqual([before.model, before.choosing.accuracy, before.test]);
  });

  it("refuses a folder with a training of another config or of other images, before it trains anything", async () => {
    trained.length = 0;
    rmSync(join(runs, "huge-1"), { recursive: true });
    const wider = study({ base: { ...raw.base, margin: 3 } });
    await expect(ablate(wider, data, options)).rejects.toThrow(
      /base-1 holds a training of another config, which differs in margin\. Remove/,
    );
    const fewer = study({ limit: 150 });
    await expect(ablate(fewer, await loadStudyData(fewer, { load }), options)).rejects.toThrow("base-1 holds a training on other images");
    rmSync(join(runs, "base-1", "outcome.json"));
    await expect(ablate(wider, data, options)).rejects.toThrow("which differs in margin");
    expect(trained).toEqual([]);
    expect(existsSync(join(runs, "huge-1"))).toBe(false);
  });

  it("does not take a mistake of another kind for a failed training", async () => {
    const busy = { ...options, only: ["huge"], train: async () => Promise.reject(new UserError("no space left")) };
    await expect(ablate(study(), data, busy)).rejects.toThrow("no space left");
    expect(existsSync(join(runs, "huge-1", "outcome.json"))).toBe(false);
  });

  it("refuses an outcome that is none", async () => {
    const path = join(runs, "base-2", "outcome.json");
    for (const [content, message] of [
      ["{", "cannot be read as JSON"],
      ["{}", "not the outcome of a training of ours"],
    ] as const) {
      writeFileSync(path, content);
      await expect(ablate(study(), data, options)).rejects.toThrow(message);
    }
  });
});
