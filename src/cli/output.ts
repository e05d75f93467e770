import { percent } from "../evaluate/summary.ts";
import { bestValidated, type EpochRecord, isExhausted, type ValidationScore } from "../train/records.ts";
import type { TrainProgress } from "../train/train.ts";

/**
 * Text with what would steer a terminal, or turn the direction of writing, as JSON writes it (`\u001b`); line ends and tabs stay. Names of files and
 * classes come from anywhere, so all that is printed goes through here, except what we steer the terminal with ourselves.
 */
export const visible = (text: string): string =>
  text.replace(/(?![\n\t])[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu, (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`);

/** One JSON document on stdout, for programs; everything else goes to stderr. */
export const printJson = (document: unknown): void => printLine(JSON.stringify(document, null, 2));

/** What a person asked for: stdout. */
export const printLine = (text: string): void => {
  process.stdout.write(`${visible(text)}\n`);
};

/** What happens meanwhile: stderr. */
export const note = (text: string): void => {
  process.stderr.write(`${visible(text)}\n`);
};

/** Milliseconds between two plain progress lines where there is no terminal. */
const plainEvery = 10_000;

/** A line that is written over on a terminal, and now and then a plain line elsewhere. */
export class ProgressLine {
  private lastAt = 0;
  private shown = false;

  show(text: string, isLast = false): void {
    const now = performance.now();
    if (process.stderr.isTTY) {
      if (now - this.lastAt < 100 && !isLast) return;
      process.stderr.write(`\r\u001b[2K${visible(text).slice(0, process.stderr.columns - 1)}`);
      this.shown = true;
    } else {
      if (now - this.lastAt < plainEvery && !isLast && this.lastAt > 0) return;
      note(text);
    }
    this.lastAt = now;
  }

  end(): void {
    if (this.shown) process.stderr.write("\n");
    this.shown = false;
  }
}

export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)];
  if (hours > 0) return `${hours} h ${minutes} min`;
  return minutes > 0 ? `${minutes} min ${whole % 60} s` : `${whole} s`;
}

const shortNames: Readonly<Record<string, string>> = {
  mutualInformation: "MI",
  negativeLogLikelihood: "NLL",
  margin: "margin",
  crossEntropy: "CE",
};

/** `(MI 0.37  NLL 8.17  margin 3.65)` */
export const partsOf = ({ parts }: Pick<TrainProgress, "parts">): string =>
  `(${Object.entries(parts)
    .map(([name, value]) => `${shortNames[name] ?? name} ${value.toFixed(2)}`)
    .join("  ")})`;

/** `epoch 0.43/2  loss 12.19 (MI 0.37  NLL 8.17  margin 3.65)  train 97.7%  366 images/s  4 min 2 s left` */
export function describeProgress(p: TrainProgress): string {
  const accuracy = `batch accuracy ${(100 * p.trainAccuracy).toFixed(1)}%`;
  return `epoch ${p.epoch.toFixed(2)}/${p.epochs}  loss ${p.loss.toFixed(2)} ${partsOf(p)}  ${accuracy}  ${p.imagesPerSecond.toFixed(0)} images/s  ${duration(p.secondsLeft)} left`;
}

/** `validation 98.10%, log-likelihood -70.1, 1.20% rejected` */
function describeValidation({ accuracy, logLikelihood, rejectionRate }: ValidationScore): string {
  const rejected = rejectionRate === null ? "" : `, ${percent(rejectionRate)} rejected`;
  return `validation ${percent(accuracy)}, log-likelihood ${logLikelihood.toFixed(1)}${rejected}`;
}

/** `epoch 3 done: loss 12.19 (MI 0.37  NLL 8.17  margin 3.65)  training accuracy 97.70%  41 s`, and the validation where there is one */
export function describeEpoch(record: EpochRecord): string {
  const { epoch, loss, trainAccuracy, validation, seconds } = record;
  const held = validation ? `  ${describeValidation(validation)}` : "";
  const done = Number.isInteger(epoch) ? String(epoch) : epoch.toFixed(2);
  return `epoch ${done} done: loss ${loss.toFixed(2)} ${partsOf(record)}  training accuracy ${percent(trainAccuracy)}${held}  ${duration(seconds)}`;
}

/** Says so where patience ended a training, undefined where it did not. */
export function describeEarlyEnd(epochs: readonly EpochRecord[], patience: number | null): string | undefined {
  const best = bestValidated(epochs);
  if (!best || !isExhausted(epochs, patience)) return undefined;
  return `ended early, after ${epochs.length} epochs: none of the last ${patience} had a better validation score than epoch ${best.epoch}`;
}
