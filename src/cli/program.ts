import { Command } from "commander";
import { packageVersion } from "../core/version.ts";
import { addAblate } from "./commands/ablate.ts";
import { addAttack } from "./commands/attack.ts";
import { addAverage } from "./commands/average.ts";
import { addCalibrate } from "./commands/calibrate.ts";
import { addCompletion } from "./commands/completion.ts";
import { addConfig } from "./commands/config.ts";
import { addData } from "./commands/data.ts";
import { addDoctor } from "./commands/doctor.ts";
import { addEvaluate } from "./commands/evaluate.ts";
import { addExport } from "./commands/export.ts";
import { addInspect } from "./commands/inspect.ts";
import { addPredict } from "./commands/predict.ts";
import { addQuickstart } from "./commands/quickstart.ts";
import { addReport } from "./commands/report.ts";
import { addReproduce } from "./commands/reproduce.ts";
import { addRuns } from "./commands/runs.ts";
import { addScore } from "./commands/score.ts";
import { addServe } from "./commands/serve.ts";
import { addTrain } from "./commands/train.ts";
import { visible } from "./output.ts";

const commands = [
  addTrain,
  addAverage,
  addCalibrate,
  addEvaluate,
  addAttack,
  addReport,
  addPredict,
  addScore,
  addExport,
  addServe,
  addInspect,
  addRuns,
  addConfig,
  addData,
  addDoctor,
  addReproduce,
  addAblate,
  addQuickstart,
  addCompletion,
];

const exitCodes = "\nExit codes: 0 done, 1 our failure, 2 a mistake in what was asked, 130 stopped.";

/** The whole command line, before it has read any arguments: what is parsed, completed and documented. */
export function createProgram(): Command {
  const program = new Command("sdim")
    .description('Image classifiers that can say "I don\'t know": Supervised Deep InfoMax, trained and used by ONNX Runtime.')
    .version(packageVersion())
    .addHelpText(
      "after",
      "\nFirst steps:\n  $ sdim doctor\n  $ sdim train --data mnist --out runs/a --epochs 5\n  $ sdim evaluate runs/a/model.onnx --data mnist --ood fashion-mnist --percentile 1,2\n  $ sdim predict runs/a/model.onnx samples/images/digit.png samples/images/shirt.png",
    );
  for (const add of commands) add(program);
  settle(program);
  return program;
}

/** A mistake is thrown, not an exit, and said in signs that can be seen; usage names the options that must be there, every command's help ends with the exit codes. */
function settle(command: Command): void {
  command.configureOutput({ writeErr: (text) => process.stderr.write(visible(text)) });
  const required = command.options.filter(({ mandatory }) => mandatory).map(({ long, flags }) => `${long} ${flags.split(" ").at(-1)}`);
  if (required.length > 0) command.usage([...required, command.usage()].join(" "));
  command.exitOverride().showHelpAfterError("(--help says what is there)");
  if (!command.parent || command.commands.length === 0) command.addHelpText("after", exitCodes);
  command.commands.forEach(settle);
}
