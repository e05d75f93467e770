import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Argument, type Command } from "commander";
import sharp from "sharp";
import type { ModelCard } from "../../classify/card.ts";
import { Classifier } from "../../classify/classifier.ts";
import { encodeModelFile } from "../../classify/model-file.ts";
import { circumstances, commandLine } from "../../core/circumstances.ts";
import { UserError } from "../../core/errors.ts";
import { writeFileAtomic } from "../../core/files.ts";
import type { ImageSet } from "../../data/image-set.ts";
import { type LoadOptions, loadDataset } from "../../data/registry.ts";
import { synthesise, syntheticNames } from "../../data/synthetic.ts";
import { type EvaluationRun, evaluate } from "../../evaluate/evaluate.ts";
import { classConditionalsFigure } from "../../evaluate/protocols/figures.ts";
import { renderModelCard, type TrainingFacts } from "../../evaluate/protocols/model-card.ts";
import { type PaperModel, paperModels } from "../../evaluate/protocols/paper.ts";
import { sources, tableMarkdown } from "../../evaluate/protocols/render.ts";
import { type MeasuredModel, type ReproducedTable, table1, table2, table3, tablePercentiles } from "../../evaluate/protocols/tables.ts";
import { type EvaluationRecord, evaluationRecord } from "../../evaluate/record.ts";
import { classScores } from "../../evaluate/report/assemble.ts";
import { runtimeVersion } from "../../runtime/session.ts";
import { hasCheckpoint } from "../../train/checkpoint.ts";
import { resolveConfig } from "../../train/config.ts";
import { dataDirOption, wordList } from "../options.ts";
import { note, ProgressLine, printLine } from "../output.ts";
import { trainWithProgress } from "./train.ts";

const tables = { table1, table2, table3 };
/** The model whose class conditionals each figure shows, against its out-of-distribution set. */
const figures = { figure2: "fashion-mnist", figure3: "cifar10" } as const;
/** Beside the paper's two, on a model's card. */
const cardPercentiles = [5];
type TableName = keyof typeof tables;
type FigureName = keyof typeof figures;
const isTable = (name: string): name is TableName => Object.hasOwn(tables, name);
const isFigure = (name: string): name is FigureName => Object.hasOwn(figures, name);
const names = [...Object.keys(tables), ...Object.keys(figures), "cards"];

interface ReproduceOptions {
  readonly models: string;
  readonly out: string;
  readonly data?: readonly string[];
  readonly svhn?: string;
  readonly dataDir?: string;
  readonly train?: boolean;
  readonly list?: boolean;
}

export function addReproduce(program: Command): void {
  program
    .command("reproduce")
    .summary("make the paper's tables and figures, its numbers beside ours")
    .description("Makes tables and figures of the paper from model files, as Markdown, JSON, SVG and PNG.")
    .addArgument(new Argument("[what...]", "which").choices(names))
    .option("--models <folder>", "where the model files are, <folder>/<id>/model.onnx", "models")
    .option("--out <folder>", "where results go", "results")
    .option("--data <name,...>", "only models of these data sets", wordList)
    .option("--svhn <spec>", "data set, folder or file that stands for SVHN where it is out-of-distribution (default: svhn)")
    .addOption(dataDirOption())
    .option("--train", "train the models that are missing (hours), into runs/reproduce/<id>")
    .option("--list", "say what there is to reproduce, and which models are there")
    .addHelpText("after", "\nExamples:\n  $ sdim reproduce --list\n  $ sdim reproduce table2 table3 figure2 --data fashion-mnist")
    .action(async (what: readonly string[], options: ReproduceOptions) => {
      if (options.list) return list(options);
      if (what.length === 0) throw new UserError(`reproduce: name what to make: ${names.join(", ")}; or --list`);
      await reproduce(what, options);
    });
}

const modelPath = ({ models }: ReproduceOptions, { id }: PaperModel): string => join(models, id, "model.onnx");

function list(options: ReproduceOptions): void {
  printLine(`to make: ${names.join(", ")}`);
  for (const model of paperModels) {
    const there = existsSync(modelPath(options, model));
    printLine(
      `${model.id.padEnd(24)} ResNet${model.depth} on ${model.data.padEnd(14)} ${there ? modelPath(options, model) : "not trained"}`,
    );
  }
}

/** What one model's evaluation gave, with the set it was made on. */
interface Measured {
  readonly card: ModelCard;
  readonly record: EvaluationRecord;
  readonly run: EvaluationRun;
  readonly test: ImageSet;
}

async function reproduce(what: readonly string[], options: ReproduceOptions): Promise<void> {
  const wanted = paperModels.filter(({ data }) => options.data === undefined || options.data.includes(data));
  if (wanted.length === 0) throw new UserError(`--data: no model of the paper is of ${options.data?.join(", ")}`);
  const onlySdim = !what.some((name) => name === "table1" || name === "cards");
  const inFigures = what.flatMap((name) => (isFigure(name) ? [figures[name]] : []));
  const onlyFigures = what.every(isFigure);
  const needs = { published: what.some((name) => name !== "table1" && name !== "table2"), synthetic: what.includes("cards") };
  const measured = new Map<string, Measured>();
  for (const model of wanted) {
    if (onlySdim && model.head === "softmax") continue;
    if (onlyFigures && !inFigures.some((data) => data === model.data)) continue;
    const path = await trainedModel(model, options);
    if (path !== undefined) measured.set(model.id, await measureModel(model, path, needs, options));
    else note(`${model.id}: not trained, its cells stay empty (--train trains it)`);
  }
  const models: MeasuredModel[] = wanted.map((model) => {
    const found = measured.get(model.id);
    return { model, ...(found ? { measured: found } : {}) };
  });
  for (const name of what) {
    if (name === "cards") writeCards(models, options);
    else if (isTable(name)) writeTable(tables[name](models), models, options);
    else if (isFigure(name)) await writeFigure(name, measured.get(figures[name]), options);
  }
}

/** Path of the model file, trained first where asked. */
async function trainedModel(model: PaperModel, options: ReproduceOptions): Promise<string | undefined> {
  const path = modelPath(options, model);
  if (existsSync(path)) return path;
  if (!options.train) return undefined;
  const out = join("runs", "reproduce", model.id);
  const data = await loadDataset(model.data, "train", loading(options));
  // A training that was stopped goes on; one that was finished only exports again.
  const resume = hasCheckpoint(out);
  const { model: trained, elapsedSeconds } = await trainWithProgress({ out, resume }, resolveConfig({ ...model.recipe }), data);
  const facts: TrainingFacts = {
    elapsedSeconds,
    circumstances: circumstances(commandLine("sdim", process.argv.slice(2)), runtimeVersion()),
  };
  writeFileAtomic(trainingFactsPath(dirname(path)), `${JSON.stringify(facts, null, 2)}\n`);
  writeFileAtomic(path, encodeModelFile(trained));
  return path;
}

const loading = ({ dataDir }: ReproduceOptions): LoadOptions => (dataDir === undefined ? {} : { dataDir });

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

const outOfDistribution = (name: string, options: ReproduceOptions): Promise<ImageSet> =>
  loadDataset(name === "svhn" ? (options.svhn ?? name) : name, "test", loading(options));

function writeTable(table: ReproducedTable, models: readonly MeasuredModel[], { out }: ReproduceOptions): void {
  const records = models.flatMap(({ measured }) => (measured ? [measured.record] : []));
  const markdown = tableMarkdown(table, sources(records));
  const made = records.map(({ circumstances, modelFile }) => ({ circumstances, modelFile }));
  writeFileAtomic(join(out, `${table.id}.md`), markdown);
  writeFileAtomic(join(out, `${table.id}.json`), `${JSON.stringify({ ...table, madeFrom: made }, null, 2)}\n`);
  printLine(markdown);
}

const trainingFactsPath = (folder: string): string => join(folder, "training.json");

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

async function writeFigure(name: FigureName, measured: Measured | undefined, { out }: ReproduceOptions): Promise<void> {
  const data = figures[name];
  if (!measured) throw new UserError(`${name}: needs the model ${data}; train it with --train`);
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
