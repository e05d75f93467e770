import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { floatWeights, type ModelFile, readModelFile } from "../classify/model-file.ts";
import { UserError } from "../core/errors.ts";
import { problemsIn } from "../core/problems.ts";
import { spread } from "../data/hold-out.ts";
import type { ImageSet } from "../data/image-set.ts";
import { batchStatistics, input } from "../graph/build.ts";
import { Graph } from "../graph/graph.ts";
import type { StaticShape } from "../graph/types.ts";
import { representationSize } from "../nn/classifier.ts";
import { Network, type OutputStatistics, type ParameterSpec, unfoldNorms } from "../nn/network.ts";
import { preprocess } from "../nn/preprocess.ts";
import { encode } from "../nn/resnet.ts";
import { describeNetwork } from "../nn/scorer.ts";
import { lower, portable } from "../onnx/lower.ts";
import { encodeModel } from "../onnx/model-file.ts";
import { averageName } from "../optim/average.ts";
import type { StateTensor } from "../runtime/feedback.ts";
import { Session, tensor } from "../runtime/session.ts";
import { type Checkpoint, type EarlierTraining, earlierTraining, hasCheckpoint, loadCheckpoint } from "./checkpoint.ts";
import { savedConfigSchema, type TrainConfig } from "./config.ts";

export interface Begun {
  readonly state: ReadonlyMap<string, StateTensor>;
  readonly startedFrom: EarlierTraining[];
  /** What was taken and what was not, and a damaged checkpoint whose predecessor had to serve, for a person. */
  readonly note: string;
}

/** What the new training will see: a model file's batch normalisation is made anew from its statistics. */
export interface Seen {
  readonly images: ImageSet;
  readonly imageSize: number;
  readonly threads?: number;
}

/** Weights and running statistics to begin with. */
export interface Earlier {
  readonly shapes: ReadonlyMap<string, StaticShape>;
  readonly state: () => Promise<ReadonlyMap<string, StateTensor>>;
  /** The last one is its own. */
  readonly trainings: readonly EarlierTraining[];
  readonly damage?: string;
}

/**
 * A fresh training state with the weights and running statistics of another training (paths of its folder or of a model file) in it, where name and shape
 * agree: all of them for a warm restart, all but the class Gaussians for data of other classes; a model file has no critic. The optimizer starts anew.
 * Errors: UserError when there is no checkpoint or model that can be used, or the encoder is not of the same shape.
 */
export async function beginWith(
  from: string,
  parameters: readonly ParameterSpec[],
  fresh: ReadonlyMap<string, StateTensor>,
  seen: Seen,
): Promise<Begun> {
  const found = statSync(from, { throwIfNoEntry: false });
  if (!found) throw new UserError(`--from: there is no ${from}: expected the folder of a training, or a model file`);
  const inside = join(from, "model.onnx");
  if (found.isDirectory() && !hasCheckpoint(from) && existsSync(inside))
    throw new UserError(`--from: there is no checkpoint in ${from}, but a model file: did you mean ${inside}?`);
  const earlier = found.isFile() ? earlierModel(from, seen, "--from") : earlierRun(from);
  const fits = ({ name, shape }: ParameterSpec): boolean => String(earlier.shapes.get(name)) === String(shape);
  const anew = parameters.filter((spec) => !fits(spec)).map(({ name }) => name);
  const otherEncoder = anew.find((name) => name.startsWith("encoder."));
  if (otherEncoder !== undefined) {
    const shapes = [earlier.shapes.get(otherEncoder)?.join(" x ") ?? "none", fresh.get(otherEncoder)?.shape.join(" x ")];
    throw new UserError(
      `--from: the encoder of ${from} is not this one's: ${otherEncoder} is ${shapes[0]} there, ${shapes[1]} here; channels (--channels), depth, widths and dimension must be the same`,
    );
  }
  const [state, taken] = [new Map(fresh), await earlier.state()];
  for (const { name } of parameters.filter(fits)) state.set(name, taken.get(name)!);
  const { damage, trainings } = earlier;
  const { data, steps } = trainings.at(-1)!;
  return {
    state,
    startedFrom: [...trainings],
    note: `${damage === undefined ? "" : `${damage}\nso the checkpoint before it serves: `}begins with the weights of ${from} (${data}, ${steps} steps)${anew.length === 0 ? "" : `; anew: ${anew.join(", ")}`}`,
  };
}

function earlierRun(folder: string): Earlier {
  const { position, state, kept, damage } = loadCheckpoint(folder);
  const { config, data, step, startedFrom = [] } = position;
  return {
    shapes: new Map([...state].map(([name, { shape }]) => [name, shape])),
    state: async () => new Map([...state, ...weightsOfModel(config, state, kept)]),
    trainings: [...startedFrom, { config, data: data.name, steps: step }],
    ...(damage === undefined ? {} : { damage }),
  };
}

/** The weights that a run's model is made of, where those are not the last ones: the kept ones, or the averages. */
function weightsOfModel({ keep, ema }: TrainConfig, state: Checkpoint["state"], kept: Checkpoint["kept"]): Checkpoint["state"] {
  if (keep !== "last" && kept.size > 0) return kept;
  if (ema === null) return new Map();
  const averaged = [...state.keys()].filter((name) => state.has(averageName(name)));
  return new Map(averaged.map((name) => [name, state.get(averageName(name))!]));
}

/** What a card says of the training. */
const cardTraining = z.object({
  config: savedConfigSchema,
  data: z.object({ name: z.string() }),
  steps: z.int(),
  startedFrom: z.array(earlierTraining).default([]),
  averagedWith: z.array(earlierTraining).default([]),
});

/**
 * Of a model file, its batch normalisation taken out again, filters as large as those of `like` or as fresh ones. `what` begins the errors: UserError when
 * it does not say how it was trained, or has no float32 weights.
 */
export function earlierModel(path: string, seen: Seen, what: string, like?: ReadonlyMap<string, Float32Array>): Earlier {
  const file = readModelFile(path);
  const training = cardTraining.safeParse(file.card.training);
  if (!training.success)
    throw new UserError(problemsIn(`${what}: ${path}: its card does not say how it was trained`, training.error, file.card.training));
  const { parameters, norms } = describeNetwork(file.card.model);
  const tensors = floatWeights(file, `${what}: ${path}`);
  const { config, data, steps, startedFrom, averagedWith } = training.data;
  return {
    shapes: new Map(parameters.map(({ name, shape }) => [name, shape])),
    state: async () => {
      const weights = unfoldNorms(norms, tensors, await outputStatistics(file, tensors, seen), like);
      return new Map(parameters.map(({ name, shape }) => [name, { shape, data: weights.get(name)! }]));
    },
    trainings: [...startedFrom, ...averagedWith, { config, data: data.name, steps }],
  };
}

/** Images that batch normalisation is made anew from: statistics of single numbers are then right to some 2%. */
const statisticsImages = 1024;

/** Of the output of each normalised layer, by layer, on images from all over the set. */
async function outputStatistics(
  { card }: ModelFile,
  weights: ReadonlyMap<string, Float32Array>,
  { images, imageSize, threads }: Seen,
): Promise<ReadonlyMap<string, OutputStatistics>> {
  const count = Math.min(statisticsImages, images.count);
  const { pixels, height, width, channels } = spread(images, count);
  const net = new Network(new Graph(), "folded");
  const x = input(net.graph, "images", "uint8", [count, height, width, channels]);
  encode(net, preprocess(x, imageSize), card.model, representationSize(card.model));
  const outputs = net.norms.flatMap(({ layer, output }) => {
    const { mean, variance } = batchStatistics(output);
    return [[`${layer}.mean`, mean] as const, [`${layer}.variance`, variance] as const];
  });
  const model = encodeModel(lower(Object.fromEntries(outputs), { target: portable, weights }));
  const session = await Session.create(model, threads === undefined ? {} : { threads });
  try {
    const found = await session.run({ images: tensor("uint8", pixels, [count, height, width, channels]) });
    const read = (name: string): Float32Array => Float32Array.from(found[name]!.data as Float32Array);
    return new Map(net.norms.map(({ layer }) => [layer, { mean: read(`${layer}.mean`), variance: read(`${layer}.variance`) }]));
  } finally {
    await session.release();
  }
}
