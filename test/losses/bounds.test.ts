import { describe, expect, it } from "vitest";
import { Random } from "../../src/core/random.ts";
import * as b from "../../src/graph/build.ts";
import { gradients } from "../../src/graph/gradients.ts";
import { Graph, type Value } from "../../src/graph/graph.ts";
import { evaluate, type Reference } from "../../src/graph/reference.ts";
import { boundConstants, type MiBound, miBounds, mutualInformationLoss } from "../../src/losses/bounds.ts";
import type { Scores } from "../../src/nn/critic.ts";
import { expectGradientsMatchDifferences, expectSameAsReference, randomTensor } from "../support/graphs.ts";

const lossAt = (loss: Value, feeds = new Map<string, Reference>()) => evaluate([loss], feeds)[0]!.data[0]!;

/** Sixteen equally likely draws from the joint, and from the product of its marginals, of two coins that agree three times in four. */
const joint = { same: 12, different: 4 };
const product = { same: 8, different: 8 };
const draws = (counts: typeof joint, same: number, different: number) => [
  ...new Array<number>(counts.same).fill(same),
  ...new Array<number>(counts.different).fill(different),
];
const ratio = (kind: keyof typeof joint) => joint[kind] / product[kind];
const expectation = (f: (ratio: number) => number) => (product.same * f(ratio("same")) + product.different * f(ratio("different"))) / 16;

/** The critic at which each bound is tight, as a function of the density ratio u, and the divergence E_M[f(u)] it then is. */
const tight: Record<Exclude<MiBound, "info-nce">, { readonly critic: (u: number) => number; readonly divergence: number }> = {
  "jensen-shannon": { critic: Math.log, divergence: expectation((u) => u * Math.log(u) - (1 + u) * Math.log((1 + u) / 2)) },
  "donsker-varadhan": { critic: (u) => Math.log(u) + 5, divergence: expectation((u) => u * Math.log(u)) },
  kl: { critic: (u) => 1 + Math.log(u), divergence: expectation((u) => u * Math.log(u)) },
  "reverse-kl": { critic: Math.log, divergence: expectation((u) => -Math.log(u)) },
  pearson: { critic: (u) => 2 * (u - 1), divergence: expectation((u) => (u - 1) ** 2) },
  "squared-hellinger": { critic: (u) => 0.5 * Math.log(u), divergence: expectation((u) => (Math.sqrt(u) - 1) ** 2) },
};

describe.each(Object.entries(tight) as [MiBound, (typeof tight)["kl"]][])("%s", (bound, { critic, divergence }) => {
  const boundAt = (same: number, different: number): number => {
    const graph = new Graph();
    const positive = b.constant(graph, draws(joint, same, different), [16, 1]);
    const negative = b.constant(graph, draws(product, same, different), [16, 1]);
    return boundConstants[bound] - lossAt(mutualInformationLoss({ positive, negative }, bound));
  };
  const [same, different] = [critic(ratio("same")), critic(ratio("different"))];

  it("is the divergence at its best critic", () => {
    expect(boundAt(same, different)).toBeCloseTo(divergence, 12);
  });

  it("is below it at every other", () => {
    for (const [a, d] of [
      [0.1, 0],
      [0, -0.1],
      [-0.3, 0.2],
      [1, -1],
    ] as const) {
      expect(boundAt(same + a, different + d)).toBeLessThan(divergence);
    }
  });
});

const count = 4;
const positions = 3;

function scoresOf(graph: Graph, kind: "shuffled" | "all-pairs"): Scores {
  if (kind === "shuffled")
    return { positive: b.parameter(graph, "own", [count, positions]), negative: b.parameter(graph, "other", [count, positions]) };
  const all = b.parameter(graph, "all", [count, count, positions]);
  const same = b.constant(
    graph,
    Array.from({ length: count * count }, (_, i) => Number(i % (count + 1) === 0)),
    [count, count, 1],
  );
  return { positive: b.mul(b.mean(b.mul(all, same), [1]), count), negative: all, negativeMask: b.sub(1, same) };
}

const feedsFor = (graph: Graph, scale = 1) => {
  const random = new Random(3);
  return new Map(
    graph.parameters().map(({ name, type }) => [name, randomTensor(random, type.shape as number[], (r) => scale * r.normal())]),
  );
};

const meanOf = (values: readonly number[]) => values.reduce((a, c) => a + c, 0) / values.length;

/** Each bound again, written out for one position: `own` [N], and per image its `others`. */
const plainly: Record<MiBound, (own: number[], others: number[][]) => number> = {
  "jensen-shannon": (own, others) =>
    meanOf(own.map((t) => Math.log1p(Math.exp(-t)))) + meanOf(others.flat().map((t) => Math.log1p(Math.exp(t)))),
  "donsker-varadhan": (own, others) => Math.log(meanOf(others.flat().map(Math.exp))) - meanOf(own),
  "info-nce": (own, others) => meanOf(own.map((t, i) => Math.log(meanOf([t, ...others[i]!].map(Math.exp))) - t)),
  kl: (own, others) => meanOf(others.flat().map((t) => Math.exp(t - 1))) - meanOf(own),
  "reverse-kl": (own, others) => meanOf(own.map((t) => Math.exp(-t))) + meanOf(others.flat()),
  pearson: (own, others) => meanOf(others.flat().map((t) => t * t * 0.25 + t)) - meanOf(own),
  "squared-hellinger": (own, others) => meanOf(own.map((t) => Math.exp(-t))) + meanOf(others.flat().map(Math.exp)),
};

describe.each(miBounds.flatMap((bound) => (["shuffled", "all-pairs"] as const).map((negatives) => ({ bound, negatives }))))(
  "$bound, $negatives",
  ({ bound, negatives }) => {
    const graph = new Graph();
    const loss = mutualInformationLoss(scoresOf(graph, negatives), bound);
    const feeds = feedsFor(graph);
    const wrt = graph.parameters();

    it("is the mean over positions of its formula", () => {
      const at = (name: string, ...index: number[]) => {
        const { shape, data } = feeds.get(name)!;
        return data[index.reduce((offset, i, axis) => offset * shape[axis]! + i, 0)]!;
      };
      const images = [...Array(count).keys()];
      const perPosition = [...Array(positions).keys()].map((p) =>
        negatives === "shuffled"
          ? plainly[bound](
              images.map((i) => at("own", i, p)),
              images.map((i) => [at("other", i, p)]),
            )
          : plainly[bound](
              images.map((i) => at("all", i, i, p)),
              images.map((i) => images.filter((j) => j !== i).map((j) => at("all", i, j, p))),
            ),
      );
      expect(lossAt(loss, feeds)).toBeCloseTo(meanOf(perPosition), 12);
    });

    it("has the gradient of its differences, and the runtime's numbers", async () => {
      const slopes = gradients(loss, wrt);
      expectGradientsMatchDifferences(loss, wrt, slopes, feeds);
      await expectSameAsReference({ loss, ...Object.fromEntries(slopes.map((slope, i) => [`slope${i}`, slope])) }, feeds, 1e-5);
    });

    it.runIf(bound === "donsker-varadhan" || bound === "info-nce" || bound === "jensen-shannon")(
      "stays finite at scores of 1000",
      async () => {
        const large = feedsFor(graph, 1000);
        await expectSameAsReference(
          { loss, ...Object.fromEntries(gradients(loss, wrt).map((slope, i) => [`slope${i}`, slope])) },
          large,
          1e-5,
        );
      },
    );
  },
);
