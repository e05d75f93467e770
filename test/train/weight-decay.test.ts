import { describe, expect, it } from "vitest";
import { input, mul, parameter, square, sub, sum } from "../../src/graph/build.ts";
import { Graph } from "../../src/graph/graph.ts";
import { evaluate } from "../../src/graph/reference.ts";
import { adam, adamDefaults } from "../../src/optim/adam.ts";
import { loadCheckpoint } from "../../src/train/checkpoint.ts";
import { train } from "../../src/train/train.ts";
import { temporaryFolder, tinyConfig, trainingDigits } from "../support/digits.ts";

describe("weight decay", () => {
  it("is taken off beside Adam's step, not through its averages", () => {
    const graph = new Graph();
    const [w, target] = [parameter(graph, "w", [3]), input(graph, "target", "float32", [3])];
    const { next, state } = adam(graph, sum(square(sub(w, mul(target, 2)))), [w], { ...adamDefaults, weightDecay: 0.5 });
    const [start, goal, rate] = [[1, -2, 3], [0.5, 0.25, -1], 0.1];
    const feeds = new Map([
      ["w", { shape: [3], data: Float64Array.from(start) }],
      ["target", { shape: [3], data: Float64Array.from(goal) }],
      ["learningRate", { shape: [], data: Float64Array.of(rate) }],
      ...state.map(({ name, shape, start: value }) => {
        return [name, { shape, data: new Float64Array(shape[0] ?? 1).fill(value) }] as const;
      }),
    ]);
    const expected = start.map((value, i) => {
      let [weight, m, v] = [value, 0, 0];
      for (let t = 1; t <= 3; t++) {
        const slope = 2 * (weight - 2 * goal[i]!);
        m = 0.9 * m + 0.1 * slope;
        v = 0.999 * v + 0.001 * slope ** 2;
        weight -= rate * 0.5 * weight + (rate * (m / (1 - 0.9 ** t))) / (Math.sqrt(v / (1 - 0.999 ** t)) + 1e-8);
      }
      return weight;
    });
    for (let t = 1; t <= 3; t++) {
      const values = evaluate([...next.values()], feeds);
      [...next.keys()].forEach((name, i) => {
        feeds.set(name, values[i]! as { shape: number[]; data: Float64Array<ArrayBuffer> });
      });
    }
    expected.forEach((value, i) => {
      expect(feeds.get("w")!.data[i]).toBeCloseTo(value, 12);
    });
  });

  it("is of layers alone: norms, biases and class Gaussians keep their step", async () => {
    const data = await trainingDigits();
    const afterOneStep = async (weightDecay: number) => {
      const controller = new AbortController();
      const [out, config] = [temporaryFolder(), tinyConfig({ schedule: "constant", learningRate: 0.01, weightDecay })];
      await train({ config, data, out, signal: controller.signal, onProgress: () => controller.abort() }).catch(() => {});
      return loadCheckpoint(out).state;
    };
    const [plain, decayed] = [await afterOneStep(0), await afterOneStep(5)];
    const names = [...plain.keys()].filter((name) => !/^adam\.|running/.test(name));
    const differing = names.filter((name) => decayed.get(name)!.data.some((value, i) => value !== plain.get(name)!.data[i]));
    expect(differing.length).toBeGreaterThan(10);
    for (const name of names) expect([name, differing.includes(name)]).toEqual([name, /(conv|linear)\w*\.weight$/.test(name)]);
    const sizeOf = (state: typeof plain) => Math.hypot(...state.get("encoder.head.linear1.weight")!.data);
    expect(sizeOf(decayed)).toBeLessThan(sizeOf(plain));
  });
});
