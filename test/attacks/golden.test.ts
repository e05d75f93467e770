import { readFileSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import { makeAttack } from "../../src/attacks/attacks.ts";
import { misclassified, targeted } from "../../src/attacks/criteria.ts";
import { type AttackedModel, GraphModel } from "../../src/attacks/model.ts";
import { Problem } from "../../src/attacks/problem.ts";
import { conv2d, matmul, parameter, relu, reshape } from "../../src/graph/build.ts";
import { classLogLikelihoods } from "../../src/nn/gaussians.ts";
import { Network } from "../../src/nn/network.ts";

// Every image at which an attack asks, against PyTorch in float64 (scripts/golden-attacks.py).

interface Case {
  readonly attack: string;
  readonly settings: Readonly<Record<string, unknown>>;
  readonly targeted: boolean;
  readonly epsilon?: number;
  /** Each [3, 1, side, side]. */
  readonly iterates: readonly (readonly number[])[];
  readonly result?: readonly number[];
}

interface Golden {
  readonly side: number;
  readonly channels: number;
  readonly features: number;
  readonly classes: number;
  readonly weights: Readonly<Record<"conv" | "linear" | "mean" | "logSigma", readonly number[]>>;
  readonly thresholds: readonly number[];
  readonly images: readonly number[];
  readonly labels: readonly number[];
  readonly targets: readonly number[];
  readonly cases: readonly Case[];
}

const golden = JSON.parse(readFileSync(new URL("../golden/attacks.json", import.meta.url), "utf8")) as Golden;
const { side, channels, features, classes, weights } = golden;
const size = side * side;

const network = new GraphModel(
  {
    shape: { channels: 1, height: side, width: side },
    classes,
    dimension: features,
    build: (graph, x) => {
      const y = relu(conv2d(x, parameter(graph, "conv", [channels, 1, 3, 3]), { stride: 1, padding: 1 }));
      const flat = reshape(y, [x.type.shape[0]!, channels * size]);
      const representation = matmul(flat, parameter(graph, "linear", [features, channels * size]), { transposeB: true });
      return { representation, scores: classLogLikelihoods(new Network(graph, "folded"), representation, classes, null) };
    },
    weights: new Map([
      ["conv", Float32Array.from(weights.conv)],
      ["linear", Float32Array.from(weights.linear)],
      ["gaussians.mean", Float32Array.from(weights.mean)],
      ["gaussians.logSigma", Float32Array.from(weights.logSigma)],
    ]),
    thresholds: Float32Array.from(golden.thresholds),
  },
  { threads: 1 },
);
afterAll(() => network.release());

/** The same model, which keeps the images it is asked about. */
function recorded(kind: "score" | "gradient"): { readonly model: AttackedModel; readonly asked: Float32Array[] } {
  const asked: Float32Array[] = [];
  const keep = (of: typeof kind, x: Float32Array) => {
    if (of === kind) asked.push(x.slice());
  };
  const { shape, dimension, thresholds } = network;
  const model: AttackedModel = {
    shape,
    classes,
    dimension,
    thresholds,
    score: (x) => {
      keep("score", x);
      return network.score(x);
    },
    gradient: (objective, x, inputs) => {
      keep("gradient", x);
      return network.gradient(objective, x, inputs);
    },
    release: () => network.release(),
  };
  return { model, asked };
}

function problemOf(model: AttackedModel, samples: readonly number[], isTargeted: boolean): Problem {
  return new Problem({
    model,
    images: Float32Array.from(samples.flatMap((i) => golden.images.slice(i * size, (i + 1) * size))),
    labels: Int32Array.from(samples, (i) => golden.labels[i]!),
    ...(isTargeted ? { targets: Int32Array.from(samples, (i) => golden.targets[i]!) } : {}),
    criterion: isTargeted ? targeted : misclassified,
    seed: 0,
    sampleIndices: samples,
  });
}

function expectNear(got: Float32Array, stored: readonly number[], what: string): void {
  expect(got.length, what).toBe(stored.length);
  const furthest = got.reduce((most, value, k) => Math.max(most, Math.abs(value - stored[k]!)), 0);
  expect(furthest, what).toBeLessThan(1e-4);
}

const everySample = golden.labels.map((_, i) => i);
const nameOf = ({ attack, settings, targeted: isTargeted }: Case) =>
  `${attack}${isTargeted ? ", targeted" : ""} ${JSON.stringify(settings)}`;
const casesOf = (isDeepfool: boolean) =>
  golden.cases.filter(({ attack }) => (attack === "deepfool") === isDeepfool).map((stored) => ({ name: nameOf(stored), stored }));

describe("iterates of all samples at once", () => {
  it.each(casesOf(false))("$name", async ({ stored }) => {
    const attack = makeAttack(stored.attack, stored.settings);
    const { model, asked } = recorded("gradient");
    const problem = problemOf(model, everySample, stored.targeted);
    const made = attack.kind === "minimal" ? await attack.perturb(problem) : await attack.perturb(problem, stored.epsilon!);
    expect(asked.length).toBe(stored.iterates.length);
    for (const [step, x] of asked.entries()) expectNear(x, stored.iterates[step]!, `iterate ${step}`);
    if (stored.result) expectNear(made, stored.result, "nearest adversarials");
  });
});

describe("iterates of one sample after another", () => {
  it.each(casesOf(true))("$name", async ({ stored }) => {
    const attack = makeAttack(stored.attack, stored.settings);
    if (attack.kind !== "minimal") throw new Error("expected a minimal attack");
    for (const sample of everySample) {
      const { model, asked } = recorded("score");
      const made = await attack.perturb(problemOf(model, [sample], stored.targeted));
      const of = (step: number) => stored.iterates[step]!.slice(sample * size, (sample + 1) * size);
      // Once it has crossed, it asks no more and stays where it is.
      expect(asked.length).toBeGreaterThan(1);
      for (const [step, x] of asked.entries()) expectNear(x, of(step), `sample ${sample}, iterate ${step}`);
      expectNear(made, of(stored.iterates.length - 1), `sample ${sample}, result`);
    }
  });
});
