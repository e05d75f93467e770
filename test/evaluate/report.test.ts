import { parseHTML } from "linkedom";
import { describe, expect, it } from "vitest";
import type { ModelCard } from "../../src/classify/card.ts";
import { renderReport } from "../../src/evaluate/report/page.ts";
import type { RunReport } from "../../src/evaluate/report/types.ts";

const classNames = ["one", '<script>alert(1)</script>" onload="alert(1)'];
const thresholds = [
  { percentile: 1, values: [80, 90] },
  { percentile: 2, values: [85, 95] },
];
const card: ModelCard = {
  format: 1,
  version: "0.0.0",
  model: {
    head: "sdim",
    classes: 2,
    channels: 1,
    imageSize: 32,
    depth: 10,
    widths: [32, 64, 128, 256],
    dimension: 64,
    critic: "concat",
    localFeatures: "stage4",
    logSigmaFloor: null,
  },
  classNames,
  parameters: 1_414_177,
  prior: "uniform",
  calibration: { data: "digits", split: "train", fingerprint: "abc", correctOnly: true, counts: [5, 5], percentile: 1, thresholds },
  training: { config: { epochs: 2, note: '"><img src=x onerror=alert(1)>' } },
  measured: {},
};

const wave = (count: number, center: number) => Array.from({ length: count }, (_, i) => center + 10 * Math.sin(i));

const report: RunReport = {
  title: "A & B <run>",
  createdAt: "2026-01-02T03:04:05.000Z",
  card,
  environment: { node: "v20" },
  history: [1, 2, 3].map((step) => ({
    step,
    epoch: step / 3,
    loss: 10 / step,
    parts: { mutualInformation: 1 / step, negativeLogLikelihood: 3 / step, margin: 6 / step },
    trainAccuracy: step / 4,
    learningRate: 0.001,
    imagesPerSecond: 100,
  })),
  evaluation: {
    model: "m",
    data: "digits",
    split: "test",
    count: 1234,
    accuracy: 0.9876,
    perClassAccuracy: [1, 0.97],
    rejection: [
      { percentile: 1, rejectionRate: 0.0123, selectiveAccuracy: 0.9987 },
      { percentile: 2, rejectionRate: 0.0234, selectiveAccuracy: null },
    ],
    aurc: 0.01,
    ood: [
      {
        data: "garments",
        count: 1000,
        auroc: 0.9712,
        auprInPositive: 0.9,
        auprOutPositive: 0.9,
        fprAt95InPositive: 0.1,
        fprAt95OutPositive: 0.1,
        rejection: [
          { percentile: 1, decisionRejectionRate: 0.432, perClassRejectionRate: 0.9431 },
          { percentile: 2, decisionRejectionRate: 0.532, perClassRejectionRate: 0.9531 },
        ],
      },
    ],
  },
  thresholds,
  scores: {
    inDistribution: [wave(50, 100), wave(50, 110)],
    outOfDistribution: [{ data: "garments", byClass: [wave(80, -300), wave(80, 20)] }],
  },
  examples: [
    {
      title: "Accepted",
      examples: [
        {
          png: "data:image/png;base64,AAAA",
          source: "digits",
          trueLabel: "one",
          label: "one",
          accepted: true,
          logLikelihood: 101,
          threshold: 80,
        },
      ],
    },
    { title: "None", examples: [] },
    {
      title: "Rejected",
      examples: [
        {
          png: 'data:image/png;base64,AAAA" onload="alert(1)',
          source: "garments: Shirt",
          trueLabel: null,
          label: "one",
          accepted: false,
          logLikelihood: -350.2,
          threshold: 80,
        },
      ],
    },
  ],
};

function chartOf(html: string, label: string) {
  const found = [...parseHTML(html).document.querySelectorAll("svg")].find((svg) => svg.getAttribute("aria-label")!.startsWith(label));
  if (!found) throw new Error(`no chart labelled "${label}..."`);
  return found;
}

describe("renderReport", () => {
  const html = renderReport(report);
  const { document } = parseHTML(html);

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
    const rows = [...document.querySelectorAll("tbody tr")].map((row) => [...row.children].map(({ textContent }) => textContent));
    expect(rows).toEqual([
      ["accuracy on 1,234 digits images", "98.76%"],
      ["digits images rejected", "1.23%", "2.34%"],
      ["accuracy on the accepted part", "99.87%", "-"],
      ["garments rejected (decision rule)", "432 of 1000", "532 of 1000"],
      ["garments rejected (class-wise protocol)", "94.31%", "95.31%"],
      ["AUROC, digits against garments", "0.9712"],
    ]);
  });

  it("draws a chart per loss part and per class, each with words for those who cannot see it", () => {
    const labels = [...document.querySelectorAll("svg")].map((svg) => svg.getAttribute("aria-label"));
    expect(labels).toHaveLength(5 + 2);
    expect(labels[0]).toBe("Total loss against epochs, from 10.0 to 3.33");
    expect(labels[5]).toMatch(/^Class one: log-likelihoods of its test images, median \d+, and of garments, median -\d+; threshold 80$/);
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
      "Class one: log-likelihoods of its test images, none in the data, and of garments, median -",
    );
    expect(panel.querySelectorAll('[fill="var(--outside)"]').length).toBeGreaterThan(0);
  });

  it("does not speak of a rest where nothing is accepted", () => {
    const rejection = [{ percentile: 1, rejectionRate: 1, selectiveAccuracy: null }];
    const { document } = parseHTML(renderReport({ ...report, evaluation: { ...report.evaluation, rejection } }));
    expect(document.querySelector(".lead")!.textContent).toContain("it refuses 100.00% of them. Of 1,000");
  });

  it("shows each example with its verdict, and no empty group", () => {
    expect([...document.querySelectorAll(".verdict")].map(({ textContent }) => textContent)).toEqual([
      "one – accepted",
      "rejected: closest to one; log-likelihood -350, threshold 80",
    ]);
    expect([...document.querySelectorAll("h3")].map(({ textContent }) => textContent)).not.toContain("None");
  });
});
