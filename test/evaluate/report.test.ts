import { parseHTML } from "linkedom";
import { describe, expect, it } from "vitest";
import { renderReport } from "../../src/evaluate/report/page.ts";
import { card, classNames, report, wave } from "../support/report.ts";

function chartOf(html: string, label: string) {
  const found = [...parseHTML(html).document.querySelectorAll("svg")].find((svg) => svg.getAttribute("aria-label")!.startsWith(label));
  if (!found) throw new Error(`no chart labelled "${label}..."`);
  return found;
}

describe("renderReport", () => {
  const html = renderReport(report);
  const { document } = parseHTML(html);

  const cellsOf = (table: Element) =>
    [...table.querySelectorAll("tbody tr")].map((row) => [...row.children].map(({ textContent }) => textContent));
  const rowsOf = (selector: string) => cellsOf(document.querySelector(selector)!);
  const tableUnder = (title: string, index = 0): Element => {
    const section = [...document.querySelectorAll("section")].find((found) => found.querySelector("h2")!.textContent === title);
    return section!.querySelectorAll("table")[index]!;
  };

  it("is the same page for the same run", () => {
    expect(renderReport(report)).toBe(html);
  });

  it("needs nothing but itself", () => {
    expect(document.querySelectorAll("script, link, iframe, object, embed").length).toBe(0);
    expect(html).not.toMatch(/(src|href|action)="(?!data:|#)/i);
    expect(html).not.toMatch(/url\((?!#)|@import/);
  });

  it("escapes what comes from outside", () => {
    expect(document.querySelectorAll("script").length).toBe(0);
    expect(document.querySelectorAll("[onerror], [onload]").length).toBe(0);
    expect(document.querySelector("h1")!.textContent).toBe("A & B <run>");
    expect([...document.querySelectorAll("figcaption")].map(({ textContent }) => textContent)).toContain(classNames[1]);
  });

  it("says the headline numbers in words and in the table", () => {
    const lead = document.querySelector(".lead")!.textContent!;
    for (const number of ["98.76%", "1,234", "1.23%", "99.87%", "43.20%"]) expect(lead).toContain(number);
    expect(rowsOf("table")).toEqual([
      ["accuracy on 1,234 digits images", "98.76%"],
      ["digits images rejected", "1.23% [1.01, 1.45]", "2.34%"],
      ["accuracy on the accepted part", "99.87%", "-"],
      ["AURC (lower is better)", "0.01000"],
      ["calibration error of the posterior (ECE)", "3.21% [3.00, 4.00]"],
      ["garments rejected (decision rule)", "432 of 1000 [401, 463]", "532 of 1000"],
      ["garments rejected (class-wise protocol)", "94.31%", "95.31%"],
      ["AUROC, digits against garments", "0.9712 [0.9700, 0.9800]"],
      ["AUROC of the decision rule, garments", "0.9823"],
    ]);
    expect(document.querySelector("caption")!.textContent).toContain("95% percentile bootstrap interval, 1,000 resamples");
  });

  it("tables the out-of-distribution sets, each metric with its direction and positive class", () => {
    const table = tableUnder("Data it should refuse");
    expect([...table.querySelectorAll("thead th")].map(({ textContent }) => textContent)).toEqual([
      "data set",
      "images",
      "AUROC ↑",
      "AUPR, in positive ↑",
      "AUPR, out positive ↑",
      "FPR at 95% TPR, in positive ↓",
      "FPR at 95% TPR, out positive ↓",
    ]);
    expect(cellsOf(table)).toEqual([["garments", "1000", "0.9712 [0.9700, 0.9800]", "0.9100", "0.9200", "13.00%", "14.00%"]]);
    const rejected = tableUnder("Data it should refuse", 1);
    expect([...rejected.querySelectorAll("thead th")].map(({ textContent }) => textContent)).toEqual([
      "data set",
      "decision rule, percentile 1 ↑",
      "decision rule, percentile 2 of validation ↑",
      "class-wise, percentile 1 ↑",
      "class-wise, percentile 2 of validation ↑",
      "decision rule, AUROC ↑",
    ]);
    expect(cellsOf(rejected)).toEqual([["garments", "43.20% [40.10, 46.30]", "53.20%", "94.31%", "95.31%", "0.9823"]]);
  });

  it("says what there is nothing of", () => {
    const perfect = { ...report.evaluation, ood: [], confusion: [[717, 0], [0, 517]] }; // biome-ignore format: a matrix
    const { document } = parseHTML(renderReport({ ...report, evaluation: perfect }));
    expect([...document.querySelectorAll("h2")].map(({ textContent }) => textContent)).not.toContain("Data it should refuse");
    expect(document.querySelector("main")!.textContent).toContain("No class was taken for another.");
  });

  it("reads the curve, the bins and the classes", () => {
    expect(cellsOf(tableUnder("Accuracy against coverage"))).toEqual([
      ["area under the curve (AURC), lower is better", "0.01000"],
      ["AURC above the oracle’s (E-AURC), lower is better", "0.00900"],
      ["coverage at a risk of at most 0.5%, higher is better", "87.60% [85.00, 90.00]"],
      ["risk at a coverage of at least 90%, lower is better", "0.65%"],
    ]);
    expect(cellsOf(tableUnder("Calibration of the posterior"))).toEqual([["50.00% to 100.00%", "1234", "91.00%", "98.76%"]]);
    expect(cellsOf(tableUnder("Class by class"))).toEqual([
      ["one", "717", "100.00%"],
      [classNames[1], "517", "97.00% [95.00, 98.00]"],
    ]);
    expect(cellsOf(tableUnder("Class by class", 1))).toEqual([[classNames[1], "one", "15"]]);
  });

  it("every table has a caption, and a header for each column and row", () => {
    for (const table of document.querySelectorAll("table")) {
      expect(table.querySelector("caption")!.textContent).not.toBe("");
      for (const row of table.querySelectorAll("tbody tr")) expect(row.firstElementChild!.getAttribute("scope")).toBe("row");
      for (const cell of [...table.querySelectorAll("thead tr > *")].slice(1)) expect(cell.getAttribute("scope")).toBe("col");
    }
  });

  it("draws a cell of the confusion matrix per pair that occurs, with its number", () => {
    const chart = chartOf(html, "Confusion matrix of 2 classes: 98.76% on the diagonal; most often, ");
    const numbers = [...chart.querySelectorAll('g[aria-label="text"] text')].map(({ textContent }) => textContent);
    expect(numbers).toEqual(["717", "15", "502"]);
    const shades = [...chart.querySelectorAll('g[aria-label="cell"] rect')].map((cell) => Number(cell.getAttribute("fill-opacity")));
    // Square roots of shares of the row, at most 0.6 so that the numbers stay readable.
    [1, 502 / 517, 15 / 517].forEach((part, i) => {
      expect(shades[i]).toBeCloseTo(0.6 * Math.sqrt(part), 9);
    });
    expect(shades).toHaveLength(3);
  });

  it("draws the curve, and the oracle which has no error until only the errors are left", () => {
    const paths = [...chartOf(html, "Risk-coverage curve").querySelectorAll('g[aria-label="line"] path')];
    const [oracle, curve] = paths.map((path) =>
      [...path.getAttribute("d")!.matchAll(/[ML]([\d.]+),([\d.]+)/g)].map(([, x, y]) => [Number(x), Number(y)] as const),
    );
    // Three points each; the axis points down, and risk 0 is its foot.
    expect([oracle!.length, curve!.length]).toEqual([3, 3]);
    expect([oracle![0]![1], oracle![1]![1]]).toEqual([curve![0]![1], curve![0]![1]]);
    // 15 errors of 1234 against the curve's 1.24%.
    const foot = curve![0]![1];
    expect((foot - oracle![2]![1]) / (foot - curve![2]![1])).toBeCloseTo(15 / 1234 / 0.0124, 2);
  });

  it("draws many classes without numbers, no wider than the page", () => {
    const names = Array.from({ length: 100 }, (_, c) => `class ${c}`);
    const confusion = names.map((_, truth) => names.map((__, said) => Number(truth === said) * 9 + Number(said === 0)));
    const evaluation = { ...report.evaluation, classNames: names, confusion };
    const wide = {
      ...evaluation,
      perClassAccuracy: names.map(() => 0.9),
      intervals: { ...evaluation.intervals, perClassAccuracy: names.map(() => null) },
    };
    const chart = chartOf(renderReport({ ...report, evaluation: wide }), "Confusion matrix of 100 classes");
    expect(chart.querySelectorAll('g[aria-label="text"]')).toHaveLength(0);
    expect(Number(chart.getAttribute("width"))).toBeLessThan(1000);
  });

  it("draws a chart per loss part and per class, each with words for those who cannot see it", () => {
    const labels = [...document.querySelectorAll("svg")].map((svg) => svg.getAttribute("aria-label"));
    expect(labels).toHaveLength(4 + 6 + 2);
    expect(labels.slice(0, 3)).toEqual([
      "ROC curve of garments: area 0.9712",
      "Risk-coverage curve: area 0.01000, risk 1.24% when everything is accepted",
      "Reliability diagram: accuracy per bin of the posterior; expected calibration error 3.21%",
    ]);
    expect(labels[4]).toBe("Total loss against epochs, from 10.0 to 3.33");
    expect(labels[9]).toBe("Learning rate against epochs, from 0.00100 to 0.00100");
    expect(labels[10]).toMatch(/^Class one: log-likelihoods of its images, median \d+, and of garments, median -\d+; threshold 80$/);
  });

  it("draws both distributions from the same baseline, also where they overlap", () => {
    const overlapping = {
      ...report,
      scores: { inDistribution: [[90, 100], [100]], outOfDistribution: [{ data: "garments", byClass: [[90, 91], [0]] }] },
    };
    const panel = chartOf(renderReport(overlapping), "Class one:");
    const bars = [...panel.querySelectorAll("rect")].map((bar) => ["x", "y", "height"].map((name) => Number(bar.getAttribute(name))));
    expect(new Set(bars.map(([x]) => x)).size).toBeLessThan(bars.length);
    for (const [, y, height] of bars) expect(y! + height!).toBeCloseTo(bars[0]![1]! + bars[0]![2]!, 6);
  });

  it("draws a class of which the data has no images", () => {
    const panel = chartOf(
      renderReport({ ...report, scores: { ...report.scores, inDistribution: [[], wave(50, 110)] } }),
      "Class one: log-likelihoods of its images, none in the data, and of garments, median -",
    );
    const bars = (set: string) => panel.querySelectorAll(`rect[fill="var(--${set})"]`).length;
    // The 20 nats of the garments, in bins of 395 / 48 from there to the highest threshold.
    expect([bars("inside"), bars("outside")]).toEqual([0, 3]);
  });

  it.each([
    [{ head: "sdim", depth: 10 }, "log p(z|one), nats", "Distribution of the log-likelihood"],
    [{ head: "sdim", depth: 10, rejectBy: "penalised-likelihood" }, "log p(z|one) less penalties, nats", "Distribution of the penalised"],
    [{ head: "softmax", depth: 10 }, "log p(one|x), nats", "Distribution of the log-posterior"],
  ] as const)("names what %o compares with thresholds", (model, axis, heading) => {
    const page = renderReport({ ...report, card: { ...report.card, model } });
    expect(chartOf(page, "Class one:").textContent).toContain(axis);
    expect(parseHTML(page).document.body.textContent).toContain(heading);
  });

  it("of a softmax model says that it rejects by the posterior, in numbers that can be told apart", () => {
    const [group] = report.examples;
    const [example] = group!.examples;
    const near = { ...group!, examples: [{ ...example!, accepted: false, logLikelihood: -0.873, threshold: -0.0191 }] };
    const softmax = { ...card, model: { ...card.model, head: "softmax" as const } };
    const page = renderReport({ ...report, card: softmax, examples: [near] });
    expect(page).toContain("Rejection uses the posterior, too");
    expect(page).not.toContain("rejection does not use it");
    expect(page).toContain("log-posterior -0.87, threshold -0.019");
  });

  it("says of which split its images are", () => {
    const page = renderReport({ ...report, evaluation: { ...report.evaluation, split: "train" } });
    expect(page).toContain("98.76% of 1,234 training images right");
    expect(page).not.toContain("test images");
  });

  it("does not speak of a rest where nothing is accepted", () => {
    const intervals = { rejectionRate: null, selectiveAccuracy: null };
    const rejection = [{ percentile: 1, source: "training" as const, rejectionRate: 1, selectiveAccuracy: null, intervals }];
    const { document } = parseHTML(renderReport({ ...report, evaluation: { ...report.evaluation, rejection } }));
    expect(document.querySelector(".lead")!.textContent).toContain("it refuses 100.00% of them. Of 1,000");
  });

  it("shows each example with its verdict, and no empty group", () => {
    expect([...document.querySelectorAll(".verdict")].map(({ textContent }) => textContent)).toEqual([
      "one – accepted",
      "rejected: closest to one; log-likelihood -350, threshold 80",
    ]);
    expect([...document.querySelectorAll(".examples .truth")].map(({ textContent }) => textContent)).toContain("posterior 98.77%");
    expect([...document.querySelectorAll("h3")].map(({ textContent }) => textContent)).not.toContain("None");
  });
});
