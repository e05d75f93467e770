import { describe, expect, it } from "vitest";
import { Random } from "../../src/core/random.ts";
import { bootstrap } from "../../src/evaluate/metrics/bootstrap.ts";
import { auroc, rank, steps } from "../../src/evaluate/metrics/detection.ts";
import { share } from "../../src/evaluate/metrics/selective.ts";

/** Binomial: 3 standard deviations of a share `p` of `n` repetitions. */
const threeDeviations = (p: number, n: number): number => 3 * Math.sqrt((p * (1 - p)) / n);

describe("bootstrap", () => {
  it("draws as many samples as each group has, every sample equally often", () => {
    const totals = [new Float64Array(7), new Float64Array(3)];
    bootstrap(
      [7, 3],
      (counts) => {
        counts.forEach((group, g) => {
          expect(group.reduce((a, b) => a + b, 0)).toBe(totals[g]!.length);
          group.forEach((count, i) => {
            totals[g]![i]! += count;
          });
        });
        return {};
      },
      { resamples: 2000 },
    );
    // One draw per sample and resample, and one of each sample to learn the names: 2001 on average, with a variance below 2000.
    for (const group of totals) for (const total of group) expect(Math.abs(total - 2001)).toBeLessThan(4 * Math.sqrt(2000));
  });

  it("takes the quantiles of the statistic over the resamples", () => {
    // The statistic counts the resamples: 1 for the samples as they are, then 2, 3, ..., 102.
    let calls = 0;
    const { order } = bootstrap([1], () => ({ order: ++calls }), { resamples: 101, level: 0.9 });
    // Of 101 values, 2 to 102, the 5% and 95% quantiles are 5 and 95 values above the least.
    expect(order!.low).toBeCloseTo(7, 9);
    expect(order!.high).toBeCloseTo(97, 9);
  });

  it("leaves out the resamples in which a statistic is not defined", () => {
    let calls = 0;
    const { sometimes, never } = bootstrap([1], () => ({ sometimes: ++calls % 2 === 0 ? 5 : null, never: null }), { resamples: 10 });
    expect(sometimes).toEqual({ low: 5, high: 5 });
    expect(never).toBeNull();
    expect(bootstrap([1], () => ({ x: 1 }), { resamples: 0 })).toEqual({ x: null });
  });

  it("same seed, same intervals; another seed, others", () => {
    const flags = Uint8Array.from({ length: 50 }, (_, i) => Number(i % 3 === 0));
    const of = (seed: number) => bootstrap([50], ([counts]) => ({ share: share(flags, counts) }), { seed, resamples: 100 });
    expect(of(1)).toEqual(of(1));
    expect([2, 3, 4].map(of)).not.toEqual([1, 1, 1].map(of));
  });

  it.each([
    [{ resamples: -1 }, "resamples: expected a whole number from 0 to 100000, got -1"],
    [{ resamples: 1e9 }, "resamples: expected a whole number from 0 to 100000"],
    [{ seed: -1 }, "seed: expected a whole number from 0 to 4294967295, got -1"],
    [{ level: 1 }, "level: expected a number between 0 and 1, got 1"],
    [{ level: Number.NaN }, "level: expected a number between 0 and 1"],
  ])("refuses %j", (options, message) => {
    expect(() => bootstrap([1], () => ({}), options)).toThrow(message);
  });

  it("the intervals of a share hold the truth in about as many experiments as they say", () => {
    const random = new Random(7);
    const [p, n, experiments, level] = [0.3, 200, 400, 0.9];
    let held = 0;
    for (let e = 0; e < experiments; e++) {
      const flags = Uint8Array.from({ length: n }, () => Number(random.uniform() < p));
      const { rate } = bootstrap([n], ([counts]) => ({ rate: share(flags, counts) }), { resamples: 300, level, seed: e });
      held += Number(rate!.low <= p && p <= rate!.high);
    }
    // Percentile intervals of a share from 200 samples are a little short of their level.
    expect(Math.abs(held / experiments - level)).toBeLessThan(threeDeviations(level, experiments) + 0.01);
  });

  it("the intervals of AUROC hold the truth in about as many experiments as they say", () => {
    const random = new Random(8);
    const [n, experiments, level] = [80, 200, 0.9];
    // Of N(1, 1) against N(0, 1): Phi(1 / sqrt 2).
    const truth = 0.7602;
    let held = 0;
    for (let e = 0; e < experiments; e++) {
      const normals = (mean: number) => Array.from({ length: n }, () => mean + random.normal());
      const ranking = rank({ positive: normals(1), negative: normals(0) });
      const statistic = ([positive, negative]: readonly Uint32Array[]) => ({
        area: auroc(steps(ranking, { positive: positive!, negative: negative! })),
      });
      const { area } = bootstrap([n, n], statistic, { resamples: 200, level, seed: e });
      held += Number(area!.low <= truth && truth <= area!.high);
    }
    expect(Math.abs(held / experiments - level)).toBeLessThan(threeDeviations(level, experiments) + 0.01);
  });
});
