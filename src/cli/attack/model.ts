import type { AttackedModel } from "../../attacks/model.ts";
import { loadAttackedModel } from "../../attacks/model.ts";
import { putInForce, sourceOf, thresholdsAt, usualPercentiles } from "../../classify/calibrations.ts";
import type { ModelCard, ThresholdSet } from "../../classify/card.ts";
import { readModelFile, withCard } from "../../classify/model-file.ts";
import { fileDigest } from "../../core/files.ts";
import type { Provider } from "../../runtime/session.ts";

/** A model file ready to be attacked. */
export interface LoadedModel {
  readonly path: string;
  readonly sha256: string;
  readonly card: ModelCard;
  readonly model: AttackedModel;
  /** By which rejection is judged; the first are in force. */
  readonly thresholds: readonly ThresholdSet[];
}

/**
 * Puts the thresholds of the first percentile in force; by default those are. Errors: UserError when the file is none of ours or has no thresholds at a percentile.
 */
export function loadForAttack(
  path: string,
  asked: readonly number[] | undefined,
  { provider, threads }: { readonly provider?: Provider; readonly threads?: number },
): LoadedModel {
  const file = readModelFile(path);
  const percentiles = asked ?? usualPercentiles(file.card);
  const thresholds = percentiles.map((percentile) => thresholdsAt(file.card, percentile));
  const card = putInForce(file.card, sourceOf(file.card.calibration), percentiles[0]!);
  const model = loadAttackedModel(withCard(file, card), {
    ...(provider === undefined ? {} : { provider }),
    ...(threads === undefined ? {} : { threads }),
  });
  return { path, sha256: fileDigest(path), card, model, thresholds };
}
