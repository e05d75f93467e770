import { describe, expect, it } from "vitest";
import { loadCheckpoint } from "../../src/train/checkpoint.ts";
import { train } from "../../src/train/train.ts";
import { temporaryFolder, tinyConfig, trainingDigits } from "../support/digits.ts";

const data = await trainingDigits();

describe("moving averages", () => {
  it("are the weighted means of all weights and statistics seen, and of nothing else", async () => {
    const [decay, steps] = [0.7, 6];
    const states: ReadonlyMap<string, { data: Float32Array }>[] = [];
    for (let done = 1; done <= steps; done++) {
      const out = temporaryFolder();
      const controller = new AbortController();
      const onProgress = ({ step }: { step: number }) => step === done && controller.abort();
      await train({ config: tinyConfig({ ema: decay }), data, out, signal: controller.signal, onProgress }).catch(() => {});
      const { position, state } = loadCheckpoint(out);
      expect(position.step).toBe(done);
      states.push(state);
    }
    const last = states.at(-1)!;
    const names = [...last.keys()].filter((name) => !name.startsWith("ema.") && !name.startsWith("adam."));
    expect(names.some((name) => name.endsWith("runningVariance"))).toBe(true);
    expect([...last.keys()].filter((name) => name.startsWith("ema.")).sort()).toEqual(
      ["decayPower", ...names].map((name) => `ema.${name}`).sort(),
    );
    // After one step the average is what that step made, bit for bit.
    for (const name of names) expect(states[0]!.get(`ema.${name}`)!.data).toEqual(states[0]!.get(name)!.data);
    const weights = states.map((_, i) => decay ** (steps - 1 - i));
    const total = weights.reduce((a, b) => a + b, 0);
    for (const name of names) {
      const averages = last.get(`ema.${name}`)!.data;
      averages.forEach((average, k) => {
        const seen = states.map((state) => state.get(name)!.data[k]!);
        const expected = seen.reduce((sum, value, i) => sum + (weights[i]! * value) / total, 0);
        const scale = Math.max(...seen.map(Math.abs), 1e-6);
        if (Math.abs(average - expected) > 2e-6 * scale) throw new Error(`${name}[${k}]: expected ${expected}, got ${average}`);
      });
    }
  });
});
