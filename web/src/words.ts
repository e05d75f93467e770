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

export const number = (value: number): string =>
  (Math.abs(value) < 1 ? value.toFixed(3) : value.toFixed(1)).replace(/^-(?=0\.?0*$)/, "").replace("-", "−");
export const percent = (rate: number): string => `${(100 * rate).toFixed(2)}%`;

export const ordinal = (percentile: number): string => {
  const endings: Readonly<Record<string, string>> = { "1": "st", "2": "nd", "3": "rd" };
  const ending = Number.isInteger(percentile) && Math.floor(percentile / 10) !== 1 ? endings[String(percentile % 10)] : undefined;
  return `${percentile}${ending ?? "th"}`;
};

export const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;

/** The message of anything thrown, for the reader. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
