import type { AttackOutcome, AttackResult } from "../../attacks/attack.ts";
import { isWithin } from "../../attacks/distance.ts";
import { type Rate, rate } from "./rate.ts";

/**
 * Of images that were attacked once per target, what the worst target does, by the thresholds in force. Images made to be accepted say nothing of
 * how many could be wrong alone: success and robust accuracy are null then.
 */
export interface WorstTarget {
  /** Wrong for some target / images classified correctly before. */
  readonly success: Rate;
  /** Wrong and accepted for some target / images classified correctly before. */
  readonly evasion: Rate;
  /** Right for every target / images. */
  readonly robustAccuracy: Rate;
  /** Right and accepted before, and not wrong and accepted for any target / images. */
  readonly robustAccuracyWithRejection: Rate;
}

/** `sources` [N]: the image that each sample is. `plain`: a rate that depends on no thresholds as it is told. */
export function worstTarget(
  { attacked, clean, labels, distance }: AttackResult,
  outcome: AttackOutcome,
  sources: Int32Array,
  plain: (rate: Rate) => Rate,
): WorstTarget {
  const { epsilon, scores, sizes } = outcome;
  const imagesWhere = (is: (i: number) => boolean) => new Set(sources.filter((_, i) => is(i)));
  const isWrong = (i: number) => attacked[i] === 1 && scores.labels[i] !== labels[i] && isWithin(sizes[distance][i]!, epsilon);
  const right = imagesWhere((i) => attacked[i] === 1);
  const accepted = imagesWhere((i) => attacked[i] === 1 && clean.accepted[i] === 1);
  const wrong = imagesWhere(isWrong);
  const evading = imagesWhere((i) => isWrong(i) && scores.accepted[i] === 1);
  const images = new Set(sources).size;
  return {
    success: plain(rate(wrong.size, right.size)),
    evasion: rate(evading.size, right.size),
    robustAccuracy: plain(rate(right.size - wrong.size, images)),
    robustAccuracyWithRejection: rate([...accepted].filter((image) => !evading.has(image)).length, images),
  };
}
