import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { resizeMatrix, resizeRow } from "../../src/core/resize.ts";
import { forModel, resizePicture } from "../../src/data/resize.ts";
import { input } from "../../src/graph/build.ts";
import { Graph } from "../../src/graph/graph.ts";
import { preprocess } from "../../src/nn/preprocess.ts";
import { lower } from "../../src/onnx/lower.ts";
import { runModel } from "../support/graphs.ts";
import { noise } from "../support/pictures.ts";

describe("resizeRow", () => {
  it("adds up to 1, stays inside, and leaves out nothing but zeros", () => {
    const size = fc.integer({ min: 1, max: 200 });
    fc.assert(
      fc.property(size, size, (from, to) => {
        const matrix = resizeMatrix(from, to);
        expect(matrix).toHaveLength(from * to);
        for (let i = 0; i < to; i++) {
          const { first, weights } = resizeRow(from, to, i);
          expect(first).toBeGreaterThanOrEqual(0);
          expect(first + weights.length).toBeLessThanOrEqual(from);
          expect(weights.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 12);
          // The plain formula over every source pixel.
          const center = ((i + 0.5) * from) / to - 0.5;
          const row = Array.from({ length: from }, (_, j) => Math.max(0, 1 - Math.abs(j - center) / Math.max(1, from / to)));
          const total = row.reduce((a, b) => a + b, 0);
          row.forEach((weight, j) => {
            expect(matrix[i * from + j]).toBeCloseTo(weight / total, 12);
          });
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe("resizePicture", () => {
  it("leaves a picture of the right size as it is", () => {
    const picture = noise(1, 8, 8, 3);
    expect(resizePicture(picture, 8)).toEqual(picture);
  });

  it("halves by the triangle over four pixels, rounded", () => {
    // 4 -> 2: around 0.5 with half-width 2, the weights of pixels 0, 1, 2 are 3/4, 3/4, 1/4, over their sum.
    const row = Uint8Array.of(10, 20, 60, 250);
    const pixels = Uint8Array.from([...row, ...row, ...row, ...row]);
    const expected = [(30 + 60 + 60) / 7, (20 + 180 + 750) / 7].map(Math.round);
    expect([...resizePicture({ height: 4, width: 4, channels: 1, pixels }, 2).pixels]).toEqual([...expected, ...expected]);
  });

  it.each([
    [28, 28, 1, 32],
    [200, 31, 3, 24],
    [7, 300, 3, 40],
    [1, 1, 1, 8],
    [480, 640, 3, 32],
  ] as const)("is what a model file makes of the original, to rounding: %d x %d x %d to %d", async (height, width, channels, size) => {
    const picture = noise(7, height, width, channels);
    const graph = new Graph();
    const images = input(graph, "images", "uint8", [1, height, width, channels]);
    const feeds = new Map([["images", { shape: [1, height, width, channels], data: Float64Array.from(picture.pixels) }]]);
    const seen = (
      await runModel(lower({ seen: preprocess(images, size) }, { target: { provider: "cpu", block: 0 } }), [images], feeds)
    ).get("seen")!;
    const resized = resizePicture(picture, size);
    expect([resized.height, resized.width, resized.channels]).toEqual([size, size, channels]);
    let largest = 0;
    for (let c = 0; c < channels; c++) {
      for (let i = 0; i < size * size; i++) {
        largest = Math.max(largest, Math.abs(255 * seen[c * size * size + i]! - resized.pixels[i * channels + c]!));
      }
    }
    // Half a step of 1/255, and float32.
    expect(largest).toBeLessThan(0.501);
  });

  it("of a very long picture takes memory for the result only", () => {
    const long = { height: 1, width: 2_000_000, channels: 1, pixels: new Uint8Array(2_000_000).fill(77) };
    expect([...new Set(resizePicture(long, 8).pixels)]).toEqual([77]);
    expect([...new Set(resizePicture({ ...long, height: 2_000_000, width: 1 }, 8).pixels)]).toEqual([77]);
  });
});

it("only pictures of more than 16 million pixels come to a model at its size", () => {
  const small = { height: 4000, width: 4000, channels: 1, pixels: new Uint8Array(16e6) };
  expect(forModel(small, 32)).toBe(small);
  const large = { height: 4000, width: 4001, channels: 1, pixels: new Uint8Array(4000 * 4001).fill(7) };
  expect(forModel(large, 32)).toEqual({ height: 32, width: 32, channels: 1, pixels: new Uint8Array(32 * 32).fill(7) });
});
