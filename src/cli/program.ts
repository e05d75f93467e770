import { Command } from "commander";
import { packageVersion } from "../core/version.ts";
import { visible } from "./output.ts";

/** In the order of the help. Each is loaded when it is needed: all of them take half a second. */
const commands: Readonly<Record<string, () => Promise<(program: Command) => void>>> = {
  train: async () => (await import("./commands/train.ts")).addTrain,
  average: async () => (await import("./commands/average.ts")).addAverage,
  calibrate: async () => (await import("./commands/calibrate.ts")).addCalibrate,
  evaluate: async () => (await import("./commands/evaluate.ts")).addEvaluate,
  attack: async () => (await import("./commands/attack.ts")).addAttack,
  report: async () => (await import("./commands/report.ts")).addReport,
  predict: async () => (await import("./commands/predict.ts")).addPredict,
  score: async () => (await import("./commands/score.ts")).addScore,
  export: async () => (await import("./commands/export.ts")).addExport,
  serve: async () => (await import("./commands/serve.ts")).addServe,
  inspect: async () => (await import("./commands/inspect.ts")).addInspect,
  runs: async () => (await import("./commands/runs.ts")).addRuns,
  config: async () => (await import("./commands/config.ts")).addConfig,
  data: async () => (await import("./commands/data.ts")).addData,
  doctor: async () => (await import("./commands/doctor.ts")).addDoctor,
  reproduce: async () => (await import("./commands/reproduce.ts")).addReproduce,
  ablate: async () => (await import("./commands/ablate.ts")).addAblate,
  quickstart: async () => (await import("./commands/quickstart.ts")).addQuickstart,
  completion: async () => (await import("./commands/completion.ts")).addCompletion,
};

const exitCodes = "\nExit codes: 0 done, 1 our failure, 2 a mistake in what was asked, 130 stopped.";

/**
 * The command line, before it has read any arguments: what is parsed, completed and documented. All of it, or as much as `args` take: the command they name.
 */
export async function createProgram(args: readonly string[] = []): Promise<Command> {
  const program = new Command("sdim")
    .description('Image classifiers that can say "I don\'t know": Supervised Deep InfoMax, trained and used by ONNX Runtime.')
    .version(packageVersion())
    .addHelpText(
      "after",
      "\nFirst steps:\n  $ sdim doctor\n  $ sdim train --data mnist --out runs/a --epochs 5\n  $ sdim evaluate runs/a/model.onnx --data mnist --ood fashion-mnist --percentile 1,2\n  $ sdim predict runs/a/model.onnx samples/images/digit.png samples/images/shirt.png",
    );
  const needed = needsOneCommand(args) ? [args[0]!] : Object.keys(commands);
  for (const add of await Promise.all(needed.map((name) => commands[name]!()))) add(program);
  settle(program);
  return program;
}

/** Not of a name that is none, nor of help and completion, which know all of them. */
const needsOneCommand = ([name]: readonly string[]): boolean =>
  name !== undefined && Object.hasOwn(commands, name) && name !== "completion";

/** A mistake is thrown, not an exit, and said in signs that can be seen; usage names the options that must be there, every command's help ends with the exit codes. */
function settle(command: Command): void {
  command.configureOutput({ writeErr: (text) => process.stderr.write(visible(text)) });
  const required = command.options.filter(({ mandatory }) => mandatory).map(({ long, flags }) => `${long} ${flags.split(" ").at(-1)}`);
  if (required.length > 0) command.usage([...required, command.usage()].join(" "));
  command.exitOverride().showHelpAfterError("(--help says what is there)");
  if (!command.parent || command.commands.length === 0) command.addHelpText("after", exitCodes);
  command.commands.forEach(settle);
}
