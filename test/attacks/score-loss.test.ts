import { afterAll, describe, expect, it } from "vitest";
import { GraphModel } from "../../src/attacks/model.ts";
import { scoreLoss } from "../../src/attacks/score-loss.ts";
import { Random } from "../../src/core/random.ts";
import { reshape } from "../../src/graph/build.ts";

const [classes, count] = [5, 40];
const random = new Random(3);
/** Its images are its class scores. */
const model = new GraphModel(
  {
    shape: { channels: 1, height: 1, width: classes },
    classes,
    dimension: classes,
    build: (_, x) => ({ representation: reshape(x, [x.type.shape[0]!, classes]), scores: reshape(x, [x.type.shape[0]!, classes]) }),
    weights: new Map(),
    thresholds: Float32Array.of(-3, 1, 0.5, -1, 2),
    logPriors: Float32Array.of(-1, -2, -0.5, -3, -4),
  },
  { threads: 1 },
);
afterAll(() => model.release());
const scores = Float32Array.from({ length: count * classes }, () => 4 * random.normal());
const labels = Int32Array.from({ length: count }, () => random.below(classes));
const targets = labels.map((label) => (label + 1 + random.below(classes - 1)) % classes);
const goals = (targeted: boolean) => Array.from(labels, (label, i) => ({ label, target: targeted ? targets[i]! : undefined }));

describe("losses of scores", () => {
  it.each(
    (["margin", "cross-entropy", "accepted"] as const).flatMap((kind) => [
      { kind, targeted: false },
      { kind, targeted: true },
    ]),
  )("are the graph's objectives: $kind, targeted $targeted", async ({ kind, targeted }) => {
    const { objective } = await model.gradient({ kind, targeted }, scores, { labels, targets });
    const losses = scoreLoss(kind, model, scores, goals(targeted));
    for (let i = 0; i < count; i++) expect(losses[i]).toBeCloseTo(objective[i]!, 4);
  });

  it.each([false, true])("odds are those of the posterior, targeted %s", (targeted) => {
    const crossEntropies = scoreLoss("cross-entropy", model, scores, goals(targeted));
    const odds = scoreLoss("odds", model, scores, goals(targeted));
    for (let i = 0; i < count; i++) {
      const posterior = Math.exp(targeted ? crossEntropies[i]! : -crossEntropies[i]!);
      expect(odds[i]).toBeCloseTo((targeted ? 1 : -1) * Math.log(posterior / (1 - posterior)), 6);
    }
  });

  it("odds tell posteriors apart that are 1 in any precision", () => {
    const sure = Float32Array.of(2000, 0, 0, 0, 0, 1999, 0, 0, 0, 0);
    const same = [0, 0].map((label) => ({ label, target: undefined }));
    const [a, b] = scoreLoss("odds", model, sure, same);
    expect(b! - a!).toBeCloseTo(1, 6);
    expect(Array.from(scoreLoss("cross-entropy", model, sure, same))).toEqual([0, 0]);
  });
});
