import { describe, expect, it } from "vitest";
import { InternalError } from "../../src/core/errors.ts";
import { Random } from "../../src/core/random.ts";

const take = <T>(count: number, next: () => T): T[] => Array.from({ length: count }, next);

const drawnFrom = (random: Random): number[] => take(4, () => random.uint32());

/** sum of (observed - expected)^2 / expected over equally likely bins. */
function chiSquare(bins: readonly number[]): number {
  const expected = bins.reduce((sum, bin) => sum + bin, 0) / bins.length;
  return bins.reduce((sum, bin) => sum + (bin - expected) ** 2 / expected, 0);
}

function histogram(count: number, binCount: number, next: () => number): number[] {
  const bins = new Array<number>(binCount).fill(0);
  for (let i = 0; i < count; i++) bins[next()]! += 1;
  return bins;
}

/** The 99.9% quantile of chi-square with 63 degrees of freedom. */
const CHI_SQUARE_63 = 103.4;

describe("Random", () => {
  it("gives these numbers for these seeds on every machine (made by an implementation in Python)", () => {
    const numbers = (seed: number) => drawnFrom(new Random(seed));
    expect(numbers(0)).toEqual([1789933344, 44971166, 2521387044, 3848737593]);
    expect(numbers(42)).toEqual([660444221, 3652823732, 77672526, 910233633]);
    expect(numbers(0xffffffff)).toEqual([4104197751, 1825856343, 1152209388, 2427537429]);
    const random = new Random(42);
    expect(take(3, () => random.uniform())).toEqual([0.15377165265745885, 0.018084542542176507, 0.5348906284683476]);
  });

  it("derives a stream from the FNV-1a hash of its purpose", () => {
    const batches = drawnFrom(Random.stream(1, "batches"));
    expect(batches).toEqual(drawnFrom(new Random(3734493032)));
    expect(batches).not.toEqual(drawnFrom(Random.stream(1, "augmentation")));
    expect(batches).not.toEqual(drawnFrom(Random.stream(2, "batches")));
  });

  it("is uniform in the high bits, in the low bits, and below a bound that is no power of two", () => {
    const random = new Random(3);
    expect(chiSquare(histogram(64000, 64, () => random.uint32() >>> 26))).toBeLessThan(CHI_SQUARE_63);
    expect(chiSquare(histogram(64000, 64, () => random.uint32() & 63))).toBeLessThan(CHI_SQUARE_63);
    expect(chiSquare(histogram(64000, 64, () => Math.floor(random.uniform() * 64)))).toBeLessThan(CHI_SQUARE_63);
    // With modulo bias, two of three numbers would fall into the lower half of these bins.
    expect(chiSquare(histogram(64000, 64, () => Math.floor(random.below(3 * 2 ** 30) / (3 * 2 ** 24))))).toBeLessThan(CHI_SQUARE_63);
  });

  it("draws normal numbers: mean, variance, and share beyond two standard deviations", () => {
    const random = new Random(5);
    const count = 100_000;
    const numbers = take(count, () => random.normal());
    const mean = numbers.reduce((sum, x) => sum + x, 0) / count;
    const variance = numbers.reduce((sum, x) => sum + (x - mean) ** 2, 0) / count;
    const beyond = numbers.filter((x) => Math.abs(x) > 2).length / count;
    // Four standard errors each.
    expect(Math.abs(mean)).toBeLessThan(4 / Math.sqrt(count));
    expect(Math.abs(variance - 1)).toBeLessThan(4 * Math.sqrt(2 / count));
    expect(Math.abs(beyond - 0.0455)).toBeLessThan(4 * Math.sqrt((0.0455 * 0.9545) / count));
  });

  it("permutes: every number once, every order equally often", () => {
    const random = new Random(9);
    expect([...random.permutation(1000)].sort((a, b) => a - b)).toEqual(
      take(
        1000,
        (
          (i) => () =>
            i++
        )(0),
      ),
    );
    const orders = new Map<string, number>();
    for (let i = 0; i < 24000; i++) {
      const order = random.permutation(4).join("");
      orders.set(order, (orders.get(order) ?? 0) + 1);
    }
    expect(orders.size).toBe(24);
    // The 99.9% quantile of chi-square with 23 degrees of freedom.
    expect(chiSquare([...orders.values()])).toBeLessThan(49.7);
    expect(random.permutation(0)).toEqual(new Int32Array(0));
  });

  it.each([-1, 0.5, 2 ** 32, Number.NaN])("refuses the seed %d", (seed) => {
    expect(() => new Random(seed)).toThrow(new InternalError(`seed: expected an integer from 0 to 4294967295, got ${seed}`));
  });
});
