import type { Classification, ModelCard } from "../../src/browser.ts";

/** What the model says of one image, by the thresholds chosen. */
export interface Verdict {
  readonly isAccepted: boolean;
  /** Class index of the winner, also where it is rejected. */
  readonly label: number;
  readonly name: string;
  readonly logLikelihood: number;
  readonly threshold: number;
}

/** Of the only image in `result`. */
export function verdictOf(result: Classification, card: ModelCard): Verdict {
  const label = result.labels[0]!;
  return {
    isAccepted: result.accepted[0] === 1,
    label,
    name: card.classNames[label]!,
    logLikelihood: result.logLikelihoods[0]!,
    threshold: result.thresholds[0]!,
  };
}

type Model = ModelCard["model"];

const scoreNames: Readonly<Record<NonNullable<Model["rejectBy"]>, string>> = {
  likelihood: "log-likelihood",
  "penalised-likelihood": "penalised log-likelihood",
};

/** What a model compares with thresholds, in the words of reports (`rejectScoreInWords`; a test compares them). */
export const scoreInWords = ({ head, rejectBy = "likelihood" }: Pick<Model, "head" | "rejectBy">): string =>
  head === "softmax" ? "log-posterior" : scoreNames[rejectBy];

/** To four significant digits or one decimal, whichever says more: posteriors are near 0, likelihoods in the thousands. */
export function number(value: number): string {
  if (value === 0) return "0";
  return (Math.abs(value) < 1000 ? value.toPrecision(4) : value.toFixed(1)).replaceAll("-", "−");
}
export const percent = (rate: number): string => `${(100 * rate).toFixed(2)}%`;

export const ordinal = (percentile: number): string => {
  const endings: Readonly<Record<string, string>> = { "1": "st", "2": "nd", "3": "rd" };
  const ending = Number.isInteger(percentile) && Math.floor(percentile / 10) !== 1 ? endings[String(percentile % 10)] : undefined;
  return `${percentile}${ending ?? "th"}`;
};

export const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;

/** The message of anything thrown, for the reader. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
