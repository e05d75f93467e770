import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { Classifier } from "../../src/classify/classifier.ts";
import { readPicture } from "../../src/data/images.ts";
import { loadImageFolder } from "../../src/data/own-images.ts";
import { train } from "../../src/train/train.ts";
import { tinyConfig } from "../support/digits.ts";
import { removeFolders, temporaryFolder } from "../support/folders.ts";
import { writeStripes } from "../support/shapes.ts";

afterAll(removeFolders);

describe("training on one's own images", () => {
  it.each([
    [24, 3],
    [40, 1],
  ] as const)("of two classes, at %d x %d channel(s)", async (imageSize, channels) => {
    const root = temporaryFolder();
    await writeStripes(root, 32, channels);
    const data = await loadImageFolder(root, "train", { imageSize, testShare: 0, cacheDir: null });
    expect([data.count, data.height, data.width, data.channels]).toEqual([64, imageSize, imageSize, channels]);
    const config = tinyConfig({ imageSize, batchSize: 16, epochs: 20 });
    const { model } = await train({ config, data, out: join(root, "..", `${root}-run`) });
    expect(model.card.model).toMatchObject({ imageSize, channels, classes: 2 });
    const classifier = await Classifier.load(model);
    const seen = await classifier.classify(data);
    expect(seen.labels.filter((label, i) => label === data.labels[i]).length).toBeGreaterThan(58);

    // The file itself, as predict reads it, and the same image as training saw it.
    const file = await readPicture(join(root, "standing/3.png"), channels);
    const asked = await classifier.classify({ ...file, count: 1 });
    const distances = Array.from({ length: data.count }, (_, i) =>
      Math.max(...seen.classLogLikelihoods.subarray(2 * i, 2 * i + 2).map((value, c) => Math.abs(value - asked.classLogLikelihoods[c]!))),
    );
    const nearest = distances.indexOf(Math.min(...distances));
    expect(data.labels[nearest]).toBe(1);
    expect(distances[nearest]).toBeLessThan(0.05 * Math.max(1, Math.abs(asked.logLikelihoods[0]!)));
    await classifier.release();
  });
});
