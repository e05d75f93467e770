import { describe, expect, it } from "vitest";
import { fingerprintsOf, loadStudyData } from "../../src/ablate/data.ts";
import { parseStudy } from "../../src/ablate/study.ts";
import { type ImageSet, imageSet } from "../../src/data/image-set.ts";

const classNames = ["ant", "bee", "cat", "dog"];

/** Every pixel of an image is 10 times its class, and one more in the test split. */
function animals(split: "train" | "test", perClass: number): ImageSet {
  const labels = Int32Array.from({ length: 4 * perClass }, (_, i) => i % 4);
  const pixels = Uint8Array.from({ length: 64 * labels.length }, (_, p) => 10 * labels[Math.floor(p / 64)]! + Number(split === "test"));
  return imageSet({ name: "animals", split, height: 8, width: 8, channels: 1, pixels, labels, classNames });
}

const study = (overrides: Readonly<Record<string, unknown>> = {}) =>
  parseStudy(
    {
      name: "small",
      data: "animals",
      seeds: [1],
      heldOutClasses: ["bee"],
      outliers: ["held-out-classes", "constant"],
      outlierCount: 7,
      reported: ["svhn"],
      variants: { a: { description: "x", config: { margin: 1 } } },
      ...overrides,
    },
    "small.yaml",
  );

const colours = imageSet({
  ...animals("test", 1),
  name: "numbers",
  height: 2,
  width: 2,
  channels: 3,
  labels: new Int32Array(1),
  pixels: new Uint8Array(12),
  classNames: ["x"],
});

const asked: string[] = [];
const load = async (spec: string, split: "train" | "test"): Promise<ImageSet> => {
  asked.push(`${spec} ${split}`);
  return spec === "animals" ? animals(split, split === "train" ? 40 : 10) : colours;
};
const loaded = (overrides: Readonly<Record<string, unknown>> = {}) => loadStudyData(study(overrides), { load, svhn: "src" });

/** The class of each image, by its pixels. */
const shown = ({ pixels, count }: ImageSet): number[] => Array.from({ length: count }, (_, i) => pixels[64 * i]! / 10);

describe("loadStudyData", () => {
  it("keeps held-out classes out of training, validation and test, and numbers the others anew", async () => {
    const { training, validation, test } = await loaded();
    for (const set of [training, validation, test]) {
      expect(set.classNames).toEqual(["ant", "cat", "dog"]);
      expect(set.name).toBe("animals without bee");
      expect(shown(set).map((value) => [0, 2, 3].indexOf(Math.floor(value)))).toEqual([...set.labels]);
      expect(shown(set).every((value) => Number.isInteger(value) === (set !== test))).toBe(true);
    }
    expect([training.count, validation.count, test.count]).toEqual([108, 12, 30]);
    expect(validation.split).toBe("validation");
  });

  it("chooses by training images of the held-out classes and reports their test images", async () => {
    const { outliers, reported } = await loaded();
    expect(outliers.map(({ name, split, count }) => [name, split, count])).toEqual([
      ["bee of animals", "train", 7],
      ["constant", "seed 0", 7],
    ]);
    expect(new Set(shown(outliers[0]!))).toEqual(new Set([1]));
    expect(reported.map(({ name, split, count }) => [name, split, count])).toEqual([
      ["bee of animals", "test", 10],
      ["numbers as grey", "test", 1],
    ]);
    expect(new Set(shown(reported[0]!))).toEqual(new Set([1.1]));
  });

  it("takes as many training images of each class as the limit allows, the validation images among them", async () => {
    const { training, validation } = await loaded({ limit: 31, validation: 0.2 });
    const perClass = (set: ImageSet) => [0, 1, 2].map((c) => set.labels.filter((label) => label === c).length);
    expect(perClass(validation)).toEqual([2, 2, 2]);
    expect(perClass(training)).toEqual([9, 8, 8]);
  });

  it("gives all trainings the same images, and sees when they change", async () => {
    const [first, again, other] = [await loaded(), await loaded(), await loaded({ outlierCount: 8 })].map(fingerprintsOf);
    expect(again).toEqual(first);
    expect(Object.keys(first!)).toEqual([
      "training",
      "validation",
      "test",
      "outliers: bee of animals",
      "outliers: constant",
      "reported: bee of animals",
      "reported: numbers as grey",
    ]);
    expect(other!["training"]).toBe(first!["training"]);
    expect(other!["outliers: constant"]).not.toBe(first!["outliers: constant"]);
  });

  it("knows a class by its place as well, and loads what stands for svhn", async () => {
    asked.length = 0;
    expect((await loaded({ heldOutClasses: [1] })).training.name).toBe("animals without bee");
    expect(asked).toEqual(["animals train", "animals test", "src test"]);
  });

  it("leaves the data whole where no class is held out", async () => {
    const { training, validation, reported } = await loaded({ heldOutClasses: [], outliers: ["constant"] });
    expect([training.count, validation.count, training.classNames.length]).toEqual([144, 16, 4]);
    expect(reported.map(({ name }) => name)).toEqual(["numbers as grey"]);
  });

  it.each([
    [["be"], 'unknown class of animals in heldOutClasses "be": did you mean "bee"?'],
    [[4], "expected a class of animals from 0 to 3 or its name, got 4"],
    [["bee", 1], 'class 1, "bee", is there twice'],
    [[0, 1, 2], "of 4 classes 3 are held out, expected at least 2 to stay"],
  ])("refuses held-out classes %j", async (heldOutClasses, message) => {
    await expect(loaded({ heldOutClasses })).rejects.toThrow(message);
  });

  it("refuses a limit that a class cannot meet, or that leaves one without images", async () => {
    await expect(loaded({ limit: 2 })).rejects.toThrow("expected at least an image for each of 3 classes, got 2");
    const uneven = async (_spec: string, split: "train" | "test") => {
      const set = animals(split, 10);
      return imageSet({ ...set, labels: set.labels.map((label, i) => (i > 8 && label === 0 ? 3 : label)) });
    };
    await expect(loadStudyData(study({ limit: 24, reported: [] }), { load: uneven })).rejects.toThrow(
      'take 8 of class "ant", which has 3: ask for fewer',
    );
  });
});
