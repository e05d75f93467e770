import { InputGradients } from "../src/classify/input-gradients.ts";
import { encodeModelFile } from "../src/classify/model-file.ts";
import { lower } from "../src/onnx/lower.ts";
import { FeedbackSession, nextName } from "../src/runtime/feedback.ts";
import { targetFor } from "../src/runtime/layout.ts";
import { type Provider, Session, tensor } from "../src/runtime/session.ts";
import { initialState } from "../src/train/initialise.ts";
import { imageShape, randomImages, randomLabels, trainingStep, untrainedModel, type Workload } from "./workload.ts";

export interface MeasureOptions extends Workload {
  readonly steps: number;
  readonly threads: number;
  readonly provider: Provider;
  /** Where the profile goes, if one is wanted. */
  readonly profilePrefix?: string;
}

/** Runs before the timed ones. */
export const warmUp = 3;

export const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1]!;

/** Milliseconds of each run after the warm-up. */
async function time(steps: number, run: () => Promise<unknown>): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < steps + warmUp; i++) {
    const start = performance.now();
    await run();
    times.push(performance.now() - start);
  }
  return times.slice(warmUp);
}

const sessionOptions = ({ provider, threads, profilePrefix }: MeasureOptions) => ({
  provider,
  threads,
  ...(profilePrefix ? { profilePrefix } : {}),
});

export async function measureTraining(options: MeasureOptions): Promise<Record<string, number>> {
  const compiling = performance.now();
  const step = trainingStep(options);
  const outputs = { ...step.metrics, ...Object.fromEntries([...step.next].map(([name, value]) => [nextName(name), value])) };
  const model = lower(outputs, { target: await targetFor(options.provider) });
  const session = await FeedbackSession.create(model, initialState(step.parameters, step.optimizerState, 1), sessionOptions(options));
  const compileMs = performance.now() - compiling;
  const images = tensor("uint8", randomImages(options, options.batch), imageShape(options, options.batch));
  const labels = tensor("int64", randomLabels(options, options.batch), [options.batch]);
  const learningRate = tensor("float32", Float32Array.of(1e-3), []);
  const times = await time(options.steps, () => session.step({ images, labels, learningRate }));
  if (options.profilePrefix) session.endProfiling();
  await session.release();
  const stepMsP50 = median(times);
  return {
    trainImagesPerSecond: (options.batch * 1000) / stepMsP50,
    stepMsP50,
    compileMs,
    nodes: model.graph!.node.length,
    peakMemoryMb: peakMemoryMb(),
  };
}

const peakMemoryMb = (): number => process.resourceUsage().maxRSS / 1024;

/** Batch sizes tried for the best rate, by both sides. */
export const scoreBatches = [16, 32, 64, 128, 256] as const;

/** At each of `batches` and, with its latency, at one image. A profile is taken at `options.batch` alone. */
export async function measureScoring(options: MeasureOptions, batches: readonly number[] = scoreBatches): Promise<Record<string, number>> {
  const session = await Session.create(encodeModelFile(untrainedModel(options)), sessionOptions(options));
  const feed = (count: number) => ({ images: tensor("uint8", randomImages(options, count), imageShape(options, count)) });
  const timesOf = (count: number) => {
    const images = feed(count);
    return time(Math.ceil((options.steps * 128) / Math.min(count, 128)), () => session.run(images));
  };
  try {
    let best = { scoreImagesPerSecond: 0, batchSize: 0 };
    for (const count of options.profilePrefix ? [options.batch] : batches) {
      const rate = (count * 1000) / median(await timesOf(count));
      if (rate > best.scoreImagesPerSecond) best = { scoreImagesPerSecond: rate, batchSize: count };
    }
    if (options.profilePrefix) {
      session.endProfiling();
      return best;
    }
    const one = feed(1);
    const latencies = (await time(200, () => session.run(one))).sort((a, b) => a - b);
    const latency = { latencyMsP50: median(latencies), latencyMsP99: latencies[Math.floor(latencies.length * 0.99)]! };
    return { ...best, ...latency, peakMemoryMb: peakMemoryMb() };
  } finally {
    await session.release();
  }
}

export async function measureGradients(options: MeasureOptions): Promise<Record<string, number>> {
  const gradients = await InputGradients.load(untrainedModel(options), options.batch, sessionOptions(options));
  const x = Float32Array.from(randomImages(options, options.batch), (value) => value / 255);
  const weights = new Float32Array(options.batch * options.classes).fill(1);
  const times = await time(options.steps, () => gradients.run(x, weights));
  await gradients.release();
  return { gradientImagesPerSecond: (options.batch * 1000) / median(times) };
}
