import { type Circumstances, circumstances } from "../core/circumstances.ts";
import { runtimeVersion } from "../runtime/session.ts";
import type { Comparison } from "./compare.ts";
import type { SmallFormat } from "./export.ts";

/** What an export is, of what, and what it changed: written beside it as `<file>.json`. */
export interface ExportRecord {
  readonly circumstances: Circumstances;
  readonly format: SmallFormat;
  readonly isWeightsOnly: boolean;
  /** Images that the ranges of activations were taken from. */
  readonly calibrationImages: { readonly data: string; readonly split: string; readonly count: number } | null;
  /** Whether the thresholds were taken anew from the export's own log-likelihoods. */
  readonly isRecalibrated: boolean;
  readonly original: ExportedFile;
  readonly exported: ExportedFile;
  /** Bytes of the export over those of the original. */
  readonly sizeRatio: number;
  /** Null where no data were given. */
  readonly comparison: Comparison | null;
}

export interface ExportedFile {
  readonly path: string;
  readonly sha256: string;
  readonly bytes: number;
}

export const exportRecord = (command: string, parts: Omit<ExportRecord, "circumstances" | "sizeRatio">): ExportRecord => ({
  circumstances: circumstances(command, runtimeVersion()),
  ...parts,
  sizeRatio: parts.exported.bytes / parts.original.bytes,
});
