import { Command, CommanderError } from "commander";
import { Interrupted, UserError } from "../core/errors.ts";
import { packageVersion } from "../core/version.ts";
import { addAttack } from "./commands/attack.ts";
import { addCalibrate } from "./commands/calibrate.ts";
import { addConfig } from "./commands/config.ts";
import { addData } from "./commands/data.ts";
import { addDoctor } from "./commands/doctor.ts";
import { addEvaluate } from "./commands/evaluate.ts";
import { addInspect } from "./commands/inspect.ts";
import { addPredict } from "./commands/predict.ts";
import { addQuickstart } from "./commands/quickstart.ts";
import { addReproduce } from "./commands/reproduce.ts";
import { addRuns } from "./commands/runs.ts";
import { addServe } from "./commands/serve.ts";
import { addTrain } from "./commands/train.ts";
import { note } from "./output.ts";

/** 0 done, 1 our failure, 2 the caller's mistake, 130 stopped by the user. */
const exitCodes = { done: 0, failure: 1, mistake: 2, interrupted: 130 } as const;

const program = new Command("sdim")
  .description('Image classifiers that can say "I don\'t know": Supervised Deep InfoMax, trained and used by ONNX Runtime.')
  .version(packageVersion())
  .showHelpAfterError("(--help says what is there)")
  .exitOverride()
  .addHelpText(
    "after",
    "\nFirst steps:\n  $ sdim doctor\n  $ sdim train --data mnist --out runs/a --epochs 5\n  $ sdim evaluate runs/a/model.onnx --data mnist --ood fashion-mnist --percentile 1,2\n  $ sdim predict runs/a/model.onnx samples/images/digit.png samples/images/shirt.png\n\nExit codes: 0 done, 1 our failure, 2 a mistake in what was asked, 130 stopped.",
  );
const commands = [
  addTrain,
  addCalibrate,
  addEvaluate,
  addAttack,
  addPredict,
  addInspect,
  addRuns,
  addConfig,
  addData,
  addDoctor,
  addReproduce,
  addServe,
  addQuickstart,
];
for (const add of commands) add(program);
const isolate = (command: Command): void => {
  command.exitOverride().showHelpAfterError("(--help says what is there)");
  command.commands.forEach(isolate);
};
program.commands.forEach(isolate);

// A reader that has seen enough (`| head`) is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(exitCodes.done);
  throw error;
});

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? exitCodes.done : exitCodes.mistake;
  } else if (error instanceof UserError) {
    note(`sdim: ${error.message}`);
    process.exitCode = exitCodes.mistake;
  } else if (error instanceof Interrupted) {
    note(`sdim: ${error.message}`);
    process.exitCode = exitCodes.interrupted;
  } else {
    note(`sdim: this is our failure, please report it:\n${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    process.exitCode = exitCodes.failure;
  }
}
