import { statSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { type ModelFile, withCard } from "../classify/model-file.ts";
import { Interrupted, UserError } from "../core/errors.ts";
import { requireObject, unexpected } from "../core/kinds.ts";
import { InThreadBatches } from "../data/batch-source.ts";
import { BatchOrder } from "../data/batches.ts";
import { holdOut } from "../data/hold-out.ts";
import type { ImageSet } from "../data/image-set.ts";
import { batchStatistics, input, mul, perChannelCount } from "../graph/build.ts";
import { Graph } from "../graph/graph.ts";
import { classifyForTraining } from "../nn/classifier.ts";
import { Network, type ParameterSpec } from "../nn/network.ts";
import { preprocess } from "../nn/preprocess.ts";
import { lower, portable } from "../onnx/lower.ts";
import { encodeModel } from "../onnx/model-file.ts";
import type { StateTensor } from "../runtime/feedback.ts";
import { Session, tensor } from "../runtime/session.ts";
import { type Earlier, earlierModel } from "./begin-with.ts";
import { type Checkpoint, type EarlierTraining, type LoadedCheckpoint, loadCheckpoint, type TrainingPosition } from "./checkpoint.ts";
import { modelConfigOf, type TrainConfig } from "./config.ts";
import { calibrateDraft, channelsOf, exportedWeights, type TrainingData, uncalibratedModel } from "./export.ts";
import { stepsOf } from "./loop.ts";

// The mean of what several trainings of one network ended with, where each began with the weights of another or all with the same, so that they lie in one valley of
// the loss (stochastic weight averaging, Izmailov et al. 2018, arXiv 1803.05407; model soups, Wortsman et al. 2022, arXiv 2203.05482). R trainings, and for
// every batch normalisation, of its input x in batch b of the B of an epoch, n numbers per channel:
//   w = 1/R sum_r w_r
//   runningMean = 1/B sum_b mean_b(x),   runningVariance = 1/B sum_b n / (n - 1) variance_b(x)
// The mean of running statistics would not do: no layer puts out, with mean weights, what it put out with either's. Of a model file that a training began
// with, batch normalisation is taken out again, and filters are made as large as those of the last training, so that both count the same.

export interface AverageOptions {
  /**
   * Folders of two trainings or more, of one network on the same images, or of one, and a model file that it began with. The last folder's config is the model's,
   * and says how its images are augmented.
   */
  readonly runs: readonly string[];
  /** The images they were trained on. */
  readonly data: ImageSet;
  readonly threads?: number;
  readonly signal?: AbortSignal;
  /** Batches seen for the statistics, of one epoch. */
  readonly onStatistics?: (done: number, total: number) => void;
  /** Images scored for the thresholds. */
  readonly onCalibrate?: (done: number, total: number) => void;
  /** What a person should know of: a damaged checkpoint whose predecessor had to serve, a training that has not ended. */
  readonly onNote?: (text: string) => void;
}

/**
 * A calibrated model with the mean of the weights that the models of `runs` are made of, and batch normalisation by statistics of its own.
 * Errors: UserError for fewer than two runs, a folder without a checkpoint, a model file that none of the runs began with, runs of different networks or other
 * images than `data`; Interrupted after `signal` aborts.
 */
export async function averageRuns(options: AverageOptions): Promise<ModelFile> {
  requireObject("average", "runs and the data they were trained on", options);
  const { runs, data, threads, signal, onStatistics, onCalibrate, onNote } = options;
  if (!Array.isArray(runs)) throw unexpected("runs", "the folders of two trainings or more", runs);
  requireObject("data", "an image set", data);
  if (new Set(runs).size < 2 || new Set(runs).size < runs.length)
    throw new UserError(`average: expected the folders of two trainings or more, each once, got ${runs.join(", ") || "none"}`);
  const lastRun = lastRunOf(runs);
  const checkpoints = new Map(runs.filter((run) => !isFile(run)).map((run) => [run, loadNoting(run, onNote)]));
  const last = checkpoints.get(lastRun)!;
  for (const [run, checkpoint] of checkpoints) requireAlike(run, checkpoint, lastRun, last, data);

  const { position } = last;
  const { config } = position;
  const split: TrainingData = config.validation > 0 ? holdOut(data, config.validation, config.seed) : { training: data };
  for (const [run, { position: each }] of checkpoints) noteIfUnfinished(run, each, split.training.count, onNote);
  const seen = { images: split.training, imageSize: config.imageSize, ...(threads === undefined ? {} : { threads }) };
  const network = statisticsNetwork(config, split.training);
  const lastWeights = new Map([...weightsOf(last, network.parameters)].map(([name, { data }]) => [name, data]));
  const members = runs.map((run): Member => {
    const checkpoint = checkpoints.get(run);
    if (checkpoint) return { training: describe(checkpoint), weights: async () => weightsOf(checkpoint, network.parameters) };
    const model = earlierModel(run, seen, "average", lastWeights);
    requireAncestor(run, model, checkpoints, network.parameters);
    return { training: model.trainings.at(-1)!, weights: model.state };
  });
  const weights = meanWeights(network.parameters, await Promise.all(members.map(({ weights }) => weights())));
  const onBatch = (done: number, total: number): void => {
    requireGoingOn(signal);
    onStatistics?.(done, total);
  };
  for (const [name, statistic] of await statisticsOf(network, weights, config, split.training, { threads, onBatch }))
    weights.set(name, statistic);

  const draft = uncalibratedModel(weights, network.parameters, position, split);
  const averagedWith = members.filter((_, i) => runs[i] !== lastRun).map(({ training }) => training);
  const named = withCard(draft, { ...draft.card, training: { ...draft.card.training, averagedWith } });
  return calibrateDraft(named, split, config, {
    onProgress: (done, total) => {
      requireGoingOn(signal);
      onCalibrate?.(done, total);
    },
    ...(onNote ? { onNote } : {}),
    ...(threads === undefined ? {} : { threads }),
  });
}

function requireGoingOn(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new Interrupted("stopped; nothing was written");
}

function loadNoting(run: string, onNote: AverageOptions["onNote"]): LoadedCheckpoint {
  const checkpoint = loadCheckpoint(run);
  if (checkpoint.damage !== undefined)
    onNote?.(`${checkpoint.damage}\nso the checkpoint before it serves, of step ${checkpoint.position.step}`);
  return checkpoint;
}

/** Not of one that patience may have ended. */
function noteIfUnfinished(run: string, { config, step }: TrainingPosition, count: number, onNote: AverageOptions["onNote"]): void {
  const steps = stepsOf(config, new BatchOrder(count, config.batchSize, config.seed).stepsPerEpoch);
  if (step < steps && config.patience === null)
    onNote?.(`${run} has done ${step} of its ${steps} steps: it counts with the weights it has now`);
}

const isFile = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;

/** The last one that is a folder. Errors: UserError where all are files. */
export function lastRunOf(runs: readonly string[]): string {
  const last = runs.findLast((run) => !isFile(run));
  if (last === undefined)
    throw new UserError(
      `average: expected the folder of a training at least, beside the model file that it began with, got ${runs.join(", ")}`,
    );
  return last;
}

/** What the mean is of. */
interface Member {
  readonly training: EarlierTraining;
  readonly weights: () => Promise<ReadonlyMap<string, StateTensor>>;
}

const describe = ({ position: { config, data, step } }: Checkpoint): EarlierTraining => ({ config, data: data.name, steps: step });

/** Those that the run's model is made of. */
const weightsOf = (
  { position: { config }, state, kept }: Checkpoint,
  parameters: readonly ParameterSpec[],
): ReadonlyMap<string, StateTensor> => (config.keep === "last" || kept.size === 0 ? exportedWeights(state, parameters, config) : kept);

function requireAncestor(
  path: string,
  { trainings, shapes }: Earlier,
  runs: ReadonlyMap<string, Checkpoint>,
  parameters: readonly ParameterSpec[],
): void {
  const beganWithIt = ({ position: { startedFrom = [] } }: Checkpoint) =>
    isDeepStrictEqual(startedFrom.slice(0, trainings.length), trainings);
  if (![...runs.values()].some(beganWithIt))
    throw new UserError(
      `average: ${[...runs.keys()].join(", ")} did not begin with ${path}: a model file is averaged with trainings that were given it as --from`,
    );
  const other = parameters.find(({ name, shape }) => shapes.has(name) && String(shapes.get(name)) !== String(shape));
  if (other)
    throw new UserError(`average: ${path} is of other classes than the trainings: its ${other.name} is not ${other.shape.join(" x ")}`);
}

/** Everything that decides the network's parameters, and which images it has seen. */
function identityOf(config: TrainConfig): unknown {
  const { rejectBy, testTimeFlip, ...model } = modelConfigOf(config, 2, 1);
  return { model, prior: config.prior, validation: config.validation, heldOutBy: config.validation > 0 ? config.seed : undefined };
}

function requireAlike(run: string, { position }: Checkpoint, last: string, { position: { config } }: Checkpoint, data: ImageSet): void {
  const { name, split, fingerprint } = position.data;
  if (fingerprint !== data.fingerprint)
    throw new UserError(
      `average: ${run} was trained on ${name} (${split}), which are other images than the ${data.count} of ${data.name} (${data.split}); all runs must have seen the same, named with --data (and --limit, --channels, --test-share, --split-seed as then)`,
    );
  if (!isDeepStrictEqual(identityOf(position.config), identityOf(config)))
    throw new UserError(
      `average: ${run} and ${last} are not of one network: head, depth, widths, image size, dimension, critic, local features, sigma floor, prior and held-out images must be the same`,
    );
}

/** Mean over the trainings, summed in float64; without the critic, where one is a model file, which has none. */
function meanWeights(parameters: readonly ParameterSpec[], models: readonly ReadonlyMap<string, StateTensor>[]): Map<string, StateTensor> {
  const common = parameters.filter(({ name }) => models.every((model) => model.has(name)));
  return new Map(
    common.map(({ name, shape }) => {
      const all = models.map((model) => model.get(name)!.data);
      const mean = all[0]!.map((_, i) => all.reduce((sum, values) => sum + values[i]!, 0) / all.length);
      return [name, { shape, data: mean }];
    }),
  );
}

/** The network as training builds it. */
function statisticsNetwork(config: TrainConfig, training: ImageSet): Network {
  const channels = channelsOf(training);
  const net = new Network(new Graph(), "training");
  const images = input(net.graph, "images", "uint8", [config.batchSize, training.height, training.width, channels]);
  const model = modelConfigOf(config, training.classNames.length, channels);
  classifyForTraining(net, preprocess(images, config.imageSize), model, config.negatives);
  return net;
}

/** New running statistics by name, over the batches of the config's first epoch. */
async function statisticsOf(
  { norms }: Network,
  weights: ReadonlyMap<string, StateTensor>,
  { batchSize, seed, cropPadding, flip, randomErasing }: TrainConfig,
  training: ImageSet,
  { threads, onBatch }: { readonly threads: number | undefined; readonly onBatch: (done: number, total: number) => void },
): Promise<Map<string, StateTensor>> {
  const outputs = norms.flatMap(({ norm, output }) => {
    const { mean, variance } = batchStatistics(output);
    const count = perChannelCount(output);
    return [[`${norm}.runningMean`, mean] as const, [`${norm}.runningVariance`, mul(variance, count / (count - 1))] as const];
  });
  const constants = new Map([...weights].map(([name, { data }]) => [name, data]));
  const model = encodeModel(lower(Object.fromEntries(outputs), { target: portable, weights: constants }));
  const session = await Session.create(model, threads === undefined ? {} : { threads });
  const batches = new InThreadBatches(training, { batchSize, seed, augmentation: { cropPadding, flip, randomErasing } });
  const { stepsPerEpoch } = new BatchOrder(training.count, batchSize, seed);
  const sums = new Map(outputs.map(([name]) => [name, new Float64Array(weights.get(name)!.data.length)]));
  try {
    for (let step = 0; step < stepsPerEpoch; step++) {
      const { images } = await batches.take(step);
      const found = await session.run({ images: tensor("uint8", images, [batchSize, training.height, training.width, training.channels]) });
      for (const [name, sum] of sums) {
        const seen = found[name]!.data as Float32Array;
        for (let i = 0; i < sum.length; i++) sum[i]! += seen[i]!;
      }
      onBatch(step + 1, stepsPerEpoch);
    }
  } finally {
    await session.release();
  }
  return new Map(
    [...sums].map(([name, sum]) => [
      name,
      { shape: weights.get(name)!.shape, data: Float32Array.from(sum, (value) => value / stepsPerEpoch) },
    ]),
  );
}
