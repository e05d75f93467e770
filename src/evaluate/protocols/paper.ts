import type { Head } from "../../nn/classifier.ts";
import type { TrainConfig } from "../../train/config.ts";

// What the paper trained and measured, and the short trainings that we answer it with.

/** One classifier of the paper's tables, and of `models/<id>`. */
export interface PaperModel {
  readonly id: string;
  readonly data: string;
  readonly head: Head;
  readonly depth: number;
  /** Percent, and weights in millions (Table 1). */
  readonly paperAccuracy: number;
  readonly paperParameters: number;
  /** Beside the defaults: one-cycle trainings of few epochs with crops and flips in place of 500 epochs (App. B.2). */
  readonly recipe: Partial<TrainConfig>;
  /** Of trainings after the first, beside the recipe: each begins with the model file of the one before (warm restarts). */
  readonly restarts: readonly Partial<TrainConfig>[];
  /** How many of them, from the last one back, the model is the mean of; of the last one only where not said. */
  readonly averaged?: number;
  /** What the classifier should refuse: in Table 3 for FashionMNIST and CIFAR10. */
  readonly ood?: string;
}

const pair = (
  data: string,
  depth: number,
  recipe: Partial<TrainConfig>,
  accuracies: { readonly sdim: number; readonly softmax: number },
  { restarts = [], ...more }: Partial<Pick<PaperModel, "ood" | "restarts" | "averaged">> = {},
): PaperModel[] => {
  const large = depth > 10;
  const common = { data, depth, recipe: { depth, ...recipe }, restarts, ...more };
  return [
    { ...common, id: data, head: "sdim", paperAccuracy: accuracies.sdim, paperParameters: large ? 4.6 : 1.46 },
    {
      ...common,
      id: `${data}-softmax`,
      head: "softmax",
      recipe: { ...common.recipe, head: "softmax" },
      paperAccuracy: accuracies.softmax,
      paperParameters: large ? 4.39 : 1.25,
    },
  ];
};

const warmRestart: Partial<TrainConfig> = { epochs: 14, learningRate: 0.002, weightDecay: 0.1 };

export const paperModels: readonly PaperModel[] = [
  ...pair("mnist", 10, { epochs: 10, cropPadding: 2 }, { sdim: 99.55, softmax: 99.42 }, { ood: "fashion-mnist" }),
  ...pair(
    "fashion-mnist",
    10,
    { epochs: 20, cropPadding: 2, flip: true },
    { sdim: 94.58, softmax: 94.25 },
    {
      ood: "mnist",
      restarts: [
        warmRestart,
        { ...warmRestart, epochs: 16, randomErasing: 0.3, seed: 2 },
        { ...warmRestart, epochs: 30, randomErasing: 0.3, seed: 3 },
        { ...warmRestart, epochs: 6, learningRate: 0.001, cropPadding: 0, flip: false, seed: 11 },
      ],
      averaged: 2,
    },
  ),
  ...pair(
    "cifar10",
    26,
    { epochs: 20, cropPadding: 4, flip: true },
    { sdim: 92.53, softmax: 92.35 },
    {
      ood: "svhn",
      restarts: [
        warmRestart,
        { ...warmRestart, epochs: 20, randomErasing: 0.25, seed: 2 },
        { ...warmRestart, epochs: 20, randomErasing: 0.25, seed: 3 },
        { ...warmRestart, epochs: 30, randomErasing: 0.25, seed: 4 },
        { ...warmRestart, epochs: 17, learningRate: 0.001, seed: 5 },
      ],
      averaged: 2,
    },
  ),
  ...pair("svhn", 26, { epochs: 20, cropPadding: 4, flip: true }, { sdim: 95.74, softmax: 95.96 }),
];

/** Table 2, percent: accuracy without rejection; then accuracy on the accepted part and rejected share at the 1st and the 2nd percentile. */
export const paperTable2: Readonly<
  Record<string, { readonly original: number; readonly rows: readonly (readonly [accuracy: number, rejected: number])[] }>
> = {
  mnist: {
    original: 99.55,
    rows: [
      [99.95, 3.02],
      [99.97, 4.0],
    ],
  },
  "fashion-mnist": {
    original: 94.58,
    rows: [
      [96.45, 4.63],
      [96.94, 6.6],
    ],
  },
  cifar10: {
    original: 92.53,
    rows: [
      [96.18, 8.9],
      [96.6, 10.86],
    ],
  },
  svhn: {
    original: 95.74,
    rows: [
      [97.43, 3.99],
      [98.0, 6.36],
    ],
  },
};

/** Table 3, percent: mean over classes of the share below each class's threshold, at the 1st and the 2nd percentile; Glow's at its 10th. */
export const paperTable3: Readonly<Record<string, { readonly sdim: readonly [number, number]; readonly glow: number }>> = {
  "fashion-mnist": { sdim: [99.36, 99.64], glow: 3.53 },
  cifar10: { sdim: [94.24, 95.81], glow: 0.02 },
};
