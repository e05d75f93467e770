import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { buildObjective, losses, type Objective } from "../../src/attacks/objectives.ts";
import { Random } from "../../src/core/random.ts";
import { add, input, parameter, sum } from "../../src/graph/build.ts";
import { gradients } from "../../src/graph/gradients.ts";
import { Graph } from "../../src/graph/graph.ts";
import { evaluate } from "../../src/graph/reference.ts";
import { expectGradientsMatchDifferences, expectSameAsReference, type Feeds } from "../support/graphs.ts";

const dimension = 3;

/** Of one sample. */
interface Case {
  readonly scores: readonly number[];
  readonly logPriors: readonly number[];
  readonly thresholds: readonly number[];
  readonly label: number;
  readonly target: number;
  readonly weights: readonly number[];
  readonly representation: readonly number[];
  readonly anchor: readonly number[];
}

const objectives: readonly Objective[] = [
  ...losses.flatMap((kind) => [
    { kind, targeted: false },
    { kind, targeted: true },
  ]),
  { kind: "weighted" },
  { kind: "matching" },
];
const nameOf = (objective: Objective) => ("targeted" in objective && objective.targeted ? `targeted ${objective.kind}` : objective.kind);

/** The formulas once more, by loops over numbers. */
function byHand(objective: Objective, { scores, logPriors, thresholds, label, target, weights, representation, anchor }: Case): number {
  const s = scores.map((score, c) => score + logPriors[c]!);
  const others = (c: number) => s.filter((_, k) => k !== c);
  const dot = (a: readonly number[], b: readonly number[]) => a.reduce((total, value, k) => total + value * b[k]!, 0);
  if (objective.kind === "weighted") return dot(scores, weights);
  if (objective.kind === "matching") return -representation.reduce((total, value, k) => total + (value - anchor[k]!) ** 2, 0);
  const top = Math.max(...s);
  const logSum = top + Math.log(s.reduce((total, value) => total + Math.exp(value - top), 0));
  const sorted = s.toSorted((a, b) => b - a) as [number, number, number, number];
  const { targeted } = objective;
  switch (objective.kind) {
    case "cross-entropy":
      return targeted ? s[target]! - logSum : logSum - s[label]!;
    case "margin":
      return targeted ? s[target]! - Math.max(...others(target)) : Math.max(...others(label)) - s[label]!;
    case "dlr":
      return targeted
        ? (s[target]! - s[label]!) / Math.max(1e-12, sorted[0] - (sorted[2] + sorted[3]) / 2)
        : (Math.max(...others(label)) - s[label]!) / Math.max(1e-12, sorted[0] - sorted[2]);
    case "accepted": {
      const margins = s.map((value, c) => Math.min(value - Math.max(...others(c)), scores[c]! - thresholds[c]!));
      return targeted ? margins[target]! : Math.max(...margins.filter((_, c) => c !== label));
    }
  }
}

/** The objective of several samples as a graph, and what to feed it. */
function graphOf(objective: Objective, cases: readonly Case[]) {
  const graph = new Graph();
  const count = cases.length;
  const [{ logPriors, thresholds }] = cases as [Case];
  const classes = logPriors.length;
  const scores = input(graph, "scores", "float32", [count, classes]);
  const representation = input(graph, "representation", "float32", [count, dimension]);
  const value = buildObjective(objective, {
    decision: add(scores, parameter(graph, "logPriors", [classes])),
    scores,
    representation,
    thresholds: parameter(graph, "thresholds", [classes]),
    classes,
    label: () => input(graph, "labels", "int64", [count]),
    target: () => input(graph, "targets", "int64", [count]),
    classWeights: () => input(graph, "classWeights", "float32", [count, classes]),
    anchors: () => input(graph, "anchors", "float32", [count, dimension]),
  });
  const of = objective.kind === "matching" ? representation : scores;
  const [gradient] = gradients(sum(value), [of]);
  const reference = (data: readonly number[], shape: readonly number[] = [data.length]) => ({ shape, data: Float64Array.from(data) });
  const matrix = (pick: (one: Case) => readonly number[]) => reference(cases.flatMap(pick), [count, pick(cases[0]!).length]);
  const feeds: Feeds = new Map([
    ["scores", matrix((one) => one.scores)],
    ["representation", matrix((one) => one.representation)],
    ["logPriors", reference(logPriors)],
    ["thresholds", reference(thresholds)],
    ["labels", reference(cases.map(({ label }) => label))],
    ["targets", reference(cases.map(({ target }) => target))],
    ["classWeights", matrix((one) => one.weights)],
    ["anchors", matrix((one) => one.anchor)],
  ]);
  return { value, of, gradient: gradient!, feeds };
}

const valuesOf = (objective: Objective, cases: readonly Case[]): number[] => {
  const { value, feeds } = graphOf(objective, cases);
  return Array.from(evaluate([value], feeds)[0]!.data);
};
const gradientOf = (objective: Objective, one: Case): number[] => {
  const { gradient, feeds } = graphOf(objective, [one]);
  return Array.from(evaluate([gradient], feeds)[0]!.data);
};

/** float32 values, that the runtime sees what the reference sees. */
function randomCases(count: number, classes: number, scale: number): Case[] {
  const random = new Random(7);
  const draw = (length: number, by: number) => Array.from({ length }, () => Math.fround(by * random.normal()));
  const shared = { logPriors: draw(classes, 1), thresholds: draw(classes, scale) };
  return Array.from({ length: count }, (_, i) => ({
    ...shared,
    scores: draw(classes, scale),
    label: i % classes,
    target: (i + 1) % classes,
    weights: draw(classes, 1),
    representation: draw(dimension, 1),
    anchor: draw(dimension, 1),
  }));
}

describe.each(objectives.map((objective) => ({ name: nameOf(objective), objective })))("$name", ({ objective }) => {
  it.each([1, 100])("is the formula, in float64 and by the engine, at scores of about %d nats", async (scale) => {
    const cases = randomCases(8, 5, scale);
    const { value, gradient, feeds } = graphOf(objective, cases);
    const got = evaluate([value], feeds)[0]!.data;
    for (const [i, one] of cases.entries()) expect(got[i]).toBeCloseTo(byHand(objective, one), 10);
    await expectSameAsReference({ value, gradient }, feeds, 1e-5);
  });

  it("has the slope that finite differences have", () => {
    const { value, of, gradient, feeds } = graphOf(objective, randomCases(8, 5, 3));
    expectGradientsMatchDifferences(sum(value), [of], [gradient], feeds);
  });

  it("stays finite a million nats down", async () => {
    const cases = randomCases(4, 5, 1).map((one) => ({ ...one, scores: one.scores.map((score) => Math.fround(score * 5e5 - 1e6)) }));
    const { value, gradient, feeds } = graphOf(objective, cases);
    const got = evaluate([value], feeds)[0]!.data;
    for (const [i, one] of cases.entries()) {
      const expected = byHand(objective, one);
      expect(Math.abs(got[i]! - expected)).toBeLessThanOrEqual(1e-10 * Math.abs(expected));
    }
    await expectSameAsReference({ value, gradient }, feeds, 1e-5);
  });
});

const plain: Case = {
  scores: [1, 0, -1],
  logPriors: [0, 0, 0],
  thresholds: [-5, -5, -5],
  label: 0,
  target: 1,
  weights: [1, 1, 1],
  representation: [0, 0, 0],
  anchor: [0, 0, 0],
};

describe("extremes", () => {
  it("two classes: margin and acceptance need no third", () => {
    const two = { ...plain, scores: [3, -4], logPriors: [0, 0.5], thresholds: [0, -3], weights: [1, 1] };
    expect(valuesOf({ kind: "margin", targeted: false }, [two])).toEqual([-6.5]);
    expect(valuesOf({ kind: "margin", targeted: true }, [two])).toEqual([-6.5]);
    expect(valuesOf({ kind: "accepted", targeted: false }, [two])).toEqual([-6.5]);
    expect(valuesOf({ kind: "accepted", targeted: false }, [{ ...two, scores: [-4.5, -4] }])).toEqual([-1]);
  });

  it("ties: a margin of zero, and a slope that leads out of it", () => {
    const tie = { ...plain, scores: [2, 2, -1] };
    expect(valuesOf({ kind: "margin", targeted: false }, [tie])).toEqual([0]);
    expect(gradientOf({ kind: "margin", targeted: false }, tie)).toEqual([-1, 1, 0]);
    expect(valuesOf({ kind: "accepted", targeted: true }, [tie])).toEqual([0]);
    // All scores equal: dlr divides by nothing, and must stay finite.
    const flat = { ...plain, scores: [2, 2, 2] };
    expect(valuesOf({ kind: "dlr", targeted: false }, [flat])).toEqual([0]);
    expect(gradientOf({ kind: "dlr", targeted: false }, flat).every(Number.isFinite)).toBe(true);
  });

  it("cross-entropy has no slope where it is saturated, a margin has: masked gradients that the zero-gradient count shows", () => {
    const sure = { ...plain, scores: [-100, -1000, -1200] };
    expect(gradientOf({ kind: "cross-entropy", targeted: false }, sure)).toEqual([0, 0, 0]);
    expect(gradientOf({ kind: "margin", targeted: false }, sure)).toEqual([-1, 1, 0]);
  });

  it("accepted climbs to the class first, then to its threshold", () => {
    const objective = { kind: "accepted", targeted: true } as const;
    // Wins against class 0 only by 8 more nats, and is accepted: the margin counts.
    expect(gradientOf(objective, { ...plain, scores: [4, -4, -9] })).toEqual([-1, 1, 0]);
    // Wins, and is 3 nats below its threshold: the threshold counts, and the rival does not.
    const rejected = { ...plain, scores: [-20, -8, -30] };
    expect(valuesOf(objective, [rejected])).toEqual([-3]);
    expect(gradientOf(objective, rejected)).toEqual([0, 1, 0]);
  });
});

describe("signs", () => {
  const someCase = fc.integer({ min: 2, max: 5 }).chain((classes) => {
    // Small integers: ties are frequent.
    const vector = fc.array(fc.integer({ min: -4, max: 4 }), { minLength: classes, maxLength: classes });
    const index = fc.integer({ min: 0, max: classes - 1 });
    return fc
      .record({ scores: vector, logPriors: vector, thresholds: vector, label: index, target: index })
      .map((drawn): Case => ({ ...plain, ...drawn }));
  });
  const verdict = ({ scores, logPriors, thresholds }: Case) => {
    const decision = scores.map((score, c) => score + logPriors[c]!);
    const label = decision.indexOf(Math.max(...decision));
    return { label, accepted: scores[label]! >= thresholds[label]! };
  };

  it("a margin is positive just where the label differs, ties aside", () => {
    fc.assert(
      fc.property(someCase, (one) => {
        const { label } = verdict(one);
        const [untargeted] = valuesOf({ kind: "margin", targeted: false }, [one]) as [number];
        if (untargeted !== 0) expect(untargeted > 0).toBe(label !== one.label);
        const [targeted] = valuesOf({ kind: "margin", targeted: true }, [one]) as [number];
        if (targeted !== 0) expect(targeted > 0).toBe(label === one.target);
      }),
    );
  });

  it("accepted is positive only where the label differs and is accepted, and negative only where not", () => {
    fc.assert(
      fc.property(someCase, (one) => {
        const { label, accepted } = verdict(one);
        const [untargeted] = valuesOf({ kind: "accepted", targeted: false }, [one]) as [number];
        if (untargeted !== 0) expect(untargeted > 0).toBe(label !== one.label && accepted);
        const [targeted] = valuesOf({ kind: "accepted", targeted: true }, [one]) as [number];
        if (targeted !== 0) expect(targeted > 0).toBe(label === one.target && accepted);
      }),
    );
  });
});
