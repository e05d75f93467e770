import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { temporaryFolder } from "../support/digits.ts";

it("examples/train-and-classify.mjs runs against the built package", async () => {
  const { stdout } = await promisify(execFile)(process.execPath, ["examples/train-and-classify.mjs", temporaryFolder()]);
  const accuracy = /accuracy on 10,000 mnist images +(\d+\.\d+)%/.exec(stdout);
  expect(Number(accuracy![1])).toBeGreaterThan(85);
  expect(stdout).toMatch(/samples\/images\/digit\.png: (7|I don't know)/);
});
