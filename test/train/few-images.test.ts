import { describe, expect, it } from "vitest";
import { resolveConfig } from "../../src/train/config.ts";
import { fitToCount } from "../../src/train/few-images.ts";

const standard = resolveConfig({});
const fitted = (count: number, overrides: Record<string, unknown> = {}) => {
  const { batchSize, epochs } = fitToCount(resolveConfig(overrides), count, new Set(Object.keys(overrides)));
  return [batchSize, epochs];
};

describe("batches and epochs for few images", () => {
  it.each([
    [60_000, 128, 5],
    [15_360, 128, 5],
    [10_000, 128, 8],
    [1_536, 128, 50],
    [500, 32, 40],
    [100, 16, 100],
    [16, 16, 600],
    [7, 7, 600],
    [2, 2, 600],
  ])("of %d: batches of %d, %d epochs", (count, batchSize, epochs) => {
    expect(fitted(count)).toEqual([batchSize, epochs]);
  });

  it("changes nothing else", () => {
    expect(fitToCount(standard, 500, new Set())).toEqual({ ...standard, batchSize: 32, epochs: 40 });
    expect(fitToCount(standard, 20_000, new Set())).toEqual(standard);
  });

  it("leaves what was asked for, and fits the other to it", () => {
    expect(fitted(500, { batchSize: 128 })).toEqual([128, 200]);
    expect(fitted(500, { epochs: 3 })).toEqual([32, 3]);
    expect(fitted(500, { batchSize: 128, epochs: 3 })).toEqual([128, 3]);
    expect(fitted(50, { batchSize: 128 })).toEqual([128, 5]);
  });
});
