import { describe, expect, it } from "vitest";
import { BatchOrder } from "../../src/data/batches.ts";
import { gatherLabels, type ImageSet, imageSet, subset, takeFirst, withClasses } from "../../src/data/image-set.ts";

const make = (pixels: readonly number[], labels: readonly number[]) =>
  imageSet({
    name: "toy",
    split: "train",
    height: 1,
    width: 2,
    channels: 1,
    pixels: Uint8Array.from(pixels),
    labels: Int32Array.from(labels),
    classNames: ["a", "b"],
  });

describe("imageSet", () => {
  it.each([
    ["pixels that do not fit", () => make([1, 2, 3], [0, 1]), "toy (train): expected 4 pixel values for images [2, 1, 2, 1], got 3"],
    ["a label that is no class", () => make([1, 2, 3, 4], [0, 2]), "toy (train): label 2 of image 1: expected 0 to 1"],
    [
      "images without pixels",
      () => imageSet({ ...make([1, 2], [0]), height: 0, pixels: new Uint8Array() }),
      "toy (train): images [1, 0, 2, 1] have no pixels",
    ],
    ["nothing", () => make([], []), "toy (train): no images"],
    [
      "floats for pixels",
      () => imageSet({ ...make([1, 2], [0]), pixels: Float32Array.of(0.1, 1) as unknown as Uint8Array }),
      "toy (train): expected pixels as a Uint8Array, 0 to 255, got Float32Array",
    ],
    [
      "a plain array of labels",
      () => imageSet({ ...make([1, 2], [0]), labels: [0] as unknown as Int32Array }),
      "toy (train): expected labels as an Int32Array, got Array",
    ],
  ])("refuses %s", (_what, build, message) => {
    expect(build).toThrow(message);
  });

  it("has a fingerprint that changes with one pixel and with one label", () => {
    const prints = [make([1, 2, 3, 4], [0, 1]), make([1, 2, 3, 5], [0, 1]), make([1, 2, 3, 4], [1, 1])].map(
      ({ fingerprint }) => fingerprint,
    );
    expect(new Set(prints).size).toBe(3);
    expect(make([1, 2, 3, 4], [0, 1]).fingerprint).toBe(prints[0]);
  });

  it("takes a model's classes where its files name none, and no others", () => {
    const named = make([1, 2, 3, 4], [0, 1]);
    expect(withClasses(named, ["a", "b"], "evaluate")).toBe(named);
    const refusal = "evaluate: the model knows the classes cat, dog; toy has a, b";
    expect(() => withClasses(named, ["cat", "dog"], "evaluate")).toThrow(refusal);
    const numbered = subset({ ...named, areClassesNumbered: true }, [1]);
    const { classNames, fingerprint } = withClasses(numbered, ["cat", "dog"], "evaluate");
    expect([classNames, fingerprint]).toEqual([["cat", "dog"], numbered.fingerprint]);
    expect(() => withClasses(numbered, ["cat", "dog", "cow"], "evaluate")).toThrow("cat, dog, cow");
  });

  it("gives subsets in the order asked for", () => {
    const picked = subset(make([1, 2, 3, 4, 5, 6], [0, 1, 1]), [2, 0]);
    expect([[...picked.pixels], [...picked.labels]]).toEqual([
      [5, 6, 1, 2],
      [1, 0],
    ]);
    expect(takeFirst(picked, 1).count).toBe(1);
    for (const count of [-1, 0, 0.5, Number.NaN])
      expect(() => takeFirst(picked, count)).toThrow(`expected a number of images above 0, got ${count}`);
    const labels = new BigInt64Array(2);
    gatherLabels(picked, [1, 0], labels);
    expect([...labels]).toEqual([0n, 1n]);
  });
});

describe("takeFirst", () => {
  const labelled = (labels: number[]) => {
    const pixels = Uint8Array.from(labels.flatMap((_, i) => [i, 0]));
    const classNames = ["a", "b", "c"];
    return imageSet({
      ...{ name: "toy", split: "test", height: 1, width: 2, channels: 1, pixels, classNames },
      labels: Int32Array.from(labels),
    });
  };
  const numbers = (set: ImageSet) => Array.from({ length: set.count }, (_, i) => set.pixels[2 * i]);

  it("takes the first, whatever their classes", () => {
    expect(numbers(takeFirst(labelled([0, 0, 2, 1, 0, 1]), 3))).toEqual([0, 1, 2]);
  });

  it("of a set that comes class after class takes all classes in proportion, fewer the beginning of more", () => {
    const set = labelled([0, 0, 0, 0, 0, 0, 1, 1, 2]);
    expect(numbers(takeFirst(set, 8))).toEqual([0, 1, 6, 2, 8, 3, 4, 7]);
    for (const count of [1, 3, 7]) expect(numbers(takeFirst(set, count))).toEqual([0, 1, 6, 2, 8, 3, 4, 7].slice(0, count));
    expect(Array.from(takeFirst(set, 5).labels)).toEqual([0, 0, 1, 0, 2]);
    expect(takeFirst(set, 9)).toBe(set);
  });

  it("of a user's own files takes all classes in proportion, in whatever order they come", () => {
    const choices = { channels: 1, testShare: 0, splitSeed: 0, onBroken: "refuse" } as const;
    const own = { ...labelled([2, 2, 1, 1, 0, 0]), origin: { choices, skipped: [], ignored: {} } };
    expect(Array.from(takeFirst(own, 3).labels).sort()).toEqual([0, 1, 2]);
  });
});

describe("subset", () => {
  it.each([2, -1, 0.5, Number.NaN])("refuses image %s of two", (index) => {
    expect(() => subset(make([1, 2, 3, 4], [0, 1]), [0, index])).toThrow(`toy (train): image ${index}: expected 0 to 1`);
  });
});

describe("BatchOrder", () => {
  it("shows every sample at most once per epoch, in an order of its own each epoch", () => {
    const order = new BatchOrder(103, 10, 5);
    expect(order.stepsPerEpoch).toBe(10);
    const epochs = [0, 1].map((epoch) => Array.from({ length: 10 }, (_, step) => [...order.batch(epoch * 10 + step)]).flat());
    for (const seen of epochs) expect(new Set(seen).size).toBe(100);
    expect(epochs[0]).not.toEqual(epochs[1]);
  });

  it("depends on seed and step alone", () => {
    const walked = new BatchOrder(50, 8, 1);
    for (let step = 0; step < 20; step++) walked.batch(step);
    expect(new BatchOrder(50, 8, 1).batch(20)).toEqual(walked.batch(20));
    expect(new BatchOrder(50, 8, 2).batch(20)).not.toEqual(walked.batch(20));
  });

  it("needs one batch of samples", () => {
    expect(() => new BatchOrder(5, 8, 1)).toThrow("batchSize: expected at most the 5 training samples, got 8");
  });
});
