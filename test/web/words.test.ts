import { expect, it } from "vitest";
import { rejectScoreInWords, rejectScores } from "../../src/nn/reject-score.ts";
import { number, scoreInWords } from "../../web/src/words.ts";

it("the page calls what a model rejects by as reports do", () => {
  for (const head of ["sdim", "softmax"] as const) {
    for (const rejectBy of rejectScores) expect(scoreInWords({ head, rejectBy })).toBe(rejectScoreInWords({ head, rejectBy }));
    expect(scoreInWords({ head })).toBe(rejectScoreInWords({ head }));
  }
});

it.each([
  [0, "0"],
  [-0, "0"],
  [-0.00001234567, "−0.00001235"],
  [-1.234567e-9, "−1.235e−9"],
  [-0.0512345, "−0.05123"],
  [-1.2541, "−1.254"],
  [-42.36077, "−42.36"],
  [-514.67, "−514.7"],
  [-1328.07, "−1328.1"],
  [12345.67, "12345.7"],
])("%f is %s", (value, text) => {
  expect(number(value)).toBe(text);
});
