import { Argument, type Command } from "commander";
import { completionScript, type Shell, shells } from "../completion.ts";
import { shapeOf } from "../shape.ts";

export function addCompletion(program: Command): void {
  program
    .command("completion")
    .summary("print a script that makes a shell complete sdim's commands and options")
    .description("Prints a completion script, made from the command line itself.")
    .addArgument(new Argument("<shell>", "whose script").choices(shells))
    .addHelpText(
      "after",
      "\nExamples:\n  $ source <(sdim completion bash)                                     # in ~/.bashrc\n  $ source <(sdim completion zsh)                                      # in ~/.zshrc, after compinit\n  $ sdim completion fish > ~/.config/fish/completions/sdim.fish",
    )
    .action((shell: Shell) => {
      process.stdout.write(completionScript(shell, shapeOf(program)));
    });
}
