import type { AttackSummary, OutcomeSummary } from "../robustness/summary.ts";
import { type PaperModel, paperModels } from "./paper.ts";
import { figureEpsilons, type PaperAttack, paperCount, paperTable5, paperTable7, paperTwinSuccess } from "./paper-attacks.ts";
import { type Cell, cell, type ReproducedTable, type TableRow, tablePercentiles, titleOf } from "./tables.ts";

/** An attack on a model of the paper's; without a summary where the model is not trained. */
export interface AttackedRow {
  readonly model: PaperModel;
  readonly attack: PaperAttack;
  readonly summary?: AttackSummary;
}

const tableRow = ({ model, attack, summary }: AttackedRow, cells: readonly Cell[], ending = ""): TableRow => ({
  model: model.id,
  label: `${titleOf(model)}: ${attack.title}${ending}`,
  cells,
  ...(summary ? { attacked: { attack: attack.title, images: summary.samples } } : {}),
});

const acceptedBefore = ["detected", "wrong and accepted"];

const rejectingColumns = [
  ...tablePercentiles.map((percentile) => ({ name: `detected, percentile ${percentile}`, unit: "%" as const })),
  { name: "success", unit: "%" as const },
  ...tablePercentiles.map((percentile) => ({ name: `wrong and accepted, percentile ${percentile}`, unit: "%" as const })),
  ...acceptedBefore.map((name) => ({ name: `of those accepted before, percentile 1: ${name}`, unit: "%" as const })),
  { name: "median perturbation", unit: "" as const },
  { name: "successes that survive 8 bits", unit: "%" as const },
];

/** `paper`: detection at both percentiles, then success. */
function rejectingCells(outcome: OutcomeSummary | undefined, paper: readonly (number | null)[]): Cell[] {
  const at = (i: number) => outcome?.percentiles[i]?.attacked;
  const success = at(0)?.success;
  const accepted = outcome?.percentiles[0]?.attackedAndAccepted;
  return [
    ...tablePercentiles.map((_, i) => cell(paper[i] ?? null, at(i)?.detection.value, at(i)?.detection.interval)),
    cell(paper[2] ?? null, success?.value, success?.interval),
    ...tablePercentiles.map((_, i) => cell(null, at(i)?.evasion.value, at(i)?.evasion.interval)),
    cell(null, accepted?.detection.value, accepted?.detection.interval),
    cell(null, accepted?.evasion.value, accepted?.evasion.interval),
    cell(null, outcome?.medianPerturbation, null, 1),
    cell(null, outcome?.survivesRounding.value, outcome?.survivesRounding.interval),
  ];
}

/** Data set of a model of the paper's. */
const dataOf = (id: string): string => paperModels.find((model) => model.id === id)?.data ?? id;

/** How many images were attacked, from those rows that have been measured; nothing for a table without attacks. */
export function countNotes(rows: readonly TableRow[]): string[] {
  const measured = rows.flatMap(({ model, attacked }) => (attacked ? [{ data: dataOf(model), ...attacked }] : []));
  if (measured.length === 0) return [];
  const countsOf = (some: typeof measured) => new Map(some.map(({ data, images }) => [data, images]));
  // As many as the last attack on a data set had; attacks that had another number are named.
  const usual = countsOf(measured);
  const inWords = (counts: ReadonlyMap<string, number>): string => {
    const [count] = counts.values();
    if (counts.size === usual.size && new Set(counts.values()).size === 1) return String(count);
    return [...counts].map(([data, ofData]) => `${ofData} (${data})`).join(" and ");
  };
  const others = measured.filter(({ data, images }) => images !== usual.get(data));
  const titles = [...new Set(others.map(({ attack }) => attack))];
  const but = titles.map((title) => `, for ${title} ${inWords(countsOf(others.filter(({ attack }) => attack === title)))}`).join("");
  const fewer = measured.some(({ images }) => images < paperCount);
  const few = fewer
    ? "; the paper took 1,000. Ours are fewer where an attack asks the model thousands of times per image, minutes of a core: the intervals are wide"
    : "";
  return [
    `The first ${inWords(usual)} test images${but}${few}. Attacked are those that the model classifies correctly; success and "wrong and accepted" are shares of them, detection is the rejected share of the successful ones. Intervals are Wilson's.`,
  ];
}

const adaptiveNote =
  'Attacks that know the rule look for images that are wrong and accepted at percentile 1, so none of their successes is detected there: read their column "wrong and accepted, percentile 1". Percentile 2 they have not attacked, hence its dashes. The paper has no such attack.';
const distanceNote = "Median perturbation: l2, of the successful (LocalSearch: pixels changed), in units of the [0, 1] pixel range.";

/** Detection of untargeted attacks. */
export function table5(rows: readonly AttackedRow[]): ReproducedTable {
  return {
    id: "table5",
    title: "Table 5: detection of untargeted adversarials",
    columns: rejectingColumns,
    rows: rows.map((row) => tableRow(row, rejectingCells(row.summary?.outcomes[0], paperTable5[row.model.data]?.[row.attack.id] ?? []))),
    notes: [adaptiveNote, distanceNote],
  };
}

/** Targeted C&W with confidence, on SDIM and on its discriminative counterpart. */
export function table7(rows: readonly AttackedRow[]): ReproducedTable {
  const paperOf = ({ model, attack }: AttackedRow): readonly (number | null)[] => {
    const confidence = attack.settings["confidence"];
    if (typeof confidence !== "number") return [];
    return model.head === "softmax" ? [null, null, paperTwinSuccess] : (paperTable7[model.data]?.[confidence] ?? []);
  };
  return {
    id: "table7",
    title: "Table 7: targeted C&W-L2 with confidence",
    columns: rejectingColumns,
    rows: rows.map((row) => tableRow(row, rejectingCells(row.summary?.outcomes[0], paperOf(row)))),
    notes: [
      "Targets are drawn at random from the wrong classes; the paper does not say how it chose them. The paper's confidences are differences of raw log-likelihoods; of the discriminative counterpart they are differences of log-posteriors, and its reject score is log p(c|x). A success must reach kappa: where there is none at 500 or 1000, the attack never found log-posteriors that far apart; the paper does not say of which kappa its 100% are.",
      adaptiveNote,
      distanceNote,
    ],
  };
}

/** Accuracy against epsilon: a row per model and attack, a column per epsilon. The paper has curves, no numbers. */
export function accuracyAgainstEpsilon(id: string, title: string, rows: readonly AttackedRow[]): ReproducedTable {
  const curves = rows.flatMap((row) => {
    const { summary, attack } = row;
    const cells = (of: (outcome: OutcomeSummary) => { value: number | null; interval: Cell["interval"] }) =>
      figureEpsilons.map((epsilon): Cell => {
        const outcome = summary?.outcomes.find((one) => one.epsilon === epsilon);
        if (!outcome) return { paper: null, ours: null, interval: null };
        const { value, interval } = of(outcome);
        return { paper: null, ours: value, interval };
      });
    const percent = (rate: { value: number | null; interval: { low: number; high: number } | null }) => {
      const { ours, interval } = cell(null, rate.value, rate.interval);
      return { value: ours, interval };
    };
    const plain = tableRow(
      row,
      cells(({ percentiles: [first] }) => percent(first!.robustAccuracy)),
    );
    const rejecting = tableRow(
      row,
      cells(({ percentiles: [first] }) => percent(first!.robustAccuracyWithRejection)),
      ", with rejection",
    );
    // What is made to be accepted is measured with rejection alone.
    return attack.isAdaptive ? [rejecting] : [plain, rejecting];
  });
  return {
    id,
    title,
    columns: figureEpsilons.map((epsilon) => ({ name: `epsilon ${epsilon}`, unit: "%" })),
    rows: curves,
    notes: [
      "Accuracy: right after the attack / all images. With rejection: right and accepted before, and not wrong and accepted after, at percentile 1. The attack that knows the rule leaves alone what it has made wrong and accepted within a smaller epsilon.",
      "The paper shows curves without numbers, and compares with GBZ, a generative classifier that is not part of this project. FGSM and PGD follow cross-entropy, as in the paper; where its gradients vanish they say nothing of robustness. The margin loss and the attack that knows the rule do not saturate.",
    ],
  };
}
