import type { ModelCard } from "../../classify/card.ts";
import type { Circumstances } from "../../core/circumstances.ts";
import { markdownTable } from "../../core/tables.ts";
import { rejectScoreInWords } from "../../nn/reject-score.ts";
import { type Evaluation, nameOfThresholds } from "../evaluation.ts";
import type { Interval } from "../metrics/bootstrap.ts";
import type { EvaluationRecord } from "../record.ts";
import type { PaperModel } from "./paper.ts";
import { sources } from "./render.ts";

/** How long a model was trained, and where: `models/<id>/training.json`. It is no part of the model file, which is the same for every run of a config. */
export interface TrainingFacts {
  readonly elapsedSeconds: number;
  readonly circumstances: Pick<Circumstances, "command" | "at" | "machine" | "cores">;
  /** What else is to be known of the time. */
  readonly remark?: string;
}

function trainedHow({ elapsedSeconds, circumstances, remark }: TrainingFacts): string {
  const { command, at, machine, cores } = circumstances;
  return `Took ${Math.round(elapsedSeconds / 60)} minutes on ${machine}, ${cores} cores, until ${at.slice(0, 10)}, by \`${command}\`.${remark === undefined ? "" : ` ${remark}`}`;
}

const percent = (fraction: number | null, interval: Interval | null = null): string => {
  const shown = (value: number) => `${(100 * value).toFixed(2)}%`;
  if (fraction === null) return "-";
  return interval ? `${shown(fraction)} (${shown(interval.low)} to ${shown(interval.high)})` : shown(fraction);
};

const number = (value: number | null, interval: Interval | null): string => {
  if (value === null) return "-";
  return interval ? `${value.toFixed(4)} (${interval.low.toFixed(4)} to ${interval.high.toFixed(4)})` : value.toFixed(4);
};

/** What is shown of `training` in a model's card. */
interface CardTraining {
  readonly config?: Readonly<Record<string, unknown>>;
  readonly startedFrom?: readonly OtherTraining[];
  readonly averagedWith?: readonly OtherTraining[];
}

interface OtherTraining {
  readonly config: Readonly<Record<string, unknown>>;
  readonly data: string;
  readonly steps: number;
}

/** README.md of a shipped model: what it is, on what it was trained, every number measured, and what it must not be trusted with. */
export function renderModelCard(
  { id, data, head, depth }: PaperModel,
  card: ModelCard,
  record: EvaluationRecord,
  facts: TrainingFacts | undefined,
): string {
  const { evaluation } = record;
  return [
    `# ${id}: ${head === "sdim" ? "SDIM" : "discriminative"} ResNet${depth} on ${data}`,
    "",
    `Input: images of any size with ${card.model.channels} channel${card.model.channels === 1 ? "" : "s"}, resized inside the file to ${card.model.imageSize} x ${card.model.imageSize}. Classes: ${card.classNames.join(", ")}. ${card.parameters.toLocaleString("en")} weights trained${head === "sdim" ? ", the critic's included" : ""}. The reject rule is part of the file: thresholds at percentile ${card.calibration.percentile} of ${card.calibration.data} (${card.calibration.split}).`,
    "",
    "## Measured",
    "",
    `On the ${evaluation.count.toLocaleString("en")} images of the ${evaluation.split} split, with 95% bootstrap intervals:`,
    "",
    ...inDistributionTable(evaluation),
    "",
    "Images it should refuse. The decision rule is what a user meets; the class-wise protocol is the paper's Table 3. The decision rule's AUROC is over all percentiles, a threshold per class; the other one and the FPR are of one threshold for all classes:",
    "",
    ...outOfDistributionTable(evaluation),
    "",
    "## Training",
    "",
    ...trainingLines(card, facts),
    "",
    "## Limits",
    "",
    `- ${data} only: what it says of other kinds of pictures was measured on the sets above and nothing else.`,
    `- A rejection is a ${rejectScoreInWords(card.model)} below a percentile, not a proof: the sets above show how much passes, and adversarial examples made against the reject rule pass it ([what attacks do](../../docs/attacks.md)).`,
    "- Not for decisions about people.",
    ...sources([record]).map((line) => `- ${line}`),
    "",
  ].join("\n");
}

function inDistributionTable({ accuracy, rejection, aurc, intervals, calibration }: Evaluation): string[] {
  return markdownTable(
    ["", ""],
    [
      ["accuracy, nothing rejected", percent(accuracy, intervals.accuracy)],
      ...rejection.flatMap((row) => [
        [`rejected at percentile ${nameOfThresholds(row)}`, percent(row.rejectionRate, row.intervals.rejectionRate)],
        [
          `accuracy on the accepted part at percentile ${nameOfThresholds(row)}`,
          percent(row.selectiveAccuracy, row.intervals.selectiveAccuracy),
        ],
      ]),
      ["area under the risk-coverage curve (lower is better)", aurc.toFixed(5)],
      [
        "expected calibration error of the posterior (15 bins)",
        percent(calibration.expectedCalibrationError, calibration.intervals.expectedCalibrationError),
      ],
    ],
  );
}

function outOfDistributionTable({ ood }: Evaluation): string[] {
  const header = [
    "set (images)",
    "percentile",
    "decision rule",
    "class-wise protocol",
    "AUROC of the decision rule",
    "AUROC",
    "FPR at 95% TPR, in-distribution positive",
  ];
  const rows = ood.flatMap((set) =>
    set.rejection.map((row) => [
      `${set.data} (${set.count})`,
      nameOfThresholds(row),
      percent(row.decisionRejectionRate, row.intervals.decisionRejectionRate),
      percent(row.perClassRejectionRate, row.intervals.perClassRejectionRate),
      number(set.decisionAuroc, set.intervals.decisionAuroc),
      number(set.auroc, set.intervals.auroc),
      percent(set.fprAt95InPositive),
    ]),
  );
  return markdownTable(header, rows);
}

function trainingLines({ training }: ModelCard, facts: TrainingFacts | undefined): string[] {
  const { config = {}, startedFrom = [], averagedWith = [] } = training as CardTraining;
  const shown = (of: Readonly<Record<string, unknown>>) =>
    Object.entries(of)
      .map(([key, value]) => `${key} ${JSON.stringify(value)}`)
      .join(", ");
  return [
    `${training["images"]} images, ${training["steps"]} steps. Config: ${shown(config)}.${facts ? ` ${trainedHow(facts)}` : ""}`,
    ...startedFrom.flatMap((earlier) => [
      "",
      `It began with the weights of a training on ${earlier.data}: ${earlier.steps} steps. Config: ${shown(earlier.config)}.`,
    ]),
    ...averagedWith.flatMap((other) => [
      "",
      `Its weights are the mean of what this training ended with and what another on ${other.data} did: ${other.steps} steps. Config: ${shown(other.config)}.`,
    ]),
  ];
}
