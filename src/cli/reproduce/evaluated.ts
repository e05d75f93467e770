import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import type { ModelCard } from "../../classify/card.ts";
import { Classifier } from "../../classify/classifier.ts";
import { commandLine } from "../../core/circumstances.ts";
import { UserError } from "../../core/errors.ts";
import { writeFileAtomic } from "../../core/files.ts";
import type { ImageSet } from "../../data/image-set.ts";
import { loadDataset } from "../../data/registry.ts";
import { synthesise, syntheticNames } from "../../data/synthetic.ts";
import { type EvaluationRun, evaluate } from "../../evaluate/evaluate.ts";
import { classConditionalsFigure } from "../../evaluate/protocols/figures.ts";
import { renderModelCard, type TrainingFacts } from "../../evaluate/protocols/model-card.ts";
import type { PaperModel } from "../../evaluate/protocols/paper.ts";
import { isInTable, type MeasuredModel, table1, table2, table3, tablePercentiles } from "../../evaluate/protocols/tables.ts";
import { type EvaluationRecord, evaluationRecord } from "../../evaluate/record.ts";
import { classScores } from "../../evaluate/report/assemble.ts";
import { note, ProgressLine, printLine } from "../output.ts";
import { keptRows } from "./kept.ts";
import { loading, outOfDistribution, type ReproduceOptions, trainedModel, trainingFactsPath, withoutModel } from "./options.ts";
import { writeTable } from "./write.ts";

const tables = { table1, table2, table3 };
/** The model whose class conditionals each figure shows, against its out-of-distribution set. */
const figures = { figure2: "fashion-mnist", figure3: "cifar10" } as const;
/** Beside the paper's two, on a model's card. */
const cardPercentiles = [5];
type TableName = keyof typeof tables;
type FigureName = keyof typeof figures;

/** What can be made of evaluations. */
export const evaluatedNames = [...Object.keys(tables), ...Object.keys(figures), "cards"];

const isTable = (name: string): name is TableName => Object.hasOwn(tables, name);
const isFigure = (name: string): name is FigureName => Object.hasOwn(figures, name);
/** What one model's evaluation gave, with the set it was made on. */
interface Measured {
  readonly card: ModelCard;
  readonly record: EvaluationRecord;
  readonly run: EvaluationRun;
  readonly test: ImageSet;
}

/** Tables 1 to 3, figures 2 and 3, and cards: what an evaluation is enough for. */
export async function reproduceEvaluated(what: readonly string[], wanted: readonly PaperModel[], options: ReproduceOptions): Promise<void> {
  const isShownIn = (name: string, model: PaperModel): boolean =>
    isTable(name) ? isInTable[name](model) : !isFigure(name) || model.id === figures[name];
  const leftOut = what.find((name) => !wanted.some((model) => isShownIn(name, model)));
  if (leftOut !== undefined) throw new UserError(`${leftOut}: is of no model that --data and --only name; leave them out, or name others`);
  const needs = { published: what.some((name) => name !== "table1" && name !== "table2"), synthetic: what.includes("cards") };
  const kept = new Map(what.filter(isTable).map((name) => [name, keptRows(name, wanted, options)]));
  const measured = new Map<string, Measured>();
  const shown = wanted.filter((model) => what.some((name) => isShownIn(name, model)));
  for (const model of shown) {
    const path = await trainedModel(model, options);
    if (path !== undefined) measured.set(model.id, await measureModel(model, path, needs, options));
    else note(withoutModel(model, options, "its cells stay empty"));
  }
  if (measured.size === 0 && !what.every(isFigure))
    throw new UserError(
      `${what.join(", ")}: none of the models is there; --train trains them, --models names another folder than ${options.models}`,
    );
  const modelsIn = (name: string): MeasuredModel[] =>
    wanted
      .filter((model) => isShownIn(name, model))
      .map((model) => {
        const found = measured.get(model.id);
        return { model, ...(found ? { measured: found } : {}) };
      });
  for (const name of what) {
    const models = modelsIn(name);
    const records = models.flatMap(({ measured }) => (measured ? [measured.record] : []));
    if (name === "cards") writeCards(models, options);
    else if (isTable(name)) writeTable(tables[name](models), records, kept.get(name)!, options);
    else if (isFigure(name)) await writeFigure(name, measured.get(figures[name]), options);
  }
}

/** `needs`: which out-of-distribution sets what is to be made asks for. */
async function measureModel(
  model: PaperModel,
  path: string,
  needs: { readonly published: boolean; readonly synthetic: boolean },
  options: ReproduceOptions,
): Promise<Measured> {
  const classifier = await Classifier.load(path);
  const test = await loadDataset(model.data, "test", loading(options));
  const ood = [
    ...(model.ood !== undefined && needs.published ? [await outOfDistribution(model.ood, options)] : []),
    ...(needs.synthetic ? syntheticNames.map((name) => synthesise(name, test)) : []),
  ];
  const line = new ProgressLine();
  const run = await evaluate(classifier, test, {
    ood,
    percentiles: needs.synthetic ? [...tablePercentiles, ...cardPercentiles] : tablePercentiles,
    model: path,
    onProgress: (set, done, total) => line.show(`${model.id}: scoring ${set}: ${done} of ${total}`, done === total),
  });
  line.end();
  await classifier.release();
  const { card } = classifier;
  return { card, record: evaluationRecord(commandLine("sdim", process.argv.slice(2)), path, card, run.evaluation), run, test };
}

/** None for a model file that was put there by hand. */
function trainingFacts(folder: string): TrainingFacts | undefined {
  const path = trainingFactsPath(folder);
  return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as TrainingFacts) : undefined;
}

/** README.md and evaluation.json beside each model file. */
function writeCards(models: readonly MeasuredModel[], options: ReproduceOptions): void {
  for (const { model, measured } of models) {
    if (!measured) continue;
    const folder = join(options.models, model.id);
    writeFileAtomic(join(folder, "README.md"), renderModelCard(model, measured.card, measured.record, trainingFacts(folder)));
    writeFileAtomic(join(folder, "evaluation.json"), `${JSON.stringify(measured.record, null, 2)}\n`);
    printLine(`${join(folder, "README.md")} and evaluation.json`);
  }
}

async function writeFigure(name: FigureName, measured: Measured | undefined, { out, models }: ReproduceOptions): Promise<void> {
  const data = figures[name];
  if (!measured)
    throw new UserError(`${name}: needs the model ${data}; train it with --train, or name another folder than ${models} with --models`);
  const { card, run, test } = measured;
  const [outside] = run.outOfDistribution;
  const set = run.evaluation.ood[0]!;
  const thresholds = card.calibration.thresholds.filter(({ percentile }) => percentile === tablePercentiles[0]);
  const scores = classScores(card.classNames.length, { data: test, classification: run.inDistribution }, [
    { name: set.data, classification: outside! },
  ]);
  const title = `${data} (blue, of the class) against ${set.data} (orange): log p(z|class) per class, with the 1st-percentile thresholds`;
  const svg = classConditionalsFigure(title, { scores, thresholds, card }, 0);
  writeFileAtomic(join(out, `${name}.svg`), svg);
  writeFileAtomic(join(out, `${name}.png`), await sharp(Buffer.from(svg)).png().toBuffer());
  printLine(`${join(out, name)}.svg and .png`);
}
