import { existsSync } from "node:fs";
import { Argument, type Command, InvalidArgumentError } from "commander";
import { UserError } from "../../core/errors.ts";
import { oneOf } from "../../core/names.ts";
import { paperModels } from "../../evaluate/protocols/paper.ts";
import { countedAttacks } from "../../evaluate/protocols/paper-attacks.ts";
import { dataDirOption, positiveWholeNumber, threadsOption, wordList } from "../options.ts";
import { printLine } from "../output.ts";
import { attackedNames, reproduceAttacked } from "../reproduce/attacked.ts";
import { evaluatedNames, reproduceEvaluated } from "../reproduce/evaluated.ts";
import { modelPath, type ReproduceOptions } from "../reproduce/options.ts";
import { reproduceRules, rulesName } from "../reproduce/rules.ts";

const dataSets = [...new Set(paperModels.map(({ data }) => data))];
const modelNames = paperModels.map(({ id }) => id);
const names = [...evaluatedNames, rulesName, ...attackedNames];

export function addReproduce(program: Command): void {
  program
    .command("reproduce")
    .summary("make the paper's tables and figures, its numbers beside ours")
    .description("Makes tables and figures of the paper from model files, as Markdown, JSON, SVG and PNG.")
    .addArgument(new Argument("[what...]", "which").choices(names))
    .option("--models <folder>", "where the model files are, <folder>/<id>/model.onnx", "models")
    .option("--out <folder>", "where results go", "results")
    .option("--runs <folder>", "where trainings and attacks keep what they have done, to go on with it", "runs/reproduce")
    .option("--data <name,...>", "only models of these data sets", wordList)
    .option("--only <model,...>", "only these models, by their names in --list; of a table under --out the rows of others stay", wordList)
    .option("--svhn <spec>", "data set, folder or file that stands for SVHN where it is out-of-distribution (default: svhn)")
    .addOption(dataDirOption())
    .option(
      "--count <n|name=n,...>",
      "images to attack, the first of the test set: of all, or by name of a data set or an attack (default: 1000, the paper's)",
      counts,
    )
    .addOption(threadsOption("the attacks"))
    .option("--train", "train the models that are missing (hours), into the runs' folder")
    .option("--list", "say what there is to reproduce, and which models are there")
    .addHelpText(
      "after",
      "\nExamples:\n  $ sdim reproduce --list\n  $ sdim reproduce table2 table3 figure2 --data fashion-mnist\n  $ sdim reproduce table5 table7 figure4 --data mnist --count 100\n  $ sdim reproduce table5 --count mnist=64,cifar10=16,deepfool=1000",
    )
    .action(async (what: readonly string[], options: ReproduceOptions) => {
      if (options.list) return list(options);
      if (what.length === 0) throw new UserError(`reproduce: name what to make: ${names.join(", ")}; or --list`);
      for (const name of options.data ?? []) oneOf("--data", name, dataSets);
      for (const name of options.only ?? []) oneOf("--only", name, modelNames);
      const wanted = paperModels.filter(({ id, data }) => (options.data?.includes(data) ?? true) && (options.only?.includes(id) ?? true));
      const evaluated = what.filter((name) => evaluatedNames.includes(name));
      if (evaluated.length > 0) await reproduceEvaluated(evaluated, wanted, options);
      if (what.includes(rulesName)) await reproduceRules(wanted, options);
      const attacked = what.filter((name) => attackedNames.includes(name));
      if (attacked.length > 0) await reproduceAttacked(attacked, wanted, options);
    });
}

/** "64", or "mnist=64,cifar10=16,deepfool=1000". */
function counts(text: string): number | ReadonlyMap<string, number> {
  if (!text.includes("=")) return positiveWholeNumber(text);
  const attacks = countedAttacks.map(({ id }) => id);
  return new Map(
    wordList(text).map((part) => {
      const [name = "", count = "", ...rest] = part.split("=");
      if (![...dataSets, ...attacks].includes(name) || rest.length > 0) {
        throw new InvalidArgumentError(
          `expected a number, or name=number with a data set (${dataSets.join(", ")}) or an attack (${attacks.join(", ")}); got "${part}"`,
        );
      }
      return [name, positiveWholeNumber(count)];
    }),
  );
}

function list(options: ReproduceOptions): void {
  printLine(`to make: ${names.join(", ")}`);
  for (const model of paperModels) {
    const there = existsSync(modelPath(options, model));
    printLine(
      `${model.id.padEnd(24)} ResNet${model.depth} on ${model.data.padEnd(14)} ${there ? modelPath(options, model) : "not trained"}`,
    );
  }
}
