import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Random } from "../../src/core/random.ts";
import * as b from "../../src/graph/build.ts";
import { gradients } from "../../src/graph/gradients.ts";
import { Graph, type Value } from "../../src/graph/graph.ts";
import { sameShape } from "../../src/graph/types.ts";
import { expectSameAsReference, layouts, randomTensor } from "../support/graphs.ts";

/** One node: which op, on which of the images so far, and with which other. */
type Step = readonly [op: number, image: number, other: number];

const sizes = (x: Value) => x.type.shape as [number, number, number, number];

/** A random network of whole blocks and others, 8 x 4 pixels: images that are used twice, summed, sampled, cut and padded. */
function grow(steps: readonly Step[]): { readonly graph: Graph; readonly images: readonly Value[] } {
  const graph = new Graph();
  const images = [b.parameter(graph, "x", [16, 16, 8, 4]), b.parameter(graph, "stem", [16, 3, 8, 4])];
  for (const [i, [op, image, other]] of steps.entries()) {
    const x = images[image % images.length]!;
    const [, channels, height, width] = sizes(x);
    const fits = images.filter((y) => sameShape(y.type.shape, x.type.shape));
    const convolve = (filters: number, kernel: number, stride: number) =>
      b.conv2d(x, b.parameter(graph, `w${i}`, [filters, channels, kernel, kernel]), { stride, padding: kernel >> 1 });
    const isEven = height % 2 === 0 && width % 2 === 0;
    const sampled = () => (isEven ? b.slice(x, { 2: [0, height, 2], 3: [0, width, 2] }) : x);
    const makers: (() => Value)[] = [
      () => convolve(16, 3, 1),
      () => convolve(32, 3, isEven ? 2 : 1),
      () => convolve(channels, 1, 1),
      () => b.relu(x),
      () => b.add(x, fits[other % fits.length]!),
      () => b.channelAffine(x, b.parameter(graph, `scale${i}`, [channels]), b.parameter(graph, `shift${i}`, [channels])),
      () => b.pad(sampled(), { 1: [16, 0] }),
      () => (channels > 16 ? b.slice(x, { 1: [other % 2 === 0 ? 16 : 8, channels] }) : sampled()),
      () => b.sub(b.relu(x), fits[other % fits.length]!),
      () => b.pad(sampled(), { 2: [0, 1, 1], 3: [0, 1, 1] }),
    ];
    images.push(makers[op]!());
  }
  return { graph, images };
}

/** Small whole numbers, mostly 0 in the weights: sums are exact in float32, so no rounding moves a number across a ReLU's kink. */
const draw =
  (name: string) =>
  (random: Random): number =>
    name.startsWith("w") && random.below(12) > 0 ? 0 : random.below(5) - 2;

describe.runIf(layouts.length > 1)("random networks of images", () => {
  it("have the reference's values and gradients in every layout", async () => {
    const step = fc.tuple(fc.nat({ max: 9 }), fc.nat({ max: 15 }), fc.nat({ max: 15 }));
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 8 }), async (steps) => {
        const { graph, images } = grow(steps);
        const used = new Set(images.flatMap(({ inputs }) => inputs));
        const ends = images.filter((image) => !used.has(image));
        const loss = ends
          .map((end, i) => b.add(b.sum(b.mul(end, b.parameter(graph, `loss${i}`, sizes(end)))), b.sum(b.channelDot(end, end))))
          .reduce((total, part) => b.add(total, part));
        const wrt = graph.parameters().filter(({ name }) => !name.startsWith("loss"));
        const random = new Random(2);
        const feeds = new Map(graph.parameters().map(({ name, type }) => [name, randomTensor(random, type.shape as number[], draw(name))]));
        const slopes = gradients(loss, wrt).map((slope, i) => [`gradient ${wrt[i]!.name}`, slope] as const);
        await expectSameAsReference(
          { ...Object.fromEntries(ends.map((end, i) => [`end${i}`, end])), ...Object.fromEntries(slopes) },
          feeds,
          1e-6,
        );
      }),
      { seed: 3, numRuns: 60 },
    );
    expect.hasAssertions();
  });
});
