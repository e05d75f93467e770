export type Schedule = "constant" | "one-cycle";

const warmUp = 0.3;
const startFraction = 1 / 25;
const endFraction = 1 / 25 / 1e4;

/** From `from` to `to` along half a cosine, `progress` in [0, 1]. */
const cosine = (from: number, to: number, progress: number): number => to + ((from - to) * (1 + Math.cos(Math.PI * progress))) / 2;

/**
 * The learning rate at `step` (from 0) of `steps`. One-cycle (Smith and Topin 2018): up from peak / 25 over the first 30%, then down to
 * nearly nothing, both along a cosine.
 */
export function learningRateAt(schedule: Schedule, peak: number, step: number, steps: number): number {
  if (schedule === "constant") return peak;
  const progress = step / Math.max(1, steps - 1);
  if (progress < warmUp) return cosine(peak * startFraction, peak, progress / warmUp);
  return cosine(peak, peak * endFraction, (progress - warmUp) / (1 - warmUp));
}
