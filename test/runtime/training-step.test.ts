import { existsSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { Random } from "../../src/core/random.ts";
import { lower } from "../../src/onnx/lower.ts";
import { FeedbackSession, nextName } from "../../src/runtime/feedback.ts";
import { blockedLayout, targetFor } from "../../src/runtime/layout.ts";
import { type Provider, tensor } from "../../src/runtime/session.ts";
import { probeWebGpu } from "../../src/runtime/webgpu.ts";
import { initialState } from "../../src/train/initialise.ts";
import { buildTrainingStep } from "../../src/train/step.ts";

// Debian's chromium ships a software Vulkan driver: enough to run the WebGPU provider without a GPU, slowly.
const softwareDriver = "/usr/lib/chromium/vk_swiftshader_icd.json";
if (existsSync(softwareDriver)) process.env["VK_DRIVER_FILES"] ??= softwareDriver;
const gpu = await probeWebGpu();
const block = await blockedLayout();

const batchSize = 16;
const step = buildTrainingStep({
  model: {
    head: "sdim",
    depth: 10,
    widths: [16, 16, 32, 32],
    classes: 3,
    channels: 1,
    imageSize: 16,
    dimension: 8,
    critic: "concat",
    localFeatures: "stage4",
    logSigmaFloor: null,
  },
  loss: { alpha: 1, beta: 1, gamma: 1, miBound: "jensen-shannon", margin: 10, perDimension: true },
  negatives: "shuffled",
  batchSize,
  height: 12,
  width: 12,
});
const outputs = { ...step.metrics, ...Object.fromEntries([...step.next].map(([name, value]) => [nextName(name), value])) };
const random = new Random(3);
const images = tensor(
  "uint8",
  Uint8Array.from({ length: batchSize * 144 }, () => random.below(256)),
  [batchSize, 12, 12, 1],
);
const labels = tensor(
  "int64",
  BigInt64Array.from({ length: batchSize }, (_, i) => BigInt(i % 3)),
  [batchSize],
);

async function start(provider: Provider, target = targetFor(provider)): Promise<FeedbackSession> {
  const state = initialState(step.parameters, step.optimizerState, 7);
  return FeedbackSession.create(lower(outputs, { target: await target }), state, { provider });
}

async function run(session: FeedbackSession, steps: number): Promise<Record<string, number>[]> {
  const metrics: Record<string, number>[] = [];
  for (let i = 0; i < steps; i++) {
    metrics.push(await session.step({ images, labels, learningRate: tensor("float32", Float32Array.of(0.003), []) }));
  }
  return metrics;
}

describe("a training step on the CPU", () => {
  it("learns one batch by heart", async () => {
    const session = await start("cpu");
    const metrics = await run(session, 150);
    await session.release();
    expect(metrics.at(-1)!["trainAccuracy"]).toBe(1);
    expect(metrics.at(-1)!["loss"]).toBeLessThan(metrics[0]!["loss"]! / 4);
  });

  it("makes the same numbers every time, bit for bit", async () => {
    const [a, b] = [await start("cpu"), await start("cpu")];
    expect(await run(a, 5)).toEqual(await run(b, 5));
    expect(await a.state()).toEqual(await b.state());
    await Promise.all([a.release(), b.release()]);
  });

  it("goes on from a copy of its state as if it had not stopped", async () => {
    const whole = await start("cpu");
    await run(whole, 3);
    const saved = await whole.state();
    const rest = await run(whole, 3);
    const resumed = await FeedbackSession.create(lower(outputs, { target: await targetFor("cpu") }), saved);
    expect(await run(resumed, 3)).toEqual(rest);
    await Promise.all([whole.release(), resumed.release()]);
  });

  it.runIf(block > 0)("gives the same metrics in the plain and in the blocked layout", async () => {
    const [plain, blocked] = [await start("cpu", Promise.resolve({ provider: "cpu", block: 0 })), await start("cpu")];
    const [a, b] = [await run(plain, 4), await run(blocked, 4)];
    a.forEach((metrics, i) => {
      for (const [name, value] of Object.entries(metrics)) expect(b[i]![name]).toBeCloseTo(value, 2);
    });
    await Promise.all([plain.release(), blocked.release()]);
  });

  it("does not grow from step to step", async () => {
    const session = await start("cpu");
    await run(session, 100);
    const before = process.memoryUsage().rss;
    await run(session, 400);
    await session.release();
    expect(process.memoryUsage().rss - before).toBeLessThan(50e6);
  });
});

describe(gpu.works ? "a training step on WebGPU" : `a training step on WebGPU (skipped: ${gpu.reason})`, () => {
  it.runIf(gpu.works)("makes the numbers of the CPU, its state staying on the device", async () => {
    const [cpu, device] = [await start("cpu"), await start("webgpu")];
    const [expected, got] = [await run(cpu, 3), await run(device, 3)];
    expected.forEach((metrics, i) => {
      for (const [name, value] of Object.entries(metrics)) expect(got[i]![name]).toBeCloseTo(value, 2);
    });
    const [host, fetched] = [await cpu.state(), await device.state()];
    expect([...fetched.keys()].sort()).toEqual([...host.keys()].sort());
    await Promise.all([cpu.release(), device.release()]);
  });
});
