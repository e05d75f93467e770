import { type Command, Option } from "commander";
import { type PresetName, resolveConfig } from "../../train/config.ts";
import { renderConfig } from "../config-file.ts";
import { configOptions, givenConfig } from "../options.ts";
import { printJson } from "../output.ts";
import { freshStart } from "./train.ts";

export function addConfig(program: Command): void {
  const command = program
    .command("config")
    .summary("print a training's config, to be edited and given to --config")
    .description("Prints the config that `sdim train` would use with the same options, as YAML with what every key means.")
    .addOption(new Option("--data <name|path>", "data to be trained on: of cifar10 and svhn, training images are cropped and flipped"))
    .option("--json", "print it as JSON, without the meanings");
  configOptions(command);
  command.addHelpText(
    "after",
    "\nExample:\n  $ sdim config --preset paper > my.yaml\n  $ sdim train --data mnist --out runs/p --config my.yaml\n  $ sdim config --data cifar10 --preset paper > cifar10.yaml",
  );
  command.action((options: { readonly data?: string; readonly preset: PresetName; readonly json?: boolean } & Record<string, unknown>) => {
    const config = options.data === undefined ? resolveConfig(givenConfig(options), options.preset) : freshStart(options).config;
    if (options.json) return printJson(config);
    process.stdout.write(renderConfig(config));
  });
}
