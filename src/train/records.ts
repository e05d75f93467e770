import { z } from "zod";

/** Averages over the steps since the record before. */
export const historyRecord = z.strictObject({
  step: z.int(),
  epoch: z.number(),
  loss: z.number(),
  parts: z.record(z.string(), z.number()),
  trainAccuracy: z.number(),
  learningRate: z.number(),
  imagesPerSecond: z.number(),
});
export type HistoryRecord = z.infer<typeof historyRecord>;

/** What the weights that would be exported say of the held-out images. */
const validationScore = z.strictObject({
  /** Higher is better. */
  accuracy: z.number(),
  /** Mean log p(z|true class), nats; higher is better. */
  logLikelihood: z.number(),
  /** Share rejected at the config's percentile of as many training images; null where a class has no correct one to take it from. */
  rejectionRate: z.number().nullable(),
});
export type ValidationScore = z.infer<typeof validationScore>;

/** One epoch: averages over its steps, and what the held-out images say after it. */
export const epochRecord = z.strictObject({
  /** Epochs done; a fraction where the training ends within one. */
  epoch: z.number(),
  step: z.int(),
  loss: z.number(),
  parts: z.record(z.string(), z.number()),
  trainAccuracy: z.number(),
  /** Of this epoch, validation included, and of the training so far. */
  seconds: z.number(),
  elapsedSeconds: z.number(),
  validation: validationScore.nullable(),
});
export type EpochRecord = z.infer<typeof epochRecord>;

/** Sums of a step's metrics, and over how many steps. */
export const runningSums = z.strictObject({ steps: z.int(), sums: z.record(z.string(), z.number()) });
export type RunningSums = z.infer<typeof runningSums>;

export const noSums = (): RunningSums => ({ steps: 0, sums: {} });

export const withStep = ({ steps, sums }: RunningSums, metrics: Readonly<Record<string, number>>): RunningSums => ({
  steps: steps + 1,
  sums: Object.fromEntries(Object.entries(metrics).map(([name, value]) => [name, (sums[name] ?? 0) + value])),
});

export type NamedMetrics = Pick<HistoryRecord, "loss" | "parts" | "trainAccuracy">;

/** A step's metrics, with the parts of the loss apart from the loss itself. */
export function named({ loss, trainAccuracy, ...parts }: Readonly<Record<string, number>>): NamedMetrics {
  return { loss: loss!, parts, trainAccuracy: trainAccuracy! };
}

export const means = ({ steps, sums }: RunningSums): NamedMetrics =>
  named(Object.fromEntries(Object.entries(sums).map(([name, sum]) => [name, sum / steps])));

/** More images right; with as many right, a higher log-likelihood. */
export const isBetter = (a: ValidationScore, b: ValidationScore): boolean =>
  a.accuracy > b.accuracy || (a.accuracy === b.accuracy && a.logLikelihood > b.logLikelihood);

/** The epoch with the best validation score, the first among equals. */
export function bestValidated(epochs: readonly EpochRecord[]): EpochRecord | undefined {
  return epochs.reduce<EpochRecord | undefined>(
    (best, record) => (record.validation && (!best?.validation || isBetter(record.validation, best.validation)) ? record : best),
    undefined,
  );
}

/** The epoch with the lowest training loss, the first among equals. */
export const lowestLoss = (epochs: readonly EpochRecord[]): EpochRecord | undefined =>
  epochs.reduce<EpochRecord | undefined>((best, record) => (best && best.loss <= record.loss ? best : record), undefined);

/** Whether `patience` epochs have gone by without a better validation score. */
export function isExhausted(epochs: readonly EpochRecord[], patience: number | null): boolean {
  const best = bestValidated(epochs);
  return patience !== null && best !== undefined && epochs.length - 1 - epochs.indexOf(best) >= patience;
}
