import type { Interval } from "./bootstrap.ts";

/** Standard normal quantile of 0.975. */
const z = 1.959963984540054;

/**
 * 95% confidence interval of a share from `successes` of `trials` (Wilson 1927): unlike the bootstrap it is not empty where all or none
 * succeed. Null of no trials.
 *   (p + z^2 / 2n -+ z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)
 */
export function wilsonInterval(successes: number, trials: number): Interval | null {
  if (trials === 0) return null;
  const p = successes / trials;
  const scale = 1 + (z * z) / trials;
  const centre = p + (z * z) / (2 * trials);
  const half = z * Math.sqrt((p * (1 - p)) / trials + (z * z) / (4 * trials * trials));
  // The ends are exact where rounding would miss them by a little.
  return { low: successes === 0 ? 0 : (centre - half) / scale, high: successes === trials ? 1 : (centre + half) / scale };
}
