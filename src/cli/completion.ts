import { type CommandShape, flattened, type OptionShape } from "./shape.ts";

export const shells = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof shells)[number];

/** A script that makes a shell complete the commands, options and choices of `sdim`. */
export const completionScript = (shell: Shell, program: CommandShape): string => scripts[shell](flattened(program));

/** In single quotes, as all three shells take it. */
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
const fishQuoted = (text: string): string => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;

/** `/data/get`; of the program itself, the empty text. */
const at = ({ words }: CommandShape): string => words.map((word) => `/${word}`).join("");

const scripts: Readonly<Record<Shell, (commands: readonly CommandShape[]) => string>> = { bash, zsh, fish };

/** The options of a command whose value is one of a list, with the pattern of a `case`. */
const choiceCases = (commands: readonly CommandShape[], line: (choices: readonly string[]) => string): string =>
  commands
    .flatMap((command) =>
      command.options
        .filter(({ choices }) => choices.length > 0)
        .map(({ long, choices }) => `    ${quoted(`${at(command)}:${long}`)}) ${line(choices)}; return ;;`),
    )
    .join("\n");

const valueOptions = (commands: readonly CommandShape[]): string =>
  [...new Set(commands.flatMap(({ options }) => options.filter(({ takesValue }) => takesValue).map(({ long }) => long)))].join("|");

/** What may come next, where that is one of a list: commands below it, or what its argument may be. */
const nextWords = ({ commands, choices }: CommandShape): { readonly name: string; readonly summary: string }[] => [
  ...commands.map(({ words, summary }) => ({ name: words.at(-1)!, summary })),
  ...choices.map((name) => ({ name, summary: "" })),
];

/** Which words lead to a command: everything else on the line is an argument. */
const pathCases = (commands: readonly CommandShape[]): string =>
  commands
    .filter(({ words }) => words.length > 0)
    .map((command) => quoted(at(command)))
    .join("|");

function bash(commands: readonly CommandShape[]): string {
  const words = commands.map(
    (command) =>
      `    ${quoted(at(command))}) options=${quoted(command.options.map(({ long }) => long).join(" "))} commands=${quoted(
        nextWords(command)
          .map(({ name }) => name)
          .join(" "),
      )} ;;`,
  );
  return `# bash completion of sdim: source <(sdim completion bash)
_sdim() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" at="" word options="" commands=""
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$at/$word" in ${pathCases(commands)}) at="$at/$word" ;; esac
  done
  case "$at:$previous" in
${choiceCases(commands, (choices) => `mapfile -t COMPREPLY < <(compgen -W ${quoted(choices.join(" "))} -- "$current")`)}
  esac
  case "$previous" in ${valueOptions(commands)}) mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;; esac
  case "$at" in
${words.join("\n")}
  esac
  if [[ $current == -* ]]; then mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
  elif [[ -n $commands ]]; then mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$current")
  else mapfile -t COMPREPLY < <(compgen -f -- "$current"); fi
}
complete -o filenames -F _sdim sdim
`;
}

/** `name:what it is`; a colon within the name or after it would end it early. */
const described = (name: string, summary: string): string => quoted(`${name.replaceAll(":", "\\:")}:${summary}`);

function zsh(commands: readonly CommandShape[]): string {
  const list = (entries: readonly string[]) => `(${entries.join(" ")})`;
  const words = commands.map(
    (command) =>
      `    ${quoted(at(command))})\n      options=${list(command.options.map(({ long, summary }) => described(long, summary)))}\n      commands=${list(nextWords(command).map(({ name, summary }) => described(name, summary)))} ;;`,
  );
  return `#compdef sdim
# zsh completion of sdim: source <(sdim completion zsh), after compinit
_sdim() {
  local at="" word previous="\${words[CURRENT-1]}"
  local -a options commands
  for word in "\${(@)words[2,CURRENT-1]}"; do
    case "$at/$word" in (${pathCases(commands)}) at="$at/$word" ;; esac
  done
  case "$at:$previous" in
${choiceCases(commands, (choices) => `compadd -- ${choices.map(quoted).join(" ")}`).replaceAll(/^ {4}'/gm, "    ('")}
  esac
  case "$previous" in (${valueOptions(commands)}) _files; return ;; esac
  case "$at" in
${words.join("\n").replaceAll(/^ {4}'/gm, "    ('")}
  esac
  if [[ $PREFIX == -* ]]; then _describe option options
  elif (( $#commands )); then _describe command commands
  else _files; fi
}
compdef _sdim sdim
`;
}

function fish(commands: readonly CommandShape[]): string {
  const condition = ({ words }: CommandShape) =>
    words.length === 0 ? "__fish_use_subcommand" : words.map((word) => `__fish_seen_subcommand_from ${word}`).join("; and ");
  const option = (command: CommandShape, { long, summary, takesValue, choices }: OptionShape) =>
    [
      `complete -c sdim -n ${fishQuoted(condition(command))} -l ${long.slice(2)} -d ${fishQuoted(summary)}`,
      ...(choices.length > 0 ? [`-x -a ${fishQuoted(choices.join(" "))}`] : takesValue ? ["-r"] : []),
    ].join(" ");
  const next = (command: CommandShape) =>
    nextWords(command).map(({ name, summary }, _, all) => {
      const others = all.map((one) => one.name).join(" ");
      const when = command.words.length === 0 ? condition(command) : `${condition(command)}; and not __fish_seen_subcommand_from ${others}`;
      return `complete -c sdim -f -n ${fishQuoted(when)} -a ${name} -d ${fishQuoted(summary)}`;
    });
  return `# fish completion of sdim: sdim completion fish | source
${commands.flatMap((command) => [...next(command), ...command.options.map((one) => option(command, one))]).join("\n")}
`;
}
