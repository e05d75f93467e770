import { hasCheckpoint } from "../../src/train/checkpoint.ts";
import { train } from "../../src/train/train.ts";
import { tinyConfig, trainingDigits } from "./digits.ts";

// A training to be killed: `train-child.ts OUT`. Says every step it has done, and goes on where it was.

const out = process.argv[2]!;
const config = tinyConfig({ epochs: 12, validation: 0.2, ema: 0.9, keep: "best-validation", flip: true });
await train({
  config,
  data: await trainingDigits(),
  out,
  resume: hasCheckpoint(out),
  force: true,
  checkpointEverySteps: 3,
  onProgress: ({ step }) => process.stdout.write(`${step}\n`),
});
