import type { EpochRecord } from "../train/records.ts";
import type { TrainProgress } from "../train/train.ts";
import { describeEpoch, describeProgress, duration, note, ProgressLine, partsOf } from "./output.ts";
import { bar, sparkline } from "./plot.ts";

/** Where a view is drawn: stderr, or a test's. */
export interface Terminal {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** Losses of a training so far, in at most `limit` points: when they are too many, neighbours are averaged. */
export class LossTrace {
  private readonly limit: number;
  private stepsPerPoint = 1;
  private points: number[] = [];
  private sum = 0;
  private count = 0;

  constructor(limit = 512) {
    this.limit = limit;
  }

  add(loss: number): void {
    this.sum += loss;
    if (++this.count < this.stepsPerPoint) return;
    this.points.push(this.sum / this.count);
    [this.sum, this.count] = [0, 0];
    if (this.points.length < this.limit) return;
    this.points = Array.from({ length: this.limit / 2 }, (_, i) => (this.points[2 * i]! + this.points[2 * i + 1]!) / 2);
    this.stepsPerPoint *= 2;
  }

  get values(): readonly number[] {
    return this.points;
  }
}

/** A training as lines of at most `width` characters. */
export function renderTraining(p: TrainProgress, losses: readonly number[], width: number): string[] {
  const inEpoch = ((p.step - 1) % p.stepsPerEpoch) + 1;
  const epoch = Math.floor((p.step - 1) / p.stepsPerEpoch) + 1;
  const epochSteps = Math.min(p.stepsPerEpoch, p.steps - (epoch - 1) * p.stepsPerEpoch);
  const lines = [
    `epoch ${epoch} of ${Math.ceil(p.epochs)}  ${bar(inEpoch / epochSteps, 30)}  step ${p.step} of ${p.steps}`,
    `loss ${p.loss.toFixed(2)}  ${partsOf(p)}  batch accuracy ${(100 * p.trainAccuracy).toFixed(1)}%`,
    `${p.imagesPerSecond.toFixed(0)} images/s  learning rate ${p.learningRate.toPrecision(3)}  ${duration(p.secondsLeft)} left`,
    losses.length > 1
      ? `loss  ${sparkline(losses, Math.max(1, width - 24))}  ${losses[0]!.toFixed(2)} to ${losses.at(-1)!.toFixed(2)}`
      : "",
  ];
  return lines.filter((line) => line !== "").map((line) => line.slice(0, width));
}

/** A terminal that does not say has 80; some say 0. */
const columnsOf = ({ columns }: Terminal): number => (columns === undefined || columns < 20 ? 80 : columns);

/** Milliseconds between two drawings. */
const redrawEvery = 200;

/** A training as it goes on: lines that are drawn over on a terminal, plain lines elsewhere. */
export class TrainingView {
  private readonly terminal: Terminal;
  private readonly plain = new ProgressLine();
  private readonly losses = new LossTrace();
  private drawn = 0;
  private drawnAt = Number.NEGATIVE_INFINITY;
  private last: TrainProgress | undefined;

  constructor(terminal: Terminal = process.stderr) {
    this.terminal = terminal;
  }

  show(progress: TrainProgress): void {
    const isLast = progress.step === progress.steps;
    if (!this.terminal.isTTY) {
      this.plain.show(describeProgress(progress), isLast);
      return;
    }
    this.losses.add(progress.loss);
    this.last = progress;
    if (performance.now() - this.drawnAt >= redrawEvery || isLast) this.draw();
  }

  /** Stays above what is drawn over. */
  epoch(record: EpochRecord): void {
    const text = describeEpoch(record);
    if (!this.terminal.isTTY) {
      note(text);
      return;
    }
    this.erase();
    this.terminal.write(`${text}\n`);
    this.draw();
  }

  private draw(): void {
    if (!this.last) return;
    this.erase();
    const lines = renderTraining(this.last, this.losses.values, columnsOf(this.terminal) - 1);
    this.terminal.write(lines.map((line) => `${line}\n`).join(""));
    this.drawn = lines.length;
    this.drawnAt = performance.now();
  }

  private erase(): void {
    if (this.drawn > 0) this.terminal.write(`\u001b[${this.drawn}A\r\u001b[J`);
    this.drawn = 0;
  }

  /** Leaves the last lines where they are; what comes next starts below them. */
  end(): void {
    this.plain.end();
    this.drawn = 0;
    this.last = undefined;
  }
}
