/** What a variant is chosen by: from 0 to 1; higher is better. */
export interface Merits {
  /** On the validation images, nothing rejected. */
  readonly accuracy: number;
  /** AUROC of validation images against outliers, averaged over the sets. */
  readonly auroc: number;
}

const metrics = ["accuracy", "auroc"] as const satisfies readonly (keyof Merits)[];

/**
 * Against the base, by the spread of its seeds: `better` gains more than it in one merit and does not lose more than it in the other, `worse` the
 * other way round, `trade-off` does both, `within noise` neither.
 */
export const marks = ["better", "trade-off", "within noise", "worse"] as const;
export type Mark = (typeof marks)[number];

export function markOf(difference: Merits, spread: Merits): Mark {
  const gains = metrics.some((metric) => difference[metric] > spread[metric]);
  const loses = metrics.some((metric) => -difference[metric] > spread[metric]);
  if (gains) return loses ? "trade-off" : "better";
  return loses ? "worse" : "within noise";
}

export const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/** Largest minus smallest. */
export const spreadOf = (values: readonly number[]): number => Math.max(...values) - Math.min(...values);
