import type { AttackOutcome, AttackResult } from "../../attacks/attack.ts";
import { isWithin } from "../../attacks/distance.ts";
import { rate } from "./rate.ts";
import { before, trialsOf, type WorstCase } from "./worst-case.ts";

/** Where images were attacked once per target: of each image the worst of its samples, by the thresholds in force. `sources` [N]: the image that a sample is. */
export function worstTarget(result: AttackResult, outcome: AttackOutcome, sources: Int32Array): Omit<WorstCase, "epsilon"> {
  const imagesWhere = (flags: Uint8Array) => new Set(sources.filter((_, i) => flags[i] === 1));
  const isNear = outcome.sizes[result.distance].map((size) => Number(isWithin(size, outcome.epsilon)));
  const near = (flags: Uint8Array) => flags.map((flag, i) => flag & isNear[i]!);
  const { right, rightAndAccepted } = before(result);
  const [trial] = trialsOf("white-box", { ...result, outcomes: [outcome] });
  const [wrong, evading] = [imagesWhere(near(trial!.wrong)), imagesWhere(near(trial!.evading))];
  const images = new Set(sources).size;
  const attacked = imagesWhere(right).size;
  return {
    success: rate(wrong.size, attacked),
    evasion: rate(evading.size, attacked),
    robustAccuracy: rate(attacked - wrong.size, images),
    robustAccuracyWithRejection: rate([...imagesWhere(rightAndAccepted)].filter((image) => !evading.has(image)).length, images),
  };
}
