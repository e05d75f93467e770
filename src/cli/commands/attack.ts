import { type Command, Option } from "commander";
import { attackNames } from "../../attacks/attacks.ts";
import { criteria } from "../../attacks/criteria.ts";
import { UserError } from "../../core/errors.ts";
import { targetRules } from "../../evaluate/robustness/targets.ts";
import type { AttackCommandOptions } from "../attack/command-options.ts";
import { listAttacks } from "../attack/list.ts";
import { loadForAttack } from "../attack/model.ts";
import { attackOnce } from "../attack/one.ts";
import { addSettingOptions, epsilonList, givenSettings, keyValue } from "../attack/settings.ts";
import { attackStandard } from "../attack/standard.ts";
import { dataDirOption, dataOption, machineOptions, named, numberList, positiveWholeNumber, wholeNumber } from "../options.ts";
import { ownImageOptions } from "../own-images.ts";

export function addAttack(program: Command): void {
  const command = program
    .command("attack [model]")
    .summary("attack a model with adversarial examples")
    .description(
      "Attacks the images that a model file classifies correctly, and says how many come out wrong, how many of those are rejected, and how many evade the reject rule. Settings of an attack (--list --attack NAME shows them) are options as well: --steps 200, or --set steps=200.",
    )
    .addOption(named("--attack <name>", "which", attackNames))
    .option("--list", "say what attacks there are (or what the one of --attack is): source, settings")
    .option("--standard", "run the fixed suite of attacks, of each image the worst counts")
    .addOption(dataOption(false))
    .addOption(dataDirOption())
    .addOption(new Option("--split <name>", "split to attack").choices(["train", "val", "test"]).default("test"))
    .option(
      "--count <n>",
      "attack the first n images, of folders of every class in proportion (default: 1000, or all there are)",
      wholeNumber,
    )
    .option("--epsilon <e,...>", "largest perturbations, in units of the [0, 1] pixel range: 0.1,0.2 or 8/255", epsilonList)
    .option("--carry-over", "leave alone at a larger epsilon what gave way at a smaller one: its adversarial lies within both")
    .option("--targeted", "aim at a class per image")
    .option("--targets <rule>", `classes aimed at: ${targetRules.join(", ")}, or a class by name (default: random)`)
    .addOption(named("--criterion <name>", "when an image is adversarial (default: the attack's own)", [...criteria.keys()]))
    .option("--set <key=value>", "a setting of the attack, as often as needed", keyValue)
    .option(
      "--percentile <p,...>",
      "percentiles of the thresholds; attacks meet those of the first (default: that in force, 1 and 2)",
      numberList,
    )
    .option("--seed <n>", "of everything random", wholeNumber, 0)
    .option("--out <folder>", "keep finished parts and the result here; the same command again goes on where it was stopped")
    .option("--chunk <n>", "images of a part (default: 64)", positiveWholeNumber)
    .option("--grid <file.png>", "draw originals, adversarials and their differences")
    .option("--grid-rows <n>", "rows of that picture (default: 16)", positiveWholeNumber)
    .option("--twin <model>", "with --standard: also transfer attacks from this model")
    .option("--epsilon-l2 <e,...>", "with --standard: perturbations in l2", epsilonList)
    .option("--quick", "with --standard: 64 images; wide intervals")
    .option("--json", "print the result as JSON on stdout")
    .addHelpText(
      "after",
      "\nExamples:\n  $ sdim attack --list\n  $ sdim attack models/mnist/model.onnx --data mnist --attack pgd --loss accepted --epsilon 0.1,0.2 --count 100\n  $ sdim attack models/mnist/model.onnx --data mnist --standard --twin models/mnist-softmax/model.onnx --quick --out runs/robust",
    );
  ownImageOptions(command, false);
  machineOptions(command);
  const own = addSettingOptions(command);
  command.action(async (path: string | undefined, options: AttackCommandOptions) => {
    if (options.list) return listAttacks(options.attack, options.json === true, own);
    if (path === undefined) throw new UserError("attack: say which model file to attack, or --list");
    if (options.data === undefined) throw new UserError("attack: say which images to attack with --data");
    const settings = givenSettings(command, options.set);
    if (options.standard) {
      const [setting] = Object.keys(settings);
      if (setting !== undefined) throw new UserError(`--standard: the suite is fixed; leave out ${setting}, or --standard`);
    }
    const loaded = loadForAttack(path, options.percentile, options);
    if (options.standard) await attackStandard(loaded, options);
    else await attackOnce(loaded, settings, options);
  });
}
