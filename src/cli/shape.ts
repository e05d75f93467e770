import type { Command, Option } from "commander";

/** A command as completion and the reference see it. */
export interface CommandShape {
  /** Words that lead to it: [] the program itself, ["data", "get"]. */
  readonly words: readonly string[];
  readonly summary: string;
  readonly options: readonly OptionShape[];
  /** What its first argument may be, where that is one of a list. */
  readonly choices: readonly string[];
  readonly commands: readonly CommandShape[];
}

export interface OptionShape {
  /** `--data`, `--help` */
  readonly long: string;
  readonly summary: string;
  readonly takesValue: boolean;
  /** Where its value is one of a list. */
  readonly choices: readonly string[];
}

const firstLine = (text: string): string => text.split("\n")[0]!;

const optionShape = ({ long, description, required, optional, argChoices }: Option): OptionShape[] =>
  long ? [{ long, summary: firstLine(description), takesValue: required || optional, choices: argChoices ?? [] }] : [];

/** Walks a program, so that what is made of it cannot drift from what it takes. */
export function shapeOf(command: Command, words: readonly string[] = []): CommandShape {
  const help = command.createHelp();
  return {
    words,
    summary: firstLine(command.summary() || command.description()),
    options: help.visibleOptions(command).flatMap(optionShape),
    choices: command.registeredArguments[0]?.argChoices ?? [],
    commands: help.visibleCommands(command).map((one) => shapeOf(one, [...words, one.name()])),
  };
}

/** A command and all below it. */
export const flattened = (shape: CommandShape): CommandShape[] => [shape, ...shape.commands.flatMap(flattened)];
