import type { MeasuredOutcome, Measurement } from "../../src/ablate/outcome.ts";

function measurement(accuracy: number, aurocs: readonly number[]): Measurement {
  const sources = ["validation", "training"] as const;
  return {
    data: "digits",
    count: 100,
    accuracy,
    rejection: sources.map((source) => ({
      percentile: 1,
      source,
      rejectionRate: source === "training" ? 0.05 : 0.01,
      selectiveAccuracy: 0.99,
    })),
    outliers: aurocs.map((auroc, i) => ({
      data: `set ${i}`,
      count: 50,
      auroc,
      rejection: sources.map((source) => ({
        percentile: 1,
        source,
        decisionRejectionRate: source === "training" ? 0.25 : 0.125,
        perClassRejectionRate: source === "training" ? 0.75 : 0.625,
      })),
    })),
  };
}

/** A made-up outcome; on the test images one percent point less, and one set of AUROC 0.5. */
export const measured = (accuracy: number, aurocs: readonly number[]): MeasuredOutcome => ({
  kind: "measured",
  seconds: 90,
  parameters: 1000,
  final: { loss: 1.5, parts: { margin: 1.5 }, trainAccuracy: 0.875 },
  choosing: measurement(accuracy, aurocs),
  test: measurement(accuracy - 0.01, [0.5]),
  model: "ab".repeat(32),
});
