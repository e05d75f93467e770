import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { describe, expect, it } from "vitest";
import { completionScript, shells } from "../../src/cli/completion.ts";
import { createProgram } from "../../src/cli/program.ts";
import { renderReference } from "../../src/cli/reference.ts";
import { flattened, shapeOf } from "../../src/cli/shape.ts";

const program = await createProgram();
const shape = shapeOf(program);

/** What bash offers for the last word of a line. */
function offered(...words: readonly string[]): string[] {
  const program = `${completionScript("bash", shape)}\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _sdim; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const said = execFileSync("bash", ["--norc", "-c", program, "bash", "sdim", ...words], { encoding: "utf8" });
  return said.split("\n").filter((line) => line !== "");
}

describe("completion in bash", () => {
  it("knows commands, commands of commands, options and choices", () => {
    expect(offered("")).toEqual(
      expect.arrayContaining(["train", "evaluate", "predict", "score", "export", "report", "completion", "help"]),
    );
    expect(offered("ev")).toEqual(["evaluate"]);
    expect(offered("data", "")).toEqual(expect.arrayContaining(["list", "get", "verify", "show"]));
    expect(offered("score", "m.onnx", "photos", "--sh")).toEqual(["--shard"]);
    expect(offered("export", "m.onnx", "--format", "")).toEqual(["onnx-fp16", "onnx-int8", "triton", "kserve"]);
    expect(offered("evaluate", "m.onnx", "--split", "t")).toEqual(["train", "test"]);
  });

  it("offers files for arguments, and for options that take one", () => {
    expect(offered("predict", "package.j")).toEqual(["package.json"]);
    expect(offered("evaluate", "m.onnx", "--out", "tsconfig.b")).toEqual(["tsconfig.build.json"]);
  });
});

it.each(shells)("the %s script has every command and every option", (shell) => {
  const script = completionScript(shell, shape);
  for (const { words, options } of flattened(shape)) {
    for (const { long } of options) expect(script).toContain(shell === "fish" ? `-l ${long.slice(2)} ` : long);
    if (words.length > 0) expect(script).toContain(words.at(-1)!);
  }
});

it("docs/commands.md says what --help says: npm run commands", () => {
  expect(readFileSync("docs/commands.md", "utf8")).toBe(renderReference(program));
});

it("every command has a description, an example unless it only leads to others, and the exit codes", () => {
  const text = renderReference(program);
  const sections = text.split("\n## ").slice(1);
  const withoutExample = sections
    .filter((section) => !/Examples?:|First steps:|Commands:/.test(section))
    .map((section) => section.split("\n")[0]);
  expect(withoutExample).toEqual([]);
  for (const section of sections) if (!section.includes("Commands:")) expect(section).toContain("Exit codes:");
});

it("a command that is named is loaded by itself, and is the same as among all", async () => {
  // Not the one above: its help has the width of the reference.
  const program = await createProgram();
  const loaded = await Promise.all(program.commands.map((command) => createProgram([command.name(), "--help"])));
  expect(loaded.map(({ commands }) => commands.map((command) => command.name()))).toEqual(
    program.commands.map((command) => (command.name() === "completion" ? program.commands.map((each) => each.name()) : [command.name()])),
  );
  const helps = (commands: readonly Command[]) => commands.map((command) => command.helpInformation());
  const alone = loaded.flatMap(({ commands }) =>
    commands.length === 1 ? commands : commands.filter((each) => each.name() === "completion"),
  );
  expect(helps(alone)).toEqual(helps(program.commands));
  expect((await createProgram(["trian"])).commands).toHaveLength(program.commands.length);
});
