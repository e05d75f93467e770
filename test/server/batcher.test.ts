import { describe, expect, it } from "vitest";
import type { ImageBatch } from "../../src/classify/classifier.ts";
import type { Picture } from "../../src/data/picture.ts";
import { Batcher, type BatcherOptions, type Threads } from "../../src/server/engine/batcher.ts";
import type { Inferred } from "../../src/server/engine/messages.ts";

interface Run {
  readonly generation: number;
  readonly images: ImageBatch;
  readonly finish: () => void;
  readonly fail: (error: Error) => void;
}

/** Threads that answer when the test tells them: the label of an image is its first pixel. */
class TestThreads implements Threads {
  onFree: () => void = () => {};
  readonly runs: Run[] = [];
  result = verdicts;
  private free: number;

  constructor(count: number) {
    this.free = count;
  }

  claim() {
    if (this.free === 0) return undefined;
    this.free--;
    return {
      classify: (generation: number, images: ImageBatch) =>
        new Promise<Inferred>((resolve, reject) => {
          this.runs.push({ generation, images, finish: () => resolve({ result: this.result(images), inferenceMs: 1 }), fail: reject });
        }),
    };
  }

  giveBack(): void {
    this.free++;
    this.onFree();
  }
}

function verdicts({ count, pixels }: ImageBatch): Inferred["result"] {
  const first = Float32Array.from({ length: count }, (_, i) => pixels[(i * pixels.length) / count]!);
  return {
    count,
    labels: Int32Array.from(first),
    accepted: Uint8Array.from(first, (value) => value % 2),
    logLikelihoods: first,
    thresholds: first,
    classLogLikelihoods: Float32Array.from([...first].flatMap((value) => [value, -value])),
    representations: Float32Array.from(first),
  };
}

const picture = (value: number, height = 2, width = 2): Picture => ({
  height,
  width,
  channels: 1,
  pixels: new Uint8Array(height * width).fill(value),
});
const never = new AbortController().signal;
const soon = (milliseconds = 0) => new Promise((resolve) => setTimeout(resolve, milliseconds));

function batching(threadCount: number, options: Partial<BatcherOptions> = {}) {
  const threads = new TestThreads(threadCount);
  const sizes: number[] = [];
  const batcher = new Batcher(threads, { maxBatch: 4, maxWaitMs: 20, onBatch: (size) => sizes.push(size), ...options });
  return { threads, batcher, sizes };
}

describe("batching", () => {
  it("runs a full batch at once, and a smaller one after its wait", async () => {
    const { threads, batcher, sizes } = batching(2);
    const answers = [1, 2, 3, 4, 5].map((value) => batcher.classify(7, picture(value), never));
    await soon();
    expect([sizes, batcher.queued]).toEqual([[4], 1]);
    await soon(40);
    expect([sizes, batcher.queued]).toEqual([[4, 1], 0]);
    for (const { finish } of threads.runs) finish();
    const results = await Promise.all(answers);
    expect(results.map(({ classIndex, accepted }) => [classIndex, accepted])).toEqual([
      [1, true],
      [2, false],
      [3, true],
      [4, false],
      [5, true],
    ]);
    expect([...results[2]!.classLogLikelihoods]).toEqual([3, -3]);
    expect(results[0]!.queueMs).toBeLessThan(15);
    expect(results[4]!.queueMs).toBeGreaterThanOrEqual(19);
  });

  it("puts together only images of one size and one model file, in their order", async () => {
    const { threads, batcher } = batching(9, { maxWaitMs: 0 });
    const pairs = [
      [1, picture(1)],
      [1, picture(2, 4, 1)],
      [2, picture(3)],
      [1, picture(4, 1, 4)],
    ] as const;
    const answers = pairs.map(([generation, image]) => batcher.classify(generation, image, never));
    await soon();
    expect(
      threads.runs.map(({ generation, images: { count, height, width, pixels } }) => [generation, count, height, width, pixels[0]]),
    ).toEqual([
      [1, 1, 2, 2, 1],
      [1, 1, 4, 1, 2],
      [2, 1, 2, 2, 3],
      [1, 1, 1, 4, 4],
    ]);
    for (const { finish } of threads.runs) finish();
    expect((await Promise.all(answers)).map(({ classIndex }) => classIndex)).toEqual([1, 2, 3, 4]);
  });

  it("gathers while all threads are busy, and then takes what has waited longest", async () => {
    const { threads, batcher, sizes } = batching(1, { maxWaitMs: 0 });
    const answers = [batcher.classify(1, picture(1), never)];
    for (const value of [2, 3]) answers.push(batcher.classify(1, picture(value, 3, 3), never));
    await soon(2);
    for (const value of [4, 5, 6]) answers.push(batcher.classify(1, picture(value), never));
    await soon();
    expect([threads.runs.length, batcher.queued]).toEqual([1, 5]);
    for (let i = 0; i < 3; i++) {
      threads.runs[i]!.finish();
      await soon();
    }
    expect(sizes).toEqual([1, 2, 3]);
    expect(threads.runs.map(({ images }) => images.height)).toEqual([2, 3, 2]);
    expect((await Promise.all(answers)).map(({ classIndex }) => classIndex)).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it("forgets an image whose request has given up", async () => {
    const { threads, batcher } = batching(1, { maxWaitMs: 0 });
    const controller = new AbortController();
    const first = batcher.classify(1, picture(1), never);
    const [second, third] = [batcher.classify(1, picture(2), controller.signal), batcher.classify(1, picture(3), never)];
    controller.abort(new Error("gone"));
    await expect(second).rejects.toThrow("gone");
    expect(batcher.queued).toBe(1);
    threads.runs[0]!.finish();
    await soon();
    expect([...threads.runs[1]!.images.pixels]).toEqual([3, 3, 3, 3]);
    threads.runs[1]!.finish();
    expect([(await first).classIndex, (await third).classIndex]).toEqual([1, 3]);
    await expect(batcher.classify(1, picture(4), controller.signal)).rejects.toThrow("gone");
  });

  it("says so to every image of a batch that failed, and goes on", async () => {
    const { threads, batcher } = batching(1, { maxWaitMs: 0 });
    const blocker = batcher.classify(1, picture(1), never);
    const failing = [2, 3].map((value) => batcher.classify(1, picture(value), never));
    await soon();
    threads.runs[0]!.finish();
    await blocker;
    await soon();
    threads.runs[1]!.fail(new Error("died"));
    for (const one of failing) await expect(one).rejects.toThrow("died");
    const next = batcher.classify(1, picture(4), never);
    await soon();
    threads.runs[2]!.finish();
    expect((await next).classIndex).toBe(4);
  });

  it("cuts batches of large images short, and holds the event loop up for no longer than a few megabytes take", async () => {
    const { threads, batcher, sizes } = batching(2, { maxBatch: 64, maxWaitMs: 0 });
    const side = 3000;
    const answers = [1, 2].map((value) => batcher.classify(1, picture(value, side, side), never));
    // 9 MB each, of the 16 that a batch has at most: one by one, each copied in three pieces.
    while (threads.runs.length < 2) await soon();
    expect(sizes).toEqual([1, 1]);
    for (const { images, finish } of threads.runs) {
      expect(images.pixels.length).toBe(side * side);
      expect(images.pixels.at(-1)).toBe(images.pixels[0]);
      finish();
    }
    expect((await Promise.all(answers)).map(({ classIndex }) => classIndex)).toEqual([1, 2]);
  });

  it("takes a log-likelihood that is not finite for a failure", async () => {
    const { threads, batcher } = batching(1, { maxWaitMs: 0 });
    threads.result = (images) => {
      const said = verdicts(images);
      if (images.count === 3) said.classLogLikelihoods[3] = Number.NaN;
      return said;
    };
    const blocker = batcher.classify(1, picture(1), never);
    const batch = [2, 3, 4].map((value) => batcher.classify(1, picture(value), never));
    await soon();
    threads.runs[0]!.finish();
    await blocker;
    await soon();
    threads.runs[1]!.finish();
    // Of that image alone.
    const outcomes = await Promise.allSettled(batch);
    expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    await expect(batch[1]).rejects.toThrow("not finite");
  });
});
