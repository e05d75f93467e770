import type { CalibrationSource } from "../classify/card.ts";
import { markdownTable } from "../core/tables.ts";
import { defaults } from "../train/config.ts";
import { differencesFrom } from "../train/runs.ts";
import type { StudyResult, StudySet } from "./ablate.ts";
import type { ComparedVariant, Comparison } from "./compare.ts";
import { mean } from "./marks.ts";
import type { MeasuredOutcome, Measurement } from "./outcome.ts";
import { studyPercentile } from "./train-and-measure.ts";

const percent = (fraction: number | null): string => (fraction === null ? "-" : (100 * fraction).toFixed(2));
const signed = (value: number, digits: number): string => `${value < 0 ? "" : "+"}${value.toFixed(digits)}`;
const dash = (text: string): string => (text === "" ? "-" : text);

/** Text of others in a cell: neither a bar nor a line end may break the table. */
const plain = (text: string): string => text.replaceAll(/\s+/g, " ").replaceAll("|", "\\|");

/** The study so far as Markdown: what is chosen by first, and apart from it what is only reported. */
export function studyMarkdown(result: StudyResult): string {
  const { study, comparison, data } = result;
  const rows = [comparison.base, ...comparison.variants];
  const isMeasured = (row: ComparedVariant) => row.merits !== null;
  return [
    `# Ablation study: ${study.name}`,
    "",
    ...missingLines(rows),
    "## What is chosen by: images held out of the trainings",
    "",
    ...choosingTable(comparison),
    "",
    ...choosingNotes(result),
    "",
    "AUROC / rejected by the decision rule, % / class-wise, %, of each set of outliers, against the validation images, with thresholds from the training images:",
    "",
    ...outlierTable(result, rows.filter(isMeasured), data.outliers, "choosing"),
    "",
    "## What is only reported: the test images",
    "",
    ...testTable(result, rows.filter(isMeasured)),
    "",
    ...(data.reported.length === 0
      ? []
      : [
          "The same of each reported set, against the test images:",
          "",
          ...outlierTable(result, rows.filter(isMeasured), data.reported, "test"),
          "",
        ]),
    "## The trainings",
    "",
    ...trainingTable(result),
    "",
    ...circumstanceNotes(result),
    "",
  ].join("\n");
}

function missingLines(rows: readonly ComparedVariant[]): string[] {
  const missing = rows.flatMap(({ id, missing: seeds }) => (seeds.length === 0 ? [] : [`${id} (seed ${seeds.join(", ")})`]));
  return missing.length === 0 ? [] : [`**Not finished.** Yet to be trained: ${missing.join(", ")}.`, ""];
}

function choosingTable({ base, spread, variants }: Comparison): string[] {
  const row = ({ id, changes, measured, merits, score, difference, mark, failed }: ComparedVariant, against: string): string[] => [
    id,
    plain(dash(describeChanges(changes))),
    dash(measured.join(", ")),
    ...(merits ? [percent(merits.accuracy), merits.auroc.toFixed(4)] : ["-", "-"]),
    score === null ? "-" : score.toFixed(4),
    difference ? signed(100 * difference.accuracy, 2) : "-",
    difference ? signed(difference.auroc, 4) : "-",
    [mark ?? against, ...(failed.length > 0 ? [`failed with seed ${failed.join(", ")}`] : [])].filter((text) => text !== "").join("; "),
  ];
  const header = [
    "variant",
    "changes",
    "seeds",
    "accuracy, %",
    "mean AUROC",
    "score",
    "accuracy - base",
    "AUROC - base",
    "against the base",
  ];
  const yardstick = spread ? `spread of its seeds: ${percent(spread.accuracy)} and ${spread.auroc.toFixed(4)}` : "";
  return markdownTable(header, [row(base, yardstick), ...variants.map((variant) => row(variant, ""))]);
}

const describeChanges = (changes: Readonly<Record<string, unknown>>): string =>
  Object.entries(changes)
    .map(([key, value]) => `${key} ${JSON.stringify(value).replaceAll('"', "")}`)
    .join(", ");

function choosingNotes({ study, data, comparison }: StudyResult): string[] {
  const seeds = comparison.base.measured.length;
  const { seed: _, ...ofBase } = differencesFrom(study.base.config, defaults);
  const base = describeChanges(ofBase);
  return [
    `- Base: ${base === "" ? "the defaults" : `the defaults but for ${base}`}.`,
    `- Accuracy: of ${data.validation.count} training images that no training saw (${study.validation} of every class), nothing rejected. Mean AUROC: of those images against ${data.outliers.map(({ name, count }) => `${name} (${count})`).join(", ")}. Score: the mean of accuracy and mean AUROC. Higher is better in all three; the order is the score's.`,
    `- Spread: the largest minus the smallest of the base's ${seeds} seed${seeds === 1 ? "" : "s"}. *better*: gains more than it in accuracy or AUROC and does not lose more than it in the other; *worse*: the other way round; *trade-off*: both; *within noise*: neither.${comparison.spread ? "" : " There is none with fewer than two seeds, so nothing is marked."}`,
    ...(comparison.byChance ? [chanceNote(comparison.byChance)] : []),
  ];
}

/** Many variants with one seed each: some are marked though they change nothing. */
function chanceNote({ better, worse, "trade-off": both, "within noise": within }: NonNullable<Comparison["byChance"]>): string {
  const shown = (count: number) => count.toFixed(1);
  return `- A mark is a hint, not a test. If none of these ${shown(better + worse + both + within).replace(/\.0$/, "")} variants changed anything, about ${shown(better)} would be marked better, ${shown(worse)} worse and ${shown(both)} trade-off, by chance alone. Give what you mean to adopt more seeds, and the base more as well.`;
}

/** Of the variant's measured trainings. */
const outcomesOf = ({ trainings }: StudyResult, { id }: ComparedVariant): MeasuredOutcome[] =>
  trainings.flatMap(({ id: one, outcome }) => (one === id && outcome.kind === "measured" ? [outcome] : []));

/** Null where one of the values is. */
const meanOrNull = (values: readonly (number | null)[]): number | null =>
  values.some((value) => value === null) ? null : mean(values.map((value) => value!));

function testTable(result: StudyResult, rows: readonly ComparedVariant[]): string[] {
  const header = [
    "variant",
    "accuracy, %",
    ...["training", "held-out"].flatMap((images) => [
      `rejected with thresholds of ${images} images, %`,
      "accuracy on the accepted part, %",
    ]),
  ];
  const cells = (tests: readonly Measurement[]) => [
    percent(mean(tests.map(({ accuracy }) => accuracy))),
    ...(["training", "validation"] as const).flatMap((source) => {
      const at = tests.map(({ rejection }) => rowOf(rejection, source));
      return [percent(mean(at.map((row) => row.rejectionRate))), percent(meanOrNull(at.map((row) => row.selectiveAccuracy)))];
    }),
  ];
  return markdownTable(
    header,
    rows.map((row) => [row.id, ...cells(outcomesOf(result, row).map(({ test }) => test))]),
  );
}

function outlierTable(
  result: StudyResult,
  rows: readonly ComparedVariant[],
  sets: readonly StudySet[],
  part: "choosing" | "test",
): string[] {
  // By name: a study whose list has been put in another order since keeps what it has.
  const cell = (measurements: readonly Measurement[], set: StudySet) => {
    const of = measurements.map(({ outliers }) => outliers.find(({ data }) => data === set.name)!);
    const at = of.map(({ rejection }) => rowOf(rejection, "training"));
    return [
      mean(of.map(({ auroc }) => auroc)).toFixed(4),
      percent(mean(at.map((rates) => rates.decisionRejectionRate))),
      percent(mean(at.map((rates) => rates.perClassRejectionRate))),
    ].join(" / ");
  };
  return markdownTable(
    ["variant", ...sets.map(({ name, count }) => plain(`${name} (${count})`))],
    rows.map((row) => [
      row.id,
      ...sets.map((set) =>
        cell(
          outcomesOf(result, row).map((outcome) => outcome[part]),
          set,
        ),
      ),
    ]),
  );
}

const rowOf = <T extends { readonly source: CalibrationSource | null }>(rows: readonly T[], source: CalibrationSource): T =>
  rows.find((row) => row.source === source)!;

const trainingTable = ({ trainings }: StudyResult): string[] =>
  markdownTable(
    ["variant", "seed", "minutes", "loss, last epoch", "training accuracy, last epoch, %", "parameters", ""],
    trainings.map(({ id, seed, outcome }) => {
      if (outcome.kind === "missing") return [id, String(seed), "-", "-", "-", "-", "yet to be trained"];
      if (outcome.kind === "failed") return [id, String(seed), "-", "-", "-", "-", plain(`failed: ${outcome.reason}`)];
      const { seconds, final, parameters } = outcome;
      return [id, String(seed), (seconds / 60).toFixed(1), final.loss.toFixed(3), percent(final.trainAccuracy), String(parameters), ""];
    }),
  );

function circumstanceNotes({ study, data, classNames, circumstances, trainings }: StudyResult): string[] {
  const times = trainings.flatMap((training) => (training.circumstances ? [training.circumstances.at] : [])).sort();
  const heldOut = study.heldOutClasses.length === 0 ? "" : `, without the held-out classes ${study.heldOutClasses.join(", ")}`;
  const range = times.length === 0 ? "" : ` Trainings measured ${shortTime(times[0]!)} to ${shortTime(times.at(-1)!)} UTC.`;
  const { command, sdim, node, onnxruntime, machine, cores } = circumstances;
  return [
    `- Data: ${study.data}${heldOut}: ${data.training.count} training images${study.limit === null ? "" : ` (${study.limit} with those held out: the first of every class, as many of each)`}, ${data.validation.count} validation images, ${data.test.count} test images of ${classNames.length} classes.`,
    `- Thresholds are at percentile ${studyPercentile}. The decision rule is what a user meets; class-wise is the paper's Table 3 protocol. Variants with several seeds: means.`,
    "- Minutes: to train and calibrate, as the machine was loaded at the time.",
    `- Written by \`${command}\` with sdim ${sdim}, node ${node}, ONNX Runtime ${onnxruntime}, on ${machine}, ${cores} cores.${range}`,
  ];
}

const shortTime = (iso: string): string => iso.slice(0, 16).replace("T", " ");
