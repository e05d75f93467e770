import type { ModelCard } from "../../src/classify/card.ts";
import type { RunReport } from "../../src/evaluate/report/types.ts";

// A run as a report has it, made up, with names that must be escaped.

export const classNames = ["one", '<script>alert(1)</script>" onload="alert(1)'];
const thresholds = [
  { percentile: 1, values: [80, 90] },
  { percentile: 2, values: [85, 95] },
];
export const card: ModelCard = {
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

export const wave = (count: number, center: number) => Array.from({ length: count }, (_, i) => center + 10 * Math.sin(i));

export const report: RunReport = {
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
    fingerprint: "abc",
    classNames,
    count: 1234,
    accuracy: 0.9876,
    perClassAccuracy: [1, 0.97],
    confusion: [
      [717, 0],
      [15, 502],
    ],
    rejection: [
      {
        percentile: 1,
        source: "training",
        rejectionRate: 0.0123,
        selectiveAccuracy: 0.9987,
        intervals: { rejectionRate: { low: 0.0101, high: 0.0145 }, selectiveAccuracy: null },
      },
      {
        percentile: 2,
        source: "validation",
        rejectionRate: 0.0234,
        selectiveAccuracy: null,
        intervals: { rejectionRate: null, selectiveAccuracy: null },
      },
    ],
    aurc: 0.01,
    excessAurc: 0.009,
    riskCoverage: [
      { coverage: 0.001, risk: 0 },
      { coverage: 0.5, risk: 0.002 },
      { coverage: 1, risk: 0.0124 },
    ],
    coverageAtRisk: [{ risk: 0.005, coverage: 0.876, interval: { low: 0.85, high: 0.9 } }],
    riskAtCoverage: [{ coverage: 0.9, risk: 0.0065, interval: null }],
    calibration: {
      bins: 15,
      expectedCalibrationError: 0.0321,
      adaptiveCalibrationError: 0.0345,
      reliability: [
        { low: 0, high: 0.5, count: 0, confidence: null, accuracy: null },
        { low: 0.5, high: 1, count: 1234, confidence: 0.91, accuracy: 0.9876 },
      ],
      intervals: { expectedCalibrationError: { low: 0.03, high: 0.04 }, adaptiveCalibrationError: null },
    },
    intervals: { accuracy: null, perClassAccuracy: [null, { low: 0.95, high: 0.98 }], aurc: null, excessAurc: null },
    bootstrap: { resamples: 1000, level: 0.95, seed: 0 },
    ood: [
      {
        data: "garments",
        fingerprint: "def",
        count: 1000,
        auroc: 0.9712,
        decisionAuroc: 0.9823,
        auprInPositive: 0.91,
        auprOutPositive: 0.92,
        fprAt95InPositive: 0.13,
        fprAt95OutPositive: 0.14,
        rejection: [
          {
            percentile: 1,
            source: "training",
            decisionRejectionRate: 0.432,
            perClassRejectionRate: 0.9431,
            intervals: { decisionRejectionRate: { low: 0.401, high: 0.463 }, perClassRejectionRate: null },
          },
          {
            percentile: 2,
            source: "validation",
            decisionRejectionRate: 0.532,
            perClassRejectionRate: 0.9531,
            intervals: { decisionRejectionRate: null, perClassRejectionRate: null },
          },
        ],
        rocCurve: [
          { falsePositiveRate: 0, truePositiveRate: 0 },
          { falsePositiveRate: 0.1, truePositiveRate: 0.9 },
          { falsePositiveRate: 1, truePositiveRate: 1 },
        ],
        intervals: {
          auroc: { low: 0.97, high: 0.98 },
          decisionAuroc: null,
          auprInPositive: null,
          auprOutPositive: null,
          fprAt95InPositive: null,
          fprAt95OutPositive: null,
        },
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
          posterior: 0.98765,
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
          posterior: null,
        },
      ],
    },
  ],
};
