import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ImageSet, subset } from "../../src/data/image-set.ts";
import { loadDataset } from "../../src/data/registry.ts";
import { defaults, resolveConfig, type TrainConfig } from "../../src/train/config.ts";

// A training small enough for a test, on real digits: 3 classes, 300 images.

const threeClasses = (set: ImageSet, count: number): ImageSet => {
  const chosen = Array.from(set.labels, (_, i) => i).filter((i) => set.labels[i]! < 3);
  return { ...subset(set, chosen.slice(0, count)), classNames: set.classNames.slice(0, 3) };
};

export const trainingDigits = async (): Promise<ImageSet> => threeClasses(await loadDataset("mnist", "train"), 300);
export const testDigits = async (): Promise<ImageSet> => threeClasses(await loadDataset("mnist", "test"), 200);

/** The defaults, not the standard preset: these trainings have too few steps to come to class means that start far apart. */
export const tinyConfig = (overrides: Partial<TrainConfig> = {}): TrainConfig =>
  resolveConfig({
    ...defaults,
    widths: [16, 16, 32, 32],
    imageSize: 16,
    dimension: 8,
    batchSize: 32,
    epochs: 8,
    learningRate: 0.005,
    ...overrides,
  });

export const temporaryFolder = (): string => mkdtempSync(join(tmpdir(), "sdim-test-"));
