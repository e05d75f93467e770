import type { Command } from "commander";
import { type PresetName, resolveConfig } from "../../train/config.ts";
import { renderConfig } from "../config-file.ts";
import { configOptions, givenConfig } from "../options.ts";
import { printJson } from "../output.ts";

export function addConfig(program: Command): void {
  const command = program
    .command("config")
    .summary("print a training's config, to be edited and given to --config")
    .description("Prints the config that `sdim train` would use with the same options, as YAML with what every key means.")
    .option("--json", "print it as JSON, without the meanings");
  configOptions(command);
  command.addHelpText(
    "after",
    "\nExample:\n  $ sdim config --preset paper > my.yaml\n  $ sdim train --data mnist --out runs/p --config my.yaml",
  );
  command.action((options: { readonly preset: PresetName; readonly json?: boolean } & Record<string, unknown>) => {
    const config = resolveConfig(givenConfig(options), options.preset);
    if (options.json) return printJson(config);
    process.stdout.write(renderConfig(config));
  });
}
