import { join } from "node:path";
import sharp from "sharp";
import { sizeOfImage } from "../../attacks/distance.ts";
import { row } from "../../attacks/rows.ts";
import { UserError } from "../../core/errors.ts";
import { writeFileAtomic } from "../../core/files.ts";
import { type AttackedRow, accuracyAgainstEpsilon, table5, table7 } from "../../evaluate/protocols/attack-tables.ts";
import { type LogitTable, logitTableMarkdown } from "../../evaluate/protocols/logit-tables.ts";
import type { PaperModel } from "../../evaluate/protocols/paper.ts";
import {
  confidences,
  figureAttacks,
  figureEpsilons,
  type PaperAttack,
  targetedAdaptive,
  targetedCw,
  untargetedAttacks,
} from "../../evaluate/protocols/paper-attacks.ts";
import { sources } from "../../evaluate/protocols/render.ts";
import { type PictureRow, robustnessFigure } from "../../evaluate/protocols/robustness-figure.ts";
import { drawn } from "../../evaluate/robustness/grid.ts";
import { withAttackConsole } from "../attack/progress.ts";
import { printLine } from "../output.ts";
import { type AttackedSubject, AttackRunner, type Subject, someTrained } from "./attack-runner.ts";
import { keptRows } from "./kept.ts";
import { logitsOfAttacks, logitsOfConfidences } from "./logits.ts";
import type { ReproduceOptions } from "./options.ts";
import { madeFrom, writeResult, writeTable } from "./write.ts";

type Make = (runner: AttackRunner, models: readonly PaperModel[], options: ReproduceOptions) => Promise<void>;

/** The data of the paper's tables under attack. */
const attackedData = ["mnist", "cifar10"];

const makers: Readonly<Record<string, Make>> = {
  table4: (runner, models, options) => writeLogits(runner, models, options, "table4", "mnist"),
  table5: async (runner, models, options) => {
    const made = required("table5", modelsOf(models, attackedData, true), options);
    const kept = keptRows("table5", made, options);
    writeTable(table5(await attackedRows(runner, made, untargetedAttacks)), runner.provenance(), kept, options);
  },
  table6: async (runner, models, options) => {
    const [model] = required("table6", modelsOf(models, ["mnist"], true), options);
    writeLogitTable(await logitsOfConfidences(runner, model!), runner, options);
  },
  table7: async (runner, models, options) => {
    const made = required("table7", modelsOf(models, attackedData), options);
    const kept = keptRows("table7", made, options);
    const attacks = [...confidences.map((confidence) => targetedCw(confidence)), targetedAdaptive];
    writeTable(table7(await attackedRows(runner, made, attacks)), runner.provenance(), kept, options);
  },
  table9: (runner, models, options) => writeLogits(runner, models, options, "table9", "cifar10"),
  figure4: (runner, models, options) => writeFigure(runner, models, options, "figure4", "mnist"),
  figure5: (runner, models, options) => writeFigure(runner, models, options, "figure5", "cifar10"),
};

export const attackedNames = Object.keys(makers);

/** What takes attacks: Tables 4 to 7 and 9, Figures 4 and 5. Every attack is kept in parts under the runs' folder. */
export async function reproduceAttacked(what: readonly string[], models: readonly PaperModel[], options: ReproduceOptions): Promise<void> {
  const folder = join(options.runs, "attacks");
  await withAttackConsole(`the same command goes on with what is in ${folder}`, async (terminal) => {
    for (const name of what) {
      // One runner per result, so that each names the models it was made from.
      const runner = new AttackRunner(options, terminal);
      await makers[name]!(runner, models, options);
      await runner.release();
    }
  });
}

const modelsOf = (models: readonly PaperModel[], data: readonly string[], onlySdim = false): PaperModel[] =>
  models.filter((model) => data.includes(model.data) && (!onlySdim || model.head === "sdim"));

function required(name: string, models: readonly PaperModel[], options: ReproduceOptions): readonly PaperModel[] {
  if (models.length === 0) throw new UserError(`${name}: is of no model that --data and --only name; leave them out, or name others`);
  if (someTrained(models, options)) return models;
  throw new UserError(
    `${name}: needs the model ${models.map(({ id }) => id).join(" or ")}; train it with --train, or name another folder than ${options.models} with --models`,
  );
}

async function attackedRows(runner: AttackRunner, models: readonly PaperModel[], attacks: readonly PaperAttack[]): Promise<AttackedRow[]> {
  const rows: AttackedRow[] = [];
  for (const model of models) {
    const subject = await runner.subject(model);
    for (const attack of attacks) {
      if (subject) rows.push({ model, attack, summary: (await runner.run(model, subject, attack)).summary });
      else rows.push({ model, attack });
    }
  }
  return rows;
}

async function writeLogits(
  runner: AttackRunner,
  models: readonly PaperModel[],
  options: ReproduceOptions,
  id: "table4" | "table9",
  data: string,
): Promise<void> {
  const [model] = required(id, modelsOf(models, [data], true), options);
  writeLogitTable(await logitsOfAttacks(runner, model!, id), runner, options);
}

function writeLogitTable(table: LogitTable, runner: AttackRunner, options: ReproduceOptions): void {
  const made = runner.provenance();
  writeResult(table.id, logitTableMarkdown(table, sources(made)), { ...table, madeFrom: madeFrom(made) }, options.out);
}

/** Of each attack the adversarials of one image, shown in the figure. */
const shownAttacks = ["fgsm", "pgd", "apgd-accepted"];

async function writeFigure(
  runner: AttackRunner,
  models: readonly PaperModel[],
  options: ReproduceOptions,
  id: "figure4" | "figure5",
  data: string,
): Promise<void> {
  const asked = modelsOf(models, [data]);
  if (asked.length > 0 && !asked.some(({ head }) => head === "sdim"))
    throw new UserError(`${id}: shows adversarial images of the model ${data}, which --only leaves out; name it too`);
  const made = required(id, asked, options);
  const kept = keptRows(id, made, options);
  const rows: AttackedRow[] = [];
  const pictures: PictureRow[] = [];
  for (const model of made) {
    const subject = await runner.subject(model);
    for (const attack of figureAttacks) {
      if (!subject) {
        rows.push({ model, attack });
        continue;
      }
      const attacked = await runner.run(model, subject, attack);
      rows.push({ model, attack, summary: attacked.summary });
      if (model.head === "sdim" && shownAttacks.includes(attack.id)) pictures.push(...(await picturesOf(subject, attacked, attack.title)));
    }
  }
  const title = `${id === "figure4" ? "Figure 4" : "Figure 5"}: accuracy on ${data} against epsilon (linf)`;
  const table = writeTable(accuracyAgainstEpsilon(id, title, rows), runner.provenance(), kept, options);
  const svg = robustnessFigure(table, pictures);
  writeFileAtomic(join(options.out, `${id}.svg`), svg);
  writeFileAtomic(join(options.out, `${id}.png`), await sharp(Buffer.from(svg)).png().toBuffer());
  printLine(`${join(options.out, id)}.svg and .png`);
}

const shownImages = 2;

/** The first attacked images, from epsilon 0 to 0.5, with what the model says of each. */
async function picturesOf({ loaded }: Subject, { result }: AttackedSubject, title: string): Promise<PictureRow[]> {
  const { shape } = loaded.model;
  const { classNames } = loaded.card;
  const size = sizeOfImage(shape);
  const chosen = Array.from(result.attacked, (_, i) => i)
    .filter((i) => result.attacked[i] === 1)
    .slice(0, shownImages);
  return Promise.all(
    chosen.map(async (i) => ({
      title,
      pictures: await Promise.all(
        result.outcomes.map(async ({ images, scores }, k) => {
          const png = await drawn(row(images, size, i), shape, { width: shape.width, height: shape.height });
          const words = `${classNames[scores.labels[i]!]}${scores.accepted[i] === 1 ? "" : ", rejected"}`;
          return { epsilon: figureEpsilons[k]!, png: `data:image/png;base64,${png.toString("base64")}`, words };
        }),
      ),
    })),
  );
}
