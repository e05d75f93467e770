import * as Plot from "@observablehq/plot";
import type { RobustnessReport } from "../robustness/report.ts";
import { shownEpsilon, showRate } from "../robustness/table.ts";
import { percent } from "../summary.ts";
import { type Chart, inside, outside } from "./chart.ts";

/** Success of attacks against the linf distance: the paper's own in one colour, all in the other; wrong dashed, wrong and accepted solid. */
export function robustnessCurve({ curves, worstCase }: Pick<RobustnessReport, "curves" | "worstCase">): Chart {
  const upTo = 1;
  // A share stays what it is up to the right edge.
  const whole = (curve: RobustnessReport["curves"]["wrong"]) => [...curve, { epsilon: upTo, share: curve.at(-1)!.share }];
  const line = (curve: RobustnessReport["curves"]["wrong"], stroke: string, dash?: string) =>
    Plot.line(whole(curve), {
      x: "epsilon",
      y: "share",
      curve: "step-after",
      stroke,
      strokeWidth: 1.8,
      ...(dash === undefined ? {} : { strokeDasharray: dash }),
    });
  const last = worstCase.linf.at(-1);
  return {
    label: `Success of attacks against the distance allowed${last ? `; at ${shownEpsilon(last.epsilon)} all attacks together make ${percent(last.evasion.value)} wrong and accepted` : ""}`,
    options: {
      width: 640,
      height: 320,
      marginLeft: 48,
      x: {
        label: "linf distance allowed, of the [0, 1] pixel range",
        type: "sqrt",
        domain: [0, upTo],
        ticks: [0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 1],
      },
      y: { label: "share of attacked images", tickFormat: "%", domain: [0, 1], grid: true },
      marks: [
        line(curves.paperWrong, inside, "4 3"),
        line(curves.paperEvading, inside),
        line(curves.wrong, outside, "4 3"),
        line(curves.evading, outside),
      ],
    },
  };
}

export const worstCaseColumns: readonly string[] = [
  "within",
  "wrong",
  "wrong and accepted",
  "robust accuracy",
  "robust accuracy with rejection",
];

/** Per distance and epsilon, over all attacks; each row starts with its name. */
export const worstCaseRows = ({ worstCase }: Pick<RobustnessReport, "worstCase">): string[][] =>
  (["linf", "l2"] as const).flatMap((distance) =>
    worstCase[distance].map(({ epsilon, success, evasion, robustAccuracy, robustAccuracyWithRejection }) => [
      `${distance} at most ${shownEpsilon(epsilon)}`,
      ...[success, evasion, robustAccuracy, robustAccuracyWithRejection].map(showRate),
    ]),
  );
