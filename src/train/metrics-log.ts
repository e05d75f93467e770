import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { messageOf, UserError } from "../core/errors.ts";
import { writeFileAtomic } from "../core/files.ts";
import type { EpochRecord, HistoryRecord } from "./records.ts";

export type MetricsLine = ({ readonly kind: "steps" } & HistoryRecord) | ({ readonly kind: "epoch" } & EpochRecord);

export const metricsPath = (folder: string): string => join(folder, "metrics.jsonl");

/** `metrics.jsonl`, a line per record, written as it happens: after a kill it may be ahead of the checkpoint, until the run is resumed. */
export class MetricsLog {
  private readonly path: string;

  /** Begins with the records of the checkpoint, in the order of the steps: an epoch's line follows the line of its last steps. */
  constructor(folder: string, history: readonly HistoryRecord[], epochs: readonly EpochRecord[]) {
    this.path = metricsPath(folder);
    const lines: MetricsLine[] = [
      ...history.map((record) => ({ kind: "steps" as const, ...record })),
      ...epochs.map((record) => ({ kind: "epoch" as const, ...record })),
    ];
    lines.sort((a, b) => a.step - b.step || Number(a.kind === "epoch") - Number(b.kind === "epoch"));
    writeFileAtomic(this.path, lines.map(encode).join(""));
  }

  append(line: MetricsLine): void {
    try {
      appendFileSync(this.path, encode(line));
    } catch (error) {
      throw new UserError(`cannot write ${this.path}: ${messageOf(error)}`, { cause: error });
    }
  }
}

const encode = (line: MetricsLine): string => `${JSON.stringify(line)}\n`;
