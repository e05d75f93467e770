import type { ModelCard } from "../src/classify/card.ts";
import { type ModelFile, makeModelFile } from "../src/classify/model-file.ts";
import { Random } from "../src/core/random.ts";
import type { Negatives } from "../src/nn/critic.ts";
import { describeNetwork } from "../src/nn/scorer.ts";
import { defaults, lossConfigOf, modelConfigOf } from "../src/train/config.ts";
import { initialState } from "../src/train/initialise.ts";
import { buildTrainingStep, type TrainingStep } from "../src/train/step.ts";

/** What is timed: the paper's network on random images. */
export interface Workload {
  readonly depth: number;
  readonly channels: 1 | 3;
  readonly batch: number;
  readonly size: number;
  readonly classes: number;
  readonly negatives: Negatives;
}

export const imageShape = ({ channels, size }: Workload, count: number): number[] => [count, size, size, channels];

export function randomImages(workload: Workload, count: number): Uint8Array {
  const random = new Random(1);
  const length = imageShape(workload, count).reduce((product, dim) => product * dim, 1);
  return Uint8Array.from({ length }, () => random.below(256));
}

export function randomLabels({ classes }: Workload, count: number): BigInt64Array {
  const random = new Random(2);
  return BigInt64Array.from({ length: count }, () => BigInt(random.below(classes)));
}

export function trainingStep({ depth, channels, batch, size, classes, negatives }: Workload): TrainingStep {
  const config = { ...defaults, depth, imageSize: size };
  const model = modelConfigOf(config, classes, channels);
  return buildTrainingStep({ model, loss: lossConfigOf(config), negatives, batchSize: batch, height: size, width: size });
}

/** A model file with the weights a training starts from. */
export function untrainedModel({ depth, channels, size, classes }: Workload): ModelFile {
  const model = modelConfigOf({ ...defaults, depth, imageSize: size }, classes, channels);
  const state = initialState(describeNetwork(model).parameters, [], 1);
  const zeros = Array.from({ length: classes }, () => 0);
  const card: ModelCard = {
    format: 1,
    version: "bench",
    model,
    classNames: zeros.map((_, i) => String(i)),
    parameters: 0,
    prior: "uniform",
    calibration: {
      data: "none",
      split: "none",
      fingerprint: "",
      correctOnly: true,
      counts: zeros,
      percentile: 1,
      thresholds: [{ percentile: 1, values: zeros }],
    },
    training: {},
    measured: {},
  };
  return makeModelFile(new Map([...state].map(([name, { data }]) => [name, data])), card);
}
