import { describe, expect, it } from "vitest";
import { LossTrace, renderTraining, TrainingView } from "../../src/cli/live-view.ts";
import { describeEarlyEnd } from "../../src/cli/output.ts";
import { bar, bin, plot, sparkline } from "../../src/cli/plot.ts";
import type { TrainProgress } from "../../src/train/train.ts";

const progress = (step: number): TrainProgress => ({
  step,
  steps: 25,
  stepsPerEpoch: 10,
  epoch: step / 10,
  epochs: 2.5,
  loss: 30 - step,
  parts: { mutualInformation: 0.5, margin: 2 },
  trainAccuracy: 0.5,
  learningRate: 0.00125,
  imagesPerSecond: 366.4,
  secondsLeft: 242,
});

describe("renderTraining", () => {
  it("shows where the training is", () => {
    expect(renderTraining(progress(5), [3, 2, 1], 100)).toEqual([
      `epoch 1 of 3  ${"█".repeat(15)}${"░".repeat(15)}  step 5 of 25`,
      "loss 25.00  (MI 0.50  margin 2.00)  batch accuracy 50.0%",
      "366 images/s  learning rate 0.00125  4 min 2 s left",
      "loss  █▅▁  3.00 to 1.00",
    ]);
  });

  it.each([
    [10, "epoch 1 of 3", 30],
    [11, "epoch 2 of 3", 3],
    // The last epoch has five steps.
    [21, "epoch 3 of 3", 6],
    [25, "epoch 3 of 3", 30],
  ])("at step %i", (step, epoch, filled) => {
    const [line] = renderTraining(progress(step), [], 100);
    expect(line).toContain(`${epoch}  ${"█".repeat(filled)}${"░".repeat(30 - filled)}`);
  });

  it("keeps to the width of the terminal", () => {
    const losses = Array.from({ length: 300 }, (_, i) => i);
    for (const line of renderTraining(progress(5), losses, 40)) expect(line.length).toBeLessThanOrEqual(40);
  });
});

describe("TrainingView", () => {
  it("draws over its own lines, and over nothing else", () => {
    // Three lines up, to the left, and clear from there on.
    const up = "\u001b[3A\r\u001b[J";
    let written = "";
    const view = new TrainingView({ isTTY: true, columns: 0, write: (text) => (written += text) });
    view.show(progress(1));
    expect(written).toMatch(/^epoch 1 of 3 .*\n.*\n.*\n$/);
    const before = written;
    view.epoch({
      ...progress(10),
      epoch: 1,
      seconds: 3,
      elapsedSeconds: 3,
      validation: { accuracy: 0.5, logLikelihood: -2, rejectionRate: 0.01 },
    });
    const [erased, rest] = [written.slice(before.length, before.length + up.length), written.slice(before.length + up.length)];
    expect(erased).toBe(up);
    expect(rest).toMatch(
      /^epoch 1 done: loss 20\.00 .* training accuracy 50\.00% {2}validation 50\.00%, log-likelihood -2\.0, 1\.00% rejected {2}3 s\nepoch 1 of 3/,
    );
    view.show(progress(25));
    view.end();
    const ended = written;
    view.epoch({ ...progress(25), epoch: 2.5, seconds: 3, elapsedSeconds: 3, validation: null });
    expect(written.slice(ended.length)).toMatch(/^epoch 2\.50 done: .*\n$/);
  });
});

describe("describeEarlyEnd", () => {
  const epochs = [0.5, 0.7, 0.6, 0.7].map((accuracy, i) => ({
    ...progress(10 * (i + 1)),
    epoch: i + 1,
    seconds: 1,
    elapsedSeconds: i + 1,
    validation: { accuracy, logLikelihood: -2, rejectionRate: null },
  }));

  it("says which epoch was the best, where patience is over", () => {
    expect(describeEarlyEnd(epochs, 2)).toBe("ended early, after 4 epochs: none of the last 2 had a better validation score than epoch 2");
    expect(describeEarlyEnd(epochs, 3)).toBe(undefined);
    expect(describeEarlyEnd(epochs, null)).toBe(undefined);
    expect(describeEarlyEnd([], 1)).toBe(undefined);
    // As many right, but a higher likelihood: better.
    const better = { ...epochs[3]!, validation: { ...epochs[3]!.validation, logLikelihood: -1 } };
    expect(describeEarlyEnd([...epochs.slice(0, 3), better], 2)).toBe(undefined);
  });
});

describe("LossTrace", () => {
  it("keeps the shape of a long training in few points", () => {
    const trace = new LossTrace(8);
    for (let i = 0; i < 64; i++) trace.add(i);
    expect(trace.values.length).toBeLessThan(8);
    expect(trace.values.length).toBeGreaterThanOrEqual(4);
    expect(trace.values.every((value, i) => i === 0 || value > trace.values[i - 1]!)).toBe(true);
    expect(trace.values[0]).toBe(7.5);
  });
});

describe("plots", () => {
  it("bin by means", () => {
    expect(bin([1, 3, 5, 7], 2)).toEqual([2, 6]);
    expect(bin([1, 3], 5)).toEqual([1, 3]);
  });

  it("draw from the lowest value to the highest", () => {
    expect(sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8)).toBe("▁▂▃▄▅▆▇█");
    expect(sparkline([2, 2], 8)).toBe("▁▁");
    expect(bar(0.5, 4)).toBe("██░░");
    expect(plot([4, 3, 2, 1], 4, 4, ["1", "9"])).toEqual([
      "4.000 |*",
      "3.000 | *",
      "2.000 |  *",
      "1.000 |   *",
      "      +----",
      "       1  9",
    ]);
    expect(plot([1, 2], 6, 2, ["a", "b"])).toEqual(["2.000 |   ***", "1.000 |***", "      +------", "       a    b"]);
  });
});
