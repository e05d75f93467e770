import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { readModelFile } from "../../src/classify/model-file.ts";
import { trainedModel } from "../../src/cli/reproduce/options.ts";
import type { PaperModel } from "../../src/evaluate/protocols/paper.ts";

const folder = mkdtempSync(join(tmpdir(), "sdim-recipe-"));
afterAll(() => rmSync(folder, { recursive: true }));

it("a recipe with restarts is a chain of trainings, each from the model of the one before, the model the mean of the last ones; a finished one is not trained again", async () => {
  const recipe = { head: "softmax", widths: [16, 16, 16, 16], imageSize: 8, epochs: 0.5, learningRate: 0.01 } as const;
  const model: PaperModel = {
    id: "digits",
    data: "mnist",
    head: "softmax",
    depth: 10,
    paperAccuracy: 0,
    paperParameters: 0,
    recipe: { ...recipe, widths: [...recipe.widths] },
    restarts: [
      { epochs: 0.25, learningRate: 0.001, weightDecay: 0.1 },
      { epochs: 0.1, learningRate: 0.001, seed: 2 },
    ],
    averaged: 2,
  };
  const options = { models: join(folder, "models"), runs: join(folder, "runs"), out: join(folder, "results") };
  expect(await trainedModel(model, options)).toBeUndefined();
  const path = await trainedModel(model, { ...options, train: true });
  const { training } = readModelFile(path!).card;
  expect(training).toMatchObject({
    config: { ...recipe, ...model.restarts[1] },
    steps: 47,
    startedFrom: [
      { config: recipe, data: "mnist", steps: 234 },
      { config: { ...recipe, ...model.restarts[0] }, data: "mnist", steps: 117 },
    ],
    averagedWith: [{ config: { ...recipe, ...model.restarts[0] }, data: "mnist", steps: 117 }],
  });
  for (const run of ["digits-restart-1", "digits-restart-2"]) expect(existsSync(join(folder, "runs", run, "model.onnx"))).toBe(true);
  const before = readFileSync(path!);
  expect(existsSync(join(folder, "models", "digits", "training.json"))).toBe(true);
  // The runs go on from where they ended, which is at their end.
  rmSync(path!);
  expect(readFileSync((await trainedModel(model, { ...options, train: true }))!)).toEqual(before);
});
