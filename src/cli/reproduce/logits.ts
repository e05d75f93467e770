import { row } from "../../attacks/rows.ts";
import { InternalError } from "../../core/errors.ts";
import type { LogitRow, LogitTable } from "../../evaluate/protocols/logit-tables.ts";
import type { PaperModel } from "../../evaluate/protocols/paper.ts";
import { confidences, paperLogits, targetedCw, untargetedAttacks, untargetedCw } from "../../evaluate/protocols/paper-attacks.ts";
import { titleOf } from "../../evaluate/protocols/tables.ts";
import type { AttackedSubject, AttackRunner, Subject } from "./attack-runner.ts";

/** The paper's tables are of the first image of this class; ours of the first that the model gets right. */
const shownClass = 0;

/** The paper's order. */
const attacksOfTable = [untargetedAttacks[0], untargetedCw, untargetedAttacks[1], untargetedAttacks[2], untargetedAttacks[3]];

const thresholdsRow = ({ loaded }: Subject, paper: readonly number[] | null): LogitRow => ({
  label: "threshold, percentile 1",
  paper,
  ours: loaded.thresholds[0]!.values,
  verdict: null,
});

/** `8, rejected; l2 1.93` */
function verdictOf({ loaded }: Subject, { result }: AttackedSubject): string {
  const { scores, sizes, success } = result.outcomes[0]!;
  if (success[0] === 0) return "no adversarial found";
  const name = loaded.card.classNames[scores.labels[0]!];
  return `${name}, ${scores.accepted[0] === 1 ? "accepted" : "rejected"}; ${result.distance} ${Number(sizes[result.distance][0]!.toPrecision(3))}`;
}

/** A table of one model is only asked for where there is one. */
async function trainedSubject(runner: AttackRunner, model: PaperModel): Promise<Subject> {
  const subject = await runner.subject(model);
  if (!subject) throw new InternalError(`${model.id}: expected it to be trained`);
  return subject;
}

const imageNote = (index: number): string =>
  `One image, the first of class ${shownClass} in the test set that the model gets right (image ${index}, counted from 0): an illustration, not a rate. Trainings differ, so numbers of ours are not expected to equal the paper's.`;

/** Table 4 or 9: log p(z|c) of one image and of its adversarials. */
export async function logitsOfAttacks(runner: AttackRunner, model: PaperModel, id: "table4" | "table9"): Promise<LogitTable> {
  const subject = await trainedSubject(runner, model);
  const paper = paperLogits[model.data]!;
  const { classNames } = subject.loaded.card;
  const classes = classNames.length;
  const rows: LogitRow[] = [thresholdsRow(subject, paper.thresholds)];
  const index = await runner.firstRight(subject, shownClass);
  for (const attack of attacksOfTable) {
    const attacked = await runner.runImage(model, subject, index, attack);
    const { clean, outcomes } = attacked.result;
    const { accepted, labels } = clean;
    if (rows.length === 1) {
      const verdict = `${classNames[labels[0]!]}, ${accepted[0] === 1 ? "accepted" : "rejected"}`;
      rows.push({ label: "original", paper: paper.original, ours: Array.from(row(clean.classLogLikelihoods, classes, 0)), verdict });
    }
    rows.push({
      label: attack.title,
      paper: paper.attacks[attack.id] ?? null,
      ours: Array.from(row(outcomes[0]!.scores.classLogLikelihoods, classes, 0)),
      verdict: verdictOf(subject, attacked),
    });
  }
  return {
    id,
    title: `Table ${id.slice("table".length)}: log p(z|class) of an image and of its adversarials, ${titleOf(model)}`,
    classNames,
    rows,
    notes: [imageNote(index), "The last row is not in the paper: an attack made against the reject rule."],
  };
}

/** Table 6: the log-likelihood of each target that targeted C&W reaches. */
export async function logitsOfConfidences(runner: AttackRunner, model: PaperModel): Promise<LogitTable> {
  const subject = await trainedSubject(runner, model);
  const index = await runner.firstRight(subject, shownClass);
  const { classNames } = subject.loaded.card;
  const classes = classNames.length;
  const rows: LogitRow[] = [thresholdsRow(subject, paperLogits[model.data]!.thresholds)];
  for (const confidence of confidences) {
    const attacked = await runner.runImage(model, subject, index, targetedCw(confidence, "all"));
    const { targets, clean, outcomes } = attacked.result;
    const { scores, success } = outcomes[0]!;
    const ours: (number | null)[] = classNames.map(() => null);
    ours[shownClass] = clean.classLogLikelihoods[shownClass]!;
    const outcomesOf = Array.from(targets!, (target, i) => ({ target, i })).filter(({ i }) => success[i] === 1);
    for (const { target, i } of outcomesOf) ours[target] = scores.classLogLikelihoods[i * classes + target]!;
    const evading = outcomesOf.filter(({ i }) => scores.accepted[i] === 1).length;
    rows.push({
      label: `kappa = ${confidence}`,
      paper: null,
      ours,
      verdict: `${outcomesOf.length} of ${targets!.length} targets reached, ${evading} of them accepted`,
    });
  }
  return {
    id: "table6",
    title: `Table 6: log p(z|target) that targeted C&W-L2 reaches, by confidence kappa, ${titleOf(model)}`,
    classNames,
    rows,
    notes: [
      imageNote(index),
      `The column of class ${shownClass} is the original's own log-likelihood; a dash elsewhere: no adversarial of that target was found. The paper's rows are pictures whose numbers cannot be assigned to targets with certainty, so its cells stay empty but for the thresholds.`,
    ],
  };
}
