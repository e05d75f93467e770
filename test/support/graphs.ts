import { expect } from "vitest";
import { Random } from "../../src/core/random.ts";
import type { Value } from "../../src/graph/graph.ts";
import { evaluate, type Reference } from "../../src/graph/reference.ts";
import type { DType } from "../../src/graph/types.ts";
import type { ModelProto } from "../../src/onnx/generated/onnx_pb.ts";
import { lower } from "../../src/onnx/lower.ts";
import { encodeModel } from "../../src/onnx/model-file.ts";
import { blockedLayout } from "../../src/runtime/layout.ts";
import { Session, type TensorData, tensor } from "../../src/runtime/session.ts";

export type Feeds = Map<string, Reference>;

/** 0 is the portable lowering; the blocked one is tried where this machine has it. */
export const layouts: readonly number[] = [0, await blockedLayout()].filter((block, i) => i === 0 || block > 0);

export const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** float32 values, so that the runtime sees exactly what the reference sees. */
export function randomTensor(random: Random, shape: readonly number[], draw: (random: Random) => number = (r) => r.normal()): Reference {
  return { shape, data: Float64Array.from({ length: sizeOf(shape) }, () => Math.fround(draw(random))) };
}

function toArray(dtype: DType, data: Float64Array): TensorData {
  if (dtype === "float32") return Float32Array.from(data);
  return dtype === "int64" ? BigInt64Array.from(data, BigInt) : Uint8Array.from(data);
}

/** Runs a lowered model on each of the reference feeds; results by output name. */
export async function runModelOnEach(
  model: ModelProto,
  values: readonly Value[],
  cases: readonly Feeds[],
): Promise<Map<string, Float64Array>[]> {
  const session = await Session.create(encodeModel(model));
  const outcomes: Map<string, Float64Array>[] = [];
  for (const feeds of cases) {
    const fed = session.inputNames.map((name) => {
      const { dtype } = values.find((one) => one.name === name)!.type;
      const { shape, data } = feeds.get(name)!;
      return [name, tensor(dtype, toArray(dtype, data), shape)] as const;
    });
    const results = Object.entries(await session.run(Object.fromEntries(fed)));
    outcomes.push(new Map(results.map(([name, { data }]) => [name, Float64Array.from(data as ArrayLike<number | bigint>, Number)])));
  }
  await session.release();
  return outcomes;
}

export const runModel = async (model: ModelProto, values: readonly Value[], feeds: Feeds): Promise<Map<string, Float64Array>> =>
  (await runModelOnEach(model, values, [feeds]))[0]!;

/** Largest difference, in units of the expected tensor's largest magnitude (at least `floor`). */
export function relativeError(got: ArrayLike<number>, expected: ArrayLike<number>, floor = 1e-30): number {
  expect(got.length).toBe(expected.length);
  let [difference, magnitude] = [0, floor];
  for (let i = 0; i < expected.length; i++) {
    difference = Math.max(difference, Math.abs(got[i]! - expected[i]!));
    magnitude = Math.max(magnitude, Math.abs(expected[i]!));
    if (Number.isNaN(got[i]!) !== Number.isNaN(expected[i]!)) return Number.NaN;
  }
  return difference / magnitude;
}

/** Runs the graph in every layout and compares each output with the float64 reference; returns the models by block size. */
export async function expectSameAsReference(
  outputs: Readonly<Record<string, Value>>,
  feeds: Feeds,
  tolerance: number,
): Promise<Map<number, ModelProto>> {
  const names = Object.keys(outputs);
  const expected = evaluate(Object.values(outputs), feeds);
  const values = Object.values(outputs)[0]!.graph.values;
  const models = new Map<number, ModelProto>();
  for (const block of layouts) {
    const model = lower(outputs, { target: { provider: "cpu", block } });
    models.set(block, model);
    const got = await runModel(model, values, feeds);
    names.forEach((name, i) => {
      expect(relativeError(got.get(name)!, expected[i]!.data), `${name}, block ${block}`).toBeLessThan(tolerance);
    });
  }
  return models;
}

/**
 * Directional finite difference in float64: the loss along a random direction of all `wrt` at once against sum of gradient * direction,
 * by a central difference. A deep network wants a smaller `step`, so that no ReLU changes sides within it.
 */
export function expectGradientsMatchDifferences(
  loss: Value,
  wrt: readonly Value[],
  slopes: readonly Value[],
  feeds: Feeds,
  tolerance = 1e-6,
  step = 1e-5,
): void {
  const random = new Random(99);
  const directions = wrt.map((x) => Float64Array.from(feeds.get(x.name)!.data, () => random.normal()));
  const lossAt = (sign: number): number => {
    const moved = new Map(feeds);
    wrt.forEach((x, i) => {
      const { shape, data } = feeds.get(x.name)!;
      moved.set(x.name, { shape, data: data.map((value, k) => value + sign * step * directions[i]![k]!) });
    });
    return evaluate([loss], moved)[0]!.data[0]!;
  };
  const numeric = (lossAt(1) - lossAt(-1)) / (2 * step);
  const analytic = evaluate(slopes, feeds).reduce(
    (total, { data }, i) => total + data.reduce((sum, slope, k) => sum + slope * directions[i]![k]!, 0),
    0,
  );
  expect(Math.abs(numeric - analytic) / Math.max(1e-3, Math.abs(analytic))).toBeLessThan(tolerance);
}
