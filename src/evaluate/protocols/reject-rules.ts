import type { ThresholdScope } from "../../classify/card.ts";
import type { Classification } from "../../classify/classifier.ts";
import type { RejectScore } from "../../nn/reject-score.ts";
import { fitPenalty, withPenalty } from "../../reject/penalty.ts";
import { classThresholds } from "../../reject/thresholds.ts";
import type { OodEvaluation, RejectionRow, Thresholds } from "../evaluation.ts";
import { evaluateInDistribution } from "../in-distribution.ts";
import type { BootstrapOptions } from "../metrics/bootstrap.ts";
import { evaluateOutOfDistribution } from "../out-of-distribution.ts";
import type { PaperModel } from "./paper.ts";
import { type Cell, cell, type ReproducedTable, titleOf } from "./tables.ts";

// The paper's reject rule against others of the same model: nothing is trained anew, only what is compared with which thresholds changes.

export interface RejectRule {
  readonly score: RejectScore;
  readonly thresholdsFor: ThresholdScope;
}

/** The paper's first. */
export const rejectRules: readonly RejectRule[] = [
  { score: "likelihood", thresholdsFor: "each-class" },
  { score: "likelihood", thresholdsFor: "all-classes" },
  { score: "penalised-likelihood", thresholdsFor: "each-class" },
  { score: "penalised-likelihood", thresholdsFor: "all-classes" },
];

export const rulePercentiles = [1, 5] as const;

/** What a model that rejects by likelihood says of images with these labels; verdicts here are with channel statistics. */
export interface LabelledVerdicts {
  readonly verdicts: Classification;
  readonly labels: Int32Array;
}

export interface RuleSets {
  /** Thresholds are taken from these. */
  readonly training: LabelledVerdicts;
  readonly test: LabelledVerdicts;
  /** A rule may be chosen by these. */
  readonly synthetic: readonly Classification[];
  /** Reported, and nothing chosen by it. */
  readonly published?: Classification;
}

type RuleOod = Pick<OodEvaluation, "auroc" | "decisionAuroc" | "rejection" | "intervals">;

export interface MeasuredRule {
  readonly rule: RejectRule;
  /** At each of `rulePercentiles`. */
  readonly rejection: readonly RejectionRow[];
  readonly synthetic: readonly RuleOod[];
  readonly published?: RuleOod;
}

export function measureRules(
  sets: RuleSets,
  classNames: readonly string[],
  options: { bootstrap?: BootstrapOptions } = {},
): MeasuredRule[] {
  const classCount = classNames.length;
  const { verdicts, labels } = sets.training;
  const penalty = fitPenalty(verdicts, labels);
  return rejectRules.map((rule) => {
    const scored = (set: Classification) => (rule.score === "likelihood" ? set : withPenalty(set, penalty));
    const { thresholds } = classThresholds({
      classLogLikelihoods: scored(verdicts).classLogLikelihoods,
      labels,
      predictions: verdicts.labels,
      classNames,
      percentiles: rulePercentiles,
      thresholdsFor: rule.thresholdsFor,
    });
    const given = thresholds.map((set): Thresholds => ({ ...set, source: "training" }));
    const test = scored(sets.test.verdicts);
    const outside = (set: Classification) => evaluateOutOfDistribution(test, scored(set), classCount, given, options.bootstrap);
    return {
      rule,
      rejection: evaluateInDistribution(test, sets.test.labels, classCount, given, options).rejection,
      synthetic: sets.synthetic.map(outside),
      ...(sets.published ? { published: outside(sets.published) } : {}),
    };
  });
}

const meanOf = (values: readonly number[]): number | null =>
  values.length === 0 ? null : values.reduce((total, value) => total + value, 0) / values.length;

const names: Readonly<Record<RejectScore | ThresholdScope, string>> = {
  likelihood: "likelihood",
  "penalised-likelihood": "penalised likelihood",
  "each-class": "a threshold per class",
  "all-classes": "one threshold",
};

/** Rules of each model, one row each; those of models that are not there are left out. */
export function rulesTable(
  models: readonly { readonly model: PaperModel; readonly published?: string; readonly rules: readonly MeasuredRule[] }[],
): ReproducedTable {
  return {
    id: "reject-rules",
    title: "Reject rules: the paper's, and three others of the same models",
    columns: [
      ...rulePercentiles.flatMap((percentile) =>
        [
          "test images rejected",
          "accuracy on the accepted part",
          "synthetic outliers rejected",
          "out-of-distribution set rejected",
          "class-wise protocol",
        ].map((name) => ({ name: `${name}, percentile ${percentile}`, unit: "%" as const })),
      ),
      { name: "AUROC, synthetic outliers", unit: "" },
      { name: "AUROC, out-of-distribution set", unit: "" },
    ],
    rows: models.flatMap(({ model, published, rules }) =>
      rules.map((measured) => ({ model: model.id, label: labelOf(model, published, measured.rule), cells: cellsOf(measured) })),
    ),
    notes: [
      "Penalised likelihood: log p(z|c) less what its mean over the classes has above the 99th percentile of that mean over the training images, and less what half the squared Mahalanobis distance of the channel statistics has above its 90th (docs/training.md). One threshold: the percentile of the samples of all classes together. Thresholds are of the training images, those that were classified right.",
      "Synthetic outliers: the mean over uniform noise, Gaussian noise, constant images and shuffled patches of the test images, 2,000 each. Rejected: by the decision rule. Class-wise protocol: as in Table 3, on the out-of-distribution set.",
      "AUROC: of the rule as its percentile goes from 0 to 100, so within the winning class where each class has a threshold.",
      "Whoever chooses a rule by the out-of-distribution set has tuned on it: the synthetic outliers are there to choose by.",
    ],
  };
}

const labelOf = (model: PaperModel, published: string | undefined, { score, thresholdsFor }: RejectRule): string =>
  `${titleOf(model)}${published === undefined ? "" : ` -> ${published}`}: ${names[score]}, ${names[thresholdsFor]}`;

function cellsOf({ rule, rejection, synthetic, published }: MeasuredRule): Cell[] {
  const aurocName = rule.thresholdsFor === "each-class" ? "decisionAuroc" : "auroc";
  const aurocs = synthetic.flatMap((set) => set[aurocName] ?? []);
  return [
    ...rejection.flatMap(({ rejectionRate, selectiveAccuracy, intervals }, p) => {
      const outside = published?.rejection[p];
      return [
        cell(null, rejectionRate, intervals.rejectionRate),
        cell(null, selectiveAccuracy, intervals.selectiveAccuracy),
        cell(null, meanOf(synthetic.map((set) => set.rejection[p]!.decisionRejectionRate)), null),
        cell(null, outside?.decisionRejectionRate, outside?.intervals.decisionRejectionRate),
        cell(null, outside?.perClassRejectionRate, outside?.intervals.perClassRejectionRate),
      ];
    }),
    cell(null, meanOf(aurocs), null, 1),
    cell(null, published?.[aurocName], published?.intervals[aurocName], 1),
  ];
}
