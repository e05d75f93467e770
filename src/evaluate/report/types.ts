import type { ModelCard, ThresholdSet } from "../../classify/card.ts";
import type { HistoryRecord } from "../../train/checkpoint.ts";
import type { EpochRecord } from "../../train/records.ts";
import type { Evaluation } from "../evaluation.ts";
import type { RobustnessReport } from "../robustness/report.ts";

/** One picture of the report, with its verdict. */
export interface Example {
  /** Data URI of a PNG. */
  readonly png: string;
  readonly source: string;
  /** Null where the true class is none of the model's. */
  readonly trueLabel: string | null;
  readonly label: string;
  readonly accepted: boolean;
  readonly logLikelihood: number;
  readonly threshold: number;
  /** p(label | image); null where it is not what the example is about. */
  readonly posterior: number | null;
}

export interface ExampleGroup {
  readonly title: string;
  readonly examples: readonly Example[];
}

/** The model as a report shows it: a card, or what a record of an evaluation has of it. */
export interface ReportedModel extends Pick<ModelCard, "classNames" | "training" | "version"> {
  readonly model: Pick<ModelCard["model"], "head" | "depth" | "rejectBy">;
  readonly calibration: Pick<ModelCard["calibration"], "data" | "split" | "fingerprint" | "percentile">;
  readonly parameters?: number;
  readonly prior?: string;
}

/** Everything a report shows. */
export interface RunReport {
  readonly title: string;
  /** ISO 8601 */
  readonly createdAt: string;
  readonly card: ReportedModel;
  readonly environment: Readonly<Record<string, string>>;
  readonly history: readonly HistoryRecord[];
  /** By epoch, where the training has such records. */
  readonly epochs?: readonly EpochRecord[];
  readonly evaluation: Evaluation;
  /** Those of the evaluation. */
  readonly thresholds: readonly ThresholdSet[];
  /** Class log-likelihoods for the histograms, by class. */
  readonly scores: {
    /** Of the test samples of that class. */
    readonly inDistribution: readonly (readonly number[])[];
    /** Of every out-of-distribution sample. */
    readonly outOfDistribution: readonly { readonly data: string; readonly byClass: readonly (readonly number[])[] }[];
  };
  readonly examples: readonly ExampleGroup[];
  /** What the suite of attacks did, where it was run. */
  readonly robustness?: RobustnessReport;
}
