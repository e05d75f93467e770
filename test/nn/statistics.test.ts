import { describe, expect, it } from "vitest";
import { Random } from "../../src/core/random.ts";
import { input } from "../../src/graph/build.ts";
import { Graph } from "../../src/graph/graph.ts";
import { evaluate, type Reference } from "../../src/graph/reference.ts";
import { channelStatistics, statisticsCount } from "../../src/nn/statistics.ts";
import { expectSameAsReference, type Feeds, randomTensor, relativeError } from "../support/graphs.ts";

const count = 3;
const [first, second] = [16, 32];

function moments({ shape, data }: Reference, image: number, channel: number): { readonly mean: number; readonly deviation: number } {
  const pixels = shape[2]! * shape[3]!;
  const start = (image * shape[1]! + channel) * pixels;
  const values = data.subarray(start, start + pixels);
  const mean = values.reduce((total, value) => total + value, 0) / pixels;
  const variance = values.reduce((total, value) => total + (value - mean) ** 2, 0) / pixels;
  return { mean, deviation: Math.sqrt(variance + 1e-6) };
}

describe("channel statistics", () => {
  it("are means and standard deviations of each channel of two stages, in that order", async () => {
    const graph = new Graph();
    const maps = [input(graph, "a", "float32", [count, first, 8, 8]), input(graph, "b", "float32", [count, second, 4, 4])] as const;
    const statistics = channelStatistics([maps[0], maps[1], maps[1], maps[1]]);
    const random = new Random(1);
    // Far from zero, where a difference of squares would have no digits left.
    const [a, b] = [
      randomTensor(random, [count, first, 8, 8], (r) => 100 + r.normal()),
      randomTensor(random, [count, second, 4, 4], (r) => Math.max(0, r.normal())),
    ];
    a.data.fill(7, 0, 64);
    const feeds: Feeds = new Map([
      ["a", a],
      ["b", b],
    ]);
    const [reference] = evaluate([statistics], feeds);
    const expected = Array.from({ length: count }, (_, image) =>
      [a, b].flatMap((one) => {
        const all = Array.from({ length: one.shape[1]! }, (_, channel) => moments(one, image, channel));
        return [...all.map(({ mean }) => mean), ...all.map(({ deviation }) => deviation)];
      }),
    ).flat();
    expect(expected.length).toBe(count * statisticsCount({ widths: [first, second, 1, 1] }));
    expect(relativeError(reference!.data, expected)).toBeLessThan(1e-12);
    // A channel that is the same everywhere.
    expect(reference!.data[first]).toBeCloseTo(1e-3, 9);
    await expectSameAsReference({ statistics }, feeds, 1e-5);
  });
});
