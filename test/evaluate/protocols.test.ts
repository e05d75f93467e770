import sharp from "sharp";
import { describe, expect, it } from "vitest";
import type { ModelCard } from "../../src/classify/card.ts";
import type { Evaluation } from "../../src/evaluate/evaluation.ts";
import { classConditionalsFigure } from "../../src/evaluate/protocols/figures.ts";
import { paperModels, paperTable2, paperTable3 } from "../../src/evaluate/protocols/paper.ts";
import { tableMarkdown } from "../../src/evaluate/protocols/render.ts";
import { type MeasuredModel, table1, table2, table3 } from "../../src/evaluate/protocols/tables.ts";
import type { EvaluationRecord } from "../../src/evaluate/record.ts";

const around = (value: number) => ({ low: value - 0.01, high: value + 0.01 });
const evaluation = {
  accuracy: 0.94,
  intervals: { accuracy: around(0.94) },
  rejection: [
    // Of other thresholds, put in force: the paper's tables are of those of the training images.
    ...[1, 2].map((percentile) => ({
      ...{ percentile, source: "validation", rejectionRate: 0.5, selectiveAccuracy: 0.5 },
      intervals: { rejectionRate: null, selectiveAccuracy: null },
    })),
    {
      ...{ percentile: 1, source: "training", rejectionRate: 0.05, selectiveAccuracy: 0.965 },
      intervals: { rejectionRate: around(0.05), selectiveAccuracy: null },
    },
    {
      ...{ percentile: 2, source: "training", rejectionRate: 0.07, selectiveAccuracy: null },
      intervals: { rejectionRate: null, selectiveAccuracy: null },
    },
  ],
  ood: [
    {
      data: "mnist",
      auroc: 0.987,
      decisionAuroc: 0.98,
      intervals: { auroc: around(0.987), decisionAuroc: null },
      rejection: [0.9, 0.91].map((rate, i) => ({
        percentile: i + 1,
        source: "training",
        decisionRejectionRate: rate,
        perClassRejectionRate: rate + 0.09,
        intervals: { decisionRejectionRate: around(rate), perClassRejectionRate: null },
      })),
    },
  ],
} as unknown as Evaluation;
const record = { evaluation } as unknown as EvaluationRecord;
const card = { parameters: 1_414_177 } as unknown as ModelCard;

const models: MeasuredModel[] = paperModels.map((model) =>
  model.id === "fashion-mnist" ? { model, measured: { card, record } } : { model },
);
const cellsOf = (table: ReturnType<typeof table1>, label: string) => table.rows.find((row) => row.label.startsWith(label))!.cells;

describe("the paper's models", () => {
  it("are those of its Table 1, an SDIM and a discriminative one per data set", () => {
    expect(paperModels.map(({ id, depth, paperAccuracy }) => [id, depth, paperAccuracy])).toEqual([
      ["mnist", 10, 99.55],
      ["mnist-softmax", 10, 99.42],
      ["fashion-mnist", 10, 94.58],
      ["fashion-mnist-softmax", 10, 94.25],
      ["cifar10", 26, 92.53],
      ["cifar10-softmax", 26, 92.35],
      ["svhn", 26, 95.74],
      ["svhn-softmax", 26, 95.96],
    ]);
  });

  it("have a row in Table 2 each, whose first accuracy is Table 1's", () => {
    for (const { data, head, paperAccuracy } of paperModels) if (head === "sdim") expect(paperTable2[data]!.original).toBe(paperAccuracy);
  });

  it("refuse in Table 3 what their recipe names", () => {
    const refusing = Object.keys(paperTable3).map((data) => paperModels.find(({ id }) => id === data)!.ood);
    expect(refusing).toEqual(["mnist", "svhn"]);
  });
});

describe("tables", () => {
  it("Table 1 has accuracy and millions of weights, and a dash for what is not trained", () => {
    const table = table1(models);
    expect(table.rows).toHaveLength(8);
    expect(cellsOf(table, "SDIM ResNet10, fashion-mnist")).toEqual([
      { paper: 94.58, ours: 94, interval: [93, 95].map((end) => expect.closeTo(end, 9)) },
      { paper: 1.46, ours: 1.414177, interval: null },
    ]);
    expect(cellsOf(table, "Disc ResNet26, svhn")).toEqual([
      { paper: 95.96, ours: null, interval: null },
      { paper: 4.39, ours: null, interval: null },
    ]);
  });

  it("Table 2 has each percentile's accepted accuracy and rejected share, nothing accepted being no number", () => {
    const cells = cellsOf(table2(models), "SDIM ResNet10, fashion-mnist");
    expect(cells.map(({ paper }) => paper)).toEqual([94.58, 96.45, 4.63, 96.94, 6.6]);
    expect(cells.map(({ ours }) => ours && Number(ours.toFixed(9)))).toEqual([94, 96.5, 5, null, 7]);
  });

  it("Table 3 keeps the class-wise protocol and the decision rule apart", () => {
    const table = table3(models);
    const cells = cellsOf(table, "SDIM ResNet10, fashion-mnist -> mnist");
    expect(cells.map(({ paper, ours }) => [paper, ours && Number(ours.toFixed(9))])).toEqual([
      [99.36, 99],
      [99.64, 100],
      [null, 90],
      [null, 91],
      [4.63, 5],
      [null, 0.98],
      [null, 0.987],
    ]);
    expect(cellsOf(table, "SDIM ResNet26, cifar10 -> svhn").every(({ ours }) => ours === null)).toBe(true);
  });

  it("are Markdown with the paper's number first", () => {
    const markdown = tableMarkdown(table2(models), ["made by a test"]);
    const rows = markdown.split("\n").filter((line) => line.startsWith("|"));
    expect(new Set(rows.map((row) => row.split("|").length))).toEqual(new Set([8]));
    expect(rows.find((row) => row.includes("fashion-mnist"))).toBe(
      "| SDIM ResNet10, fashion-mnist | 94.58 / **94.00** (93.00 to 95.00) | 96.45 / **96.50** | 4.63 / **5.00** (4.00 to 6.00) | 96.94 / **-** | 6.60 / **7.00** |",
    );
    expect(markdown).toContain("- made by a test");
  });
});

describe("the figure of class conditionals", () => {
  const classNames = ["a", "b & <c>"];
  const spread = (from: number) => Array.from({ length: 50 }, (_, i) => from + i);
  const report = {
    card: { classNames, model: { head: "sdim" as const, depth: 10 } },
    thresholds: [{ percentile: 1, values: [101, 102] }],
    scores: {
      inDistribution: classNames.map(() => spread(100)),
      outOfDistribution: [{ data: "noise", byClass: classNames.map(() => spread(-300)) }],
    },
  };

  it("is one SVG of its own with a panel per class, which other programs can draw", async () => {
    const svg = classConditionalsFigure("a < b", report, 0);
    expect(svg.match(/aria-label="Class /g)).toHaveLength(2);
    expect(svg).toContain("a &lt; b");
    expect(svg).toContain("b &amp; &lt;c&gt;</text>");
    expect(svg).not.toMatch(/var\(--|currentColor/);
    expect(svg).toContain("#3366aa");
    expect(svg).toContain("#cc6622");
    expect(await sharp(Buffer.from(svg)).metadata()).toMatchObject({ format: "svg", width: 1600, height: 232 });
  });
});
