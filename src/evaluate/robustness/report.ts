import { alignedColumns } from "../../core/tables.ts";
import { percent } from "../summary.ts";
import { type SuiteAttack, standardEpsilons } from "./suite.ts";
import { shownEpsilon, showRate } from "./table.ts";
import { type RobustnessWarning, warningsOf } from "./warnings.ts";
import { type Before, successCurve, type Trial, type WorstCase, worstCase } from "./worst-case.ts";

type Curve = readonly { readonly epsilon: number; readonly share: number }[];

export interface RobustnessReport {
  readonly data: string;
  readonly samples: number;
  /** Classified correctly before: these are attacked. */
  readonly attacked: number;
  readonly attackedAndAccepted: number;
  /** Of the thresholds in force. */
  readonly percentile: number;
  /** Path of the model that transferred attacks were made on; null where there was none. */
  readonly twin: string | null;
  readonly attacks: readonly SuiteAttack[];
  /** Over all attacks, per sample; by distance. */
  readonly worstCase: { readonly linf: readonly WorstCase[]; readonly l2: readonly WorstCase[] };
  /** The same of the paper's own protocol alone. */
  readonly paperCase: { readonly linf: readonly WorstCase[] };
  /** Success against the linf distance: of the paper's attacks and of all; wrong, and wrong and accepted. */
  readonly curves: { readonly paperWrong: Curve; readonly paperEvading: Curve; readonly wrong: Curve; readonly evading: Curve };
  readonly warnings: readonly RobustnessWarning[];
}

export interface RobustnessParts {
  readonly data: string;
  readonly percentile: number;
  readonly twin: string | null;
  readonly start: Before;
  readonly attacks: readonly SuiteAttack[];
  readonly trials: readonly Trial[];
  readonly epsilons?: { readonly linf: readonly number[]; readonly l2: readonly number[] };
  /** Of attacks that could not be made. */
  readonly leftOut?: readonly RobustnessWarning[];
}

export function robustnessReport({
  data,
  percentile,
  twin,
  start,
  attacks,
  trials,
  epsilons = standardEpsilons,
  leftOut = [],
}: RobustnessParts): RobustnessReport {
  const paper = trials.filter(({ role }) => role === "paper");
  const count = (flags: Uint8Array) => flags.reduce((sum, value) => sum + value, 0);
  return {
    data,
    samples: start.right.length,
    attacked: count(start.right),
    attackedAndAccepted: count(start.rightAndAccepted),
    percentile,
    twin,
    attacks,
    worstCase: {
      linf: epsilons.linf.map((epsilon) => worstCase(trials, start, "linf", epsilon)),
      l2: epsilons.l2.map((epsilon) => worstCase(trials, start, "l2", epsilon)),
    },
    paperCase: { linf: epsilons.linf.map((epsilon) => worstCase(paper, start, "linf", epsilon)) },
    curves: {
      paperWrong: successCurve(paper, start, "linf", "wrong"),
      paperEvading: successCurve(paper, start, "linf", "evading"),
      wrong: successCurve(trials, start, "linf", "wrong"),
      evading: successCurve(trials, start, "linf", "evading"),
    },
    warnings: [...leftOut, ...warningsOf(attacks, trials, start, epsilons.linf)],
  };
}

/** What it means, in a few sentences. */
export function inPlainWords({ samples, attacked, data, attacks, worstCase: { linf }, paperCase, warnings }: RobustnessReport): string[] {
  const sentences = [
    `Of ${samples.toLocaleString("en")} ${data} images ${attacked.toLocaleString("en")} are classified correctly; only these were attacked, by ${attacks.length} attacks, and of each image the worst counts.`,
  ];
  for (const [i, { epsilon, evasion, robustAccuracyWithRejection }] of linf.entries()) {
    if (epsilon >= 1) continue;
    sentences.push(
      `When every pixel may change by ${shownEpsilon(epsilon)} of the range from black to white, ${percent(evasion.value)} of them can be made wrong without the classifier saying “I don’t know” (the paper’s gradient attacks: ${percent(paperCase.linf[i]!.evasion.value)}); its accuracy with rejection is then at most ${percent(robustAccuracyWithRejection.value)}.`,
    );
  }
  sentences.push("These are upper bounds on robustness: a better attack can only lower them.");
  if (!linf.some(({ epsilon }) => epsilon >= 1))
    sentences.push("Whether attacks without a bound reach every image was not looked at: no linf epsilon is 1.");
  if (samples < 1000) sentences.push(`${samples} images are few: the intervals are wide. --count takes more.`);
  if (warnings.length > 0)
    sentences.push(
      `${warnings.length} sign${warnings.length === 1 ? "" : "s"} that gradients are masked, or attacks too weak or left out, see the warnings.`,
    );
  return sentences;
}

/** For the terminal. */
export function renderRobustness(report: RobustnessReport): string {
  const rows = report.attacks.flatMap(({ entry, summary }) =>
    summary.outcomes.map(({ epsilon, percentiles: [first] }) => [
      entry.id,
      `${entry.role}${first!.attacked.attacked === report.attacked ? "" : `, ${first!.attacked.attacked} images`}`,
      `${summary.distance} ${epsilon === null ? "any" : shownEpsilon(epsilon)}`,
      showRate(first!.attacked.success),
      showRate(first!.attacked.evasion),
    ]),
  );
  const worst = (["linf", "l2"] as const).flatMap((distance) =>
    report.worstCase[distance].map(({ epsilon, success, evasion, robustAccuracy, robustAccuracyWithRejection }) => [
      `${distance} ${shownEpsilon(epsilon)}`,
      ...[success, evasion, robustAccuracy, robustAccuracyWithRejection].map(showRate),
    ]),
  );
  return [
    ...alignedColumns([["attack", "kind", "within", "success", "wrong and accepted"], ...rows]),
    "",
    ...alignedColumns([["worst of all", "wrong", "wrong and accepted", "robust accuracy", "robust accuracy with rejection"], ...worst]),
    "",
    `thresholds at percentile ${report.percentile}; [low, high]: 95% Wilson interval`,
    ...report.warnings.map(({ text }) => `WARNING ${text}`),
    "",
    ...inPlainWords(report),
  ].join("\n");
}
