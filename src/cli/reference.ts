import type { Command } from "commander";

const width = 120;

/** The help of a command, with its examples and exit codes, as a terminal of 120 columns shows it. */
function helpOf(command: Command): string {
  let text = "";
  command.configureOutput({
    writeOut: (part) => {
      text += part;
    },
    getOutHelpWidth: () => width,
    getOutHasColors: () => false,
  });
  command.outputHelp();
  return text.trimEnd();
}

/** docs/commands.md: the help of every command. */
export function renderReference(program: Command): string {
  const sections = (command: Command, name: string): string[] => [
    `## ${name}\n\n\`\`\`text\n${helpOf(command)}\n\`\`\``,
    ...command.commands.flatMap((one) => sections(one, `${name} ${one.name()}`)),
  ];
  return `# Commands\n\nWhat \`--help\` says, made by \`npm run commands\`; a test holds it to the program.\n\n${sections(program, "sdim").join("\n\n")}\n`;
}
