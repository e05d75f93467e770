import { describe, expect, it } from "vitest";
import type { ModelCard } from "../../src/classify/card.ts";
import type { Classification } from "../../src/classify/classifier.ts";
import { imageSet } from "../../src/data/image-set.ts";
import { readPicture } from "../../src/data/images.ts";
import { evaluateInDistribution } from "../../src/evaluate/in-distribution.ts";
import { evaluateOutOfDistribution } from "../../src/evaluate/out-of-distribution.ts";
import { assembleReport, type Scored } from "../../src/evaluate/report/assemble.ts";
import { card as madeUp } from "../support/report.ts";

const thresholds = [
  { percentile: 0.5, values: [0, 0] },
  { percentile: 1, values: [10, 10] },
];
const card: ModelCard = {
  ...madeUp,
  classNames: ["zero", "one"],
  calibration: { ...madeUp.calibration, thresholds },
  training: {},
};

/** Images of 1 x 2 pixels, the first of which is the image's number; rows of class log-likelihoods. */
function scored(name: string, classNames: string[], truth: readonly number[], rows: readonly (readonly number[])[]): Scored {
  const labels = Int32Array.from(rows, (row) => row.indexOf(Math.max(...row)));
  const logLikelihoods = Float32Array.from(rows, (row) => Math.max(...row));
  const classification: Classification = {
    count: rows.length,
    labels,
    accepted: Uint8Array.from(logLikelihoods, (value) => Number(value >= 10)),
    logLikelihoods,
    thresholds: new Float32Array(rows.length).fill(10),
    classLogLikelihoods: Float32Array.from(rows.flat()),
    representations: new Float32Array(0),
  };
  const pixels = Uint8Array.from({ length: 2 * rows.length }, (_, i) => (i % 2 === 0 ? i / 2 : 255));
  const data = imageSet({ name, split: "test", height: 1, width: 2, channels: 1, pixels, labels: Int32Array.from(truth), classNames });
  return { data, classification };
}

// Image 0 right; 1 and 4 accepted but wrong, 4 the surer; 2 and 3 rejected, 3 the less likely; 5 right.
const inside = scored(
  "digits",
  ["zero", "one"],
  [0, 1, 0, 1, 0, 1],
  [
    [20, 0],
    [15, 1],
    [5, 2],
    [3, 4],
    [6, 30],
    [7, 12],
  ],
);
// Image 1 is rejected; 0 and 2 are accepted, 2 the surer.
const outside = scored(
  "garments",
  ["Shirt", "Bag"],
  [0, 1, 1],
  [
    [11, 0],
    [-40, -50],
    [2, 60],
  ],
);

const assemble = (percentile = 1) => {
  const sets = thresholds.filter((set) => set.percentile === percentile).map((set) => ({ ...set, source: "training" as const }));
  return assembleReport({
    title: "t",
    createdAt: "2026-01-02T03:04:05.000Z",
    card,
    environment: {},
    history: [],
    evaluation: {
      model: "m",
      data: "digits",
      split: "test",
      fingerprint: "abc",
      classNames: card.classNames,
      bootstrap: { resamples: 1000, level: 0.95, seed: 0 },
      ...evaluateInDistribution(inside.classification, inside.data.labels, 2, sets),
      ood: [{ data: "garments", fingerprint: "def", ...evaluateOutOfDistribution(inside.classification, outside.classification, 2, sets) }],
    },
    inDistribution: inside,
    outOfDistribution: [outside],
  });
};

describe("assembleReport", () => {
  it("groups the images by verdict and truth, each group in the order its title says", async () => {
    const { examples } = await assemble();
    const numbers = await Promise.all(
      examples.map(async ({ title, examples: shown }) => {
        const pictures = shown.map(({ png }) => readPicture(Buffer.from(png.replace("data:image/png;base64,", ""), "base64"), 1));
        return [title, (await Promise.all(pictures)).map(({ pixels }) => pixels[0])];
      }),
    );
    expect(numbers).toEqual([
      ["Accepted", [0, 5]],
      ["Rejected, the least likely first", [3, 2]],
      ["Wrong and accepted, the most confident first", [4, 1]],
      // Image 4 by 24 nats, 1 by 14.
      ["Wrong, accepted or not, the highest posterior first", [4, 1]],
      ["garments: rejected", [1]],
      ["garments: accepted by mistake, the most confident first", [2, 0]],
    ]);
  });

  it("judges by the thresholds of the evaluation, whichever are in force", async () => {
    const { examples } = await assemble(0.5);
    const counts = examples.map(({ title, examples: shown }) => [title.replace(/,.*/, ""), shown.length]);
    expect(counts).toEqual([
      ["Accepted", 4],
      ["Rejected", 0],
      ["Wrong and accepted", 2],
      ["Wrong", 2],
      ["garments: rejected", 1],
      ["garments: accepted by mistake", 2],
    ]);
    expect(examples[0]!.examples.map(({ threshold }) => threshold)).toEqual([0, 0, 0, 0]);
  });

  it("names the true class only where it is one of the model's", async () => {
    const { examples } = await assemble();
    expect(examples[2]!.examples[0]).toMatchObject({
      source: "digits",
      trueLabel: "zero",
      label: "one",
      accepted: true,
      logLikelihood: 30,
      threshold: 10,
    });
    expect(examples[4]!.examples[0]).toMatchObject({ source: "garments: Bag", trueLabel: null, label: "zero", accepted: false });
  });

  it("takes a class's own test images and every out-of-distribution image for the histograms, and the thresholds of the evaluation", async () => {
    const report = await assemble();
    expect(report.scores.inDistribution).toEqual([
      [20, 5, 6],
      [1, 4, 12],
    ]);
    expect(report.scores.outOfDistribution).toEqual([
      {
        data: "garments",
        byClass: [
          [11, -40, 2],
          [0, -50, 60],
        ],
      },
    ]);
    expect(report.thresholds).toEqual([thresholds[1]]);
  });

  it("makes the same report of the same run", async () => {
    expect(await assemble()).toEqual(await assemble());
  });
});
