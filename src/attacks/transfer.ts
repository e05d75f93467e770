import { UserError } from "../core/errors.ts";
import type { AttackOutcome, AttackResult, Samples } from "./attack.ts";
import { type Criterion, criteria, judge } from "./criteria.ts";
import { isWithin, sizeOfImage } from "./distance.ts";
import type { AttackedModel } from "./model.ts";

/**
 * Adversarials made on one model, judged by another: does an attacker who has a model of their own reach this one? `samples`: those that were
 * attacked. Counted are those that both models classify correctly unattacked: the others were not changed, or need no attack. Queries are
 * those of the first model; the second sees the finished images alone. Where the attack failed on the first model, what it left counts as its
 * try here. Errors: UserError when the samples are not those of the result, the models differ in images or classes, or the result's criterion
 * is one of the caller's own and not given.
 */
export async function transfer(
  result: AttackResult,
  samples: Samples,
  model: AttackedModel,
  criterion: Criterion | undefined = criteria.get(result.criterion),
): Promise<AttackResult> {
  if (!criterion) throw new UserError(`transfer: "${result.criterion}" is not one of our criteria; give it as the fourth argument`);
  requireSame(result, samples, model);
  const { labels, targets, distance } = result;
  const clean = await model.score(samples.images);
  const attacked = result.attacked.map((value, i) => value & Number(clean.labels[i] === labels[i]));
  const outcomes: AttackOutcome[] = [];
  for (const outcome of result.outcomes) {
    const scores = await model.score(outcome.images);
    const isMet = judge(criterion, scores, { labels, targets });
    const success = attacked.map((value, i) => value & isMet[i]! & Number(isWithin(outcome.sizes[distance][i]!, outcome.epsilon)));
    outcomes.push({ ...outcome, scores, success });
  }
  return { ...result, criterion: criterion.name, clean, attacked, outcomes };
}

function requireSame({ labels, clean, outcomes }: AttackResult, samples: Samples, { shape, classes }: AttackedModel): void {
  if (samples.labels.length !== labels.length || labels.some((label, i) => label !== samples.labels[i])) {
    throw new UserError(`transfer: expected the ${labels.length} samples that were attacked, got others (${samples.labels.length})`);
  }
  const size = sizeOfImage(shape);
  const values = outcomes[0]?.images.length ?? labels.length * size;
  if (values !== labels.length * size || samples.images.length !== values) {
    throw new UserError(
      `transfer: the model takes images of ${shape.channels} x ${shape.height} x ${shape.width} values, the adversarials have ${values / labels.length}`,
    );
  }
  const classesBefore = clean.classLogLikelihoods.length / labels.length;
  if (classes !== classesBefore) {
    throw new UserError(`transfer: expected a model of the same ${classesBefore} classes, got one of ${classes}`);
  }
}
