import { appendFileSync, copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import type { EvaluationRecord } from "../../src/evaluate/record.ts";
import type { Rate } from "../../src/evaluate/robustness/rate.ts";
import type { RobustnessReport } from "../../src/evaluate/robustness/report.ts";
import { resolveConfig, type TrainConfig } from "../../src/train/config.ts";
import type { MetricsLine } from "../../src/train/metrics-log.ts";

// Folders of runs as a training leaves them, without training.

const parts = (step: number) => ({ mutualInformation: 1 + 1 / step, negativeLogLikelihood: 60 / step, margin: 20 / step });
const metrics = (step: number) => ({ loss: 100 / step, parts: parts(step), trainAccuracy: 1 - 1 / step });

export const stepsLine = (step: number, stepsPerEpoch = 100): MetricsLine => ({
  kind: "steps",
  step,
  epoch: step / stepsPerEpoch,
  learningRate: 0.003,
  imagesPerSecond: 500,
  ...metrics(step),
});

export const epochLine = (epoch: number, stepsPerEpoch = 100): MetricsLine => ({
  kind: "epoch",
  epoch,
  step: epoch * stepsPerEpoch,
  seconds: 61,
  elapsedSeconds: 61 * epoch,
  validation: { accuracy: 0.9 + epoch / 100, logLikelihood: -80 + epoch, rejectionRate: 0.012 },
  ...metrics(epoch * stepsPerEpoch),
});

export const appendMetrics = (run: string, ...lines: readonly MetricsLine[]): void =>
  appendFileSync(join(run, "metrics.jsonl"), lines.map((line) => `${JSON.stringify(line)}\n`).join(""));

/** Two epochs of a training that another process is at, before its first checkpoint. */
export function writeRunning(run: string, config: Partial<TrainConfig> = {}): void {
  mkdirSync(run, { recursive: true });
  writeFileSync(join(run, "config.json"), JSON.stringify({ ...resolveConfig({}), validation: 0.1, ...config }));
  writeFileSync(join(run, "training.lock"), JSON.stringify({ pid: process.ppid, host: hostname() }));
  const epochs = [1, 2].flatMap((epoch) => [...[20, 40, 60, 80, 100].map((step) => stepsLine(100 * (epoch - 1) + step)), epochLine(epoch)]);
  appendMetrics(run, ...epochs);
}

/** A run with the shipped digits' model, its evaluation (histograms and an example are made up) and a report of attacks. */
export function writeFinished(run: string): void {
  writeRunning(run, { epochs: 2 });
  rmSync(join(run, "training.lock"));
  copyFileSync("models/mnist/model.onnx", join(run, "model.onnx"));
  const record = JSON.parse(readFileSync("models/mnist/evaluation.json", "utf8")) as EvaluationRecord;
  const { classNames, ood } = record.evaluation;
  const wave = (centre: number) => classNames.map((_, c) => Array.from({ length: 60 }, (_, i) => centre - c + 12 * Math.sin(i)));
  const display: NonNullable<EvaluationRecord["display"]> = {
    thresholds: [1, 2].map((percentile) => ({ percentile, values: classNames.map((_, c) => -100 - c + percentile) })),
    scores: { inDistribution: wave(-60), outOfDistribution: ood.map(({ data }, i) => ({ data, byClass: wave(-400 - 100 * i) })) },
    examples: [{ title: "Rejected, the least likely first", examples: [example] }],
  };
  writeFileSync(join(run, "evaluation.json"), JSON.stringify({ ...record, display }));
  writeFileSync(join(run, "robustness.json"), JSON.stringify({ modelFile: record.modelFile, robustness }));
}

const example = {
  png: `data:image/png;base64,${readFileSync("samples/images/digit.png").toString("base64")}`,
  source: "mnist",
  trueLabel: "7",
  label: "1",
  accepted: false,
  logLikelihood: -300.4,
  threshold: -99.6,
  posterior: null,
};

const rate = (value: number): Rate => ({ value, of: 50, interval: { low: Math.max(0, value - 0.1), high: Math.min(1, value + 0.1) } });
const worst = (epsilon: number, evasion: number) => ({
  epsilon,
  success: rate(0.9),
  evasion: rate(evasion),
  robustAccuracy: rate(0.1),
  robustAccuracyWithRejection: rate(1 - evasion),
});
const curve = (last: number) => [
  { epsilon: 0, share: 0 },
  { epsilon: 0.1, share: last },
];

const robustness: RobustnessReport = {
  data: "mnist",
  samples: 51,
  attacked: 50,
  attackedAndAccepted: 49,
  percentile: 1,
  twin: null,
  attacks: [],
  worstCase: { linf: [worst(0.1, 0.4)], l2: [worst(2, 0.5)] },
  paperCase: { linf: [worst(0.1, 0.02)] },
  curves: { paperWrong: curve(0.8), paperEvading: curve(0.02), wrong: curve(0.9), evading: curve(0.4) },
  warnings: [{ kind: "zero-gradients", text: "pgd: up to 12.00% of its gradients were zero" }],
};
