import { type NamedRow, namedRows } from "../../core/tables.ts";
import { percent, percentWithInterval } from "../summary.ts";
import type { Rate } from "./rate.ts";
import type { AttackSummary, OutcomeSummary, PercentileSummary } from "./summary.ts";

/** `84.65% [82.10, 86.90]` */
export const showRate = ({ value, interval }: Rate): string => percentWithInterval(value, interval);

export const shownEpsilon = (epsilon: number): string => Number(epsilon.toPrecision(3)).toString();

const shown = (value: number | null, digits = 4): string => (value === null ? "-" : Number(value.toPrecision(digits)).toString());

function rowsOf({ distance }: AttackSummary, outcome: OutcomeSummary): NamedRow[] {
  const { worstTarget } = outcome;
  const each = (of: (at: PercentileSummary) => Rate) => outcome.percentiles.map((at) => showRate(of(at)));
  const [first] = outcome.percentiles;
  return [
    { what: `attacked: right before (${first!.attacked.attacked} ${worstTarget ? "pairs" : "images"})`, values: [] },
    { what: "  success", values: [showRate(first!.attacked.success)] },
    { what: "  detected, of the successful", values: each(({ attacked }) => attacked.detection) },
    { what: "  evades: wrong and accepted", values: each(({ attacked }) => attacked.evasion) },
    {
      what: "attacked: right and accepted before",
      values: outcome.percentiles.map((at) => `${at.attackedAndAccepted.attacked} ${worstTarget ? "pairs" : "images"}`),
    },
    { what: "  success", values: each((at) => at.attackedAndAccepted.success) },
    { what: "  detected, of the successful", values: each((at) => at.attackedAndAccepted.detection) },
    { what: "  evades: wrong and accepted", values: each((at) => at.attackedAndAccepted.evasion) },
    ...accuracies(outcome, each),
    { what: `median perturbation of the successful, ${distance}`, values: [shown(outcome.medianPerturbation)] },
    { what: "successful that survive rounding to 8 bits", values: [showRate(outcome.survivesRounding)] },
    { what: "queries per image: scores, gradients", values: [`${shown(outcome.queries.scores)}, ${shown(outcome.queries.gradients)}`] },
    ...(outcome.zeroGradients === null ? [] : [{ what: "gradients that were zero", values: [percent(outcome.zeroGradients)] }]),
  ];
}

/** Of all images; where each was attacked once per target, by its worst target. */
function accuracies(
  { percentiles: [first], worstTarget }: OutcomeSummary,
  each: (of: (at: PercentileSummary) => Rate) => string[],
): NamedRow[] {
  const [plain, rejecting] = ["robust accuracy, of all images", "robust accuracy with rejection, of all images"];
  if (!worstTarget) {
    return [
      { what: plain!, values: [showRate(first!.robustAccuracy)] },
      { what: rejecting!, values: each((at) => at.robustAccuracyWithRejection) },
    ];
  }
  return [
    { what: `each image's worst target (${worstTarget.evasion.of} images right before)`, values: [] },
    { what: "  wrong", values: [showRate(worstTarget.success)] },
    { what: "  evades: wrong and accepted", values: [showRate(worstTarget.evasion)] },
    { what: plain!, values: [showRate(worstTarget.robustAccuracy)] },
    { what: rejecting!, values: [showRate(worstTarget.robustAccuracyWithRejection)] },
  ];
}

/** Of the attack, per epsilon, as aligned plain text. `leftOut`: images that are of the class aimed at themselves, and in none of the numbers. */
export function renderAttack(summary: AttackSummary, leftOut = 0): string {
  const { attack, settings, criterion, isTargeted, carryOver, samples, percentileInForce, distance } = summary;
  const isRepeated = summary.outcomes.some(({ worstTarget }) => worstTarget !== undefined);
  const set = Object.entries(settings).map(([key, value]) => `${key} ${String(value)}`);
  return [
    `${attack}${isTargeted ? ", targeted" : ""} (${set.join(", ")})`,
    `success: ${criterion}; ${samples} ${isRepeated ? "pairs of image and target" : "images"}${leftOut === 0 ? "" : ` (${leftOut} of the class aimed at left out)`}; attacks meet the thresholds at percentile ${percentileInForce}`,
    ...(carryOver ? ["what gave way at a smaller epsilon was not attacked again at a larger one"] : []),
    ...summary.outcomes.flatMap((outcome) => {
      const at = outcome.epsilon === null ? `any ${distance} distance` : `${distance} distance at most ${shown(outcome.epsilon)}`;
      return [
        "",
        ...namedRows([
          { what: at, values: outcome.percentiles.map(({ percentile }) => `percentile ${percentile}`) },
          ...rowsOf(summary, outcome),
        ]),
      ];
    }),
    "[low, high]: 95% Wilson interval",
  ].join("\n");
}
