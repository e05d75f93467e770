import { UserError } from "../core/errors.ts";
import { kindOf, requireObject } from "../core/kinds.ts";
import { type Calibration, type CalibrationSource, type ModelCard, newestFormat, type ThresholdSet } from "./card.ts";

/** Of a calibration of an older card: what it was by default. */
export function sourceOf(calibration: Calibration): CalibrationSource {
  requireObject("calibration", "one of those that calibrationsOf(card) gives", calibration);
  const { source, split } = calibration;
  return source ?? (split === "train" ? "training" : "given");
}

/** All a card carries, the one in force first. */
export function calibrationsOf(card: ModelCard): readonly Calibration[] {
  requireObject("card", "the card of a classifier or a model file", card);
  return [card.calibration, ...(card.otherCalibrations ?? [])];
}

/** The card's calibration of `source`. Errors: UserError that names what there is. */
export function calibrationFrom(card: ModelCard, source: CalibrationSource): Calibration {
  const all = calibrationsOf(card);
  const found = all.find((one) => sourceOf(one) === source);
  if (found) return found;
  throw new UserError(
    `thresholds from ${source}: the model file has them from ${all.map(sourceOf).join(", ")} only. ` +
      (source === "validation" ? "A training with --validation 0.1 makes them." : "Take them with: sdim calibrate MODEL --data DATA"),
  );
}

/** The thresholds at `percentile`, of the calibration in force or of `source`. Errors: UserError that names what there is. */
export function thresholdsAt(card: ModelCard, percentile: number, source?: CalibrationSource): ThresholdSet {
  const calibration = source === undefined ? calibrationsOf(card)[0]! : calibrationFrom(card, source);
  const found = calibration.thresholds.find((set) => set.percentile === percentile);
  if (found) return found;
  if (typeof percentile !== "number" || !(percentile >= 0 && percentile < 100))
    throw new UserError(`percentile: expected a number from 0 to below 100, got ${kindOf(percentile)}`);
  const known = calibration.thresholds.map((set) => set.percentile).join(", ");
  const remedy =
    sourceOf(calibration) === "validation"
      ? "Images held out of a training give thresholds at its own --percentile beside the usual ones."
      : `Add it with: sdim calibrate MODEL --data ${calibration.data} --percentile ${calibration.percentile},${percentile}`;
  throw new UserError(`percentile ${percentile}: the model file has thresholds at ${known}. ${remedy}`);
}

/** What is looked at when nothing else is said: the percentile in force, and the paper's 1 and 2. */
export const usualPercentiles = ({ calibration: { percentile } }: ModelCard): number[] => [...new Set([percentile, 1, 2])];

/** The card with `calibration` and no other: what is left when the score that thresholds are of has changed. */
export function withOnlyCalibration(card: ModelCard, calibration: Calibration): ModelCard {
  const { otherCalibrations: _, ...rest } = card;
  // What the thresholds before rejected of the test split says nothing of these.
  const { testRejectionRate: __, ...measured } = card.measured;
  return { ...rest, format: newestFormat, calibration, measured };
}

/** The card with `calibration` in force, in place of an earlier one of its source; the others stay. */
export function withCalibration(card: ModelCard, calibration: Calibration): ModelCard {
  const others = calibrationsOf(card).filter((one) => sourceOf(one) !== sourceOf(calibration));
  const only = withOnlyCalibration(card, calibration);
  return others.length > 0 ? { ...only, otherCalibrations: others } : only;
}

/** The card with the thresholds of `source` at `percentile` in force. Errors: UserError when it has none such. */
export function putInForce(card: ModelCard, source: CalibrationSource, percentile: number): ModelCard {
  thresholdsAt(card, percentile, source);
  return withCalibration(card, { ...calibrationFrom(card, source), percentile });
}
