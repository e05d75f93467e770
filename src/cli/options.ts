import { existsSync } from "node:fs";
import { type Command, InvalidArgumentError, Option } from "commander";
import { datasetNames } from "../data/registry.ts";
import { mostThreads, providers } from "../runtime/session.ts";
import { presetNames, type TrainConfig, trainConfigSchema } from "../train/config.ts";
import { choicesOf, describeKey, readConfigFile } from "./config-file.ts";

export function wholeNumber(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError(`expected a whole number, got "${text}"`);
  return Number(text);
}

export function positiveWholeNumber(text: string): number {
  if (wholeNumber(text) === 0) throw new InvalidArgumentError("expected a whole number above 0, got 0");
  return wholeNumber(text);
}

export function positiveNumber(text: string): number {
  const value = text.trim() === "" ? Number.NaN : Number(text);
  if (!(Number.isFinite(value) && value > 0)) throw new InvalidArgumentError(`expected a number above 0, got "${text}"`);
  return value;
}

/** Which of a model file's thresholds decide; whether it has them is known when it is read. */
export const percentileOption = (): Option =>
  new Option("--percentile <p>", "decide by the file's thresholds at this percentile (default: that in force)").argParser(number);

function number(text: string): number {
  const value = text.trim() === "" ? Number.NaN : Number(text);
  if (!Number.isFinite(value)) throw new InvalidArgumentError(`expected a number, got "${text}"`);
  return value;
}

/** "1,2" -> [1, 2] */
export function numberList(text: string): number[] {
  const numbers = text.split(",").map((part) => (part.trim() === "" ? Number.NaN : Number(part)));
  if (numbers.some((value) => !Number.isFinite(value)))
    throw new InvalidArgumentError(`expected numbers with commas between, got "${text}"`);
  return numbers;
}

export const wordList = (text: string): string[] => text.split(",").map((part) => part.trim());

/** Paths and names with commas between; a path that is there may have commas in it. */
export const pathList = (text: string): string[] => (existsSync(text) ? [text] : wordList(text));

export const dataOption = (required: boolean): Option =>
  new Option(
    "--data <name|path>",
    `data set (${datasetNames.join(", ")}); a folder with a folder of images per class, or a CSV of file,label; a folder with files in MNIST's, CIFAR10's or SVHN's form; a .bin file of CIFAR10's records`,
  ).makeOptionMandatory(required);

export const dataDirOption = (): Option => new Option("--data-dir <folder>", "look here for data sets first");

/** `whose`: what runs on so many. */
export const threadsOption = (whose = "the CPU provider"): Option =>
  new Option("--threads <n>", `threads of ${whose} (default: all cores)`).argParser(threadCount);

export const machineOptions = (command: Command): Command =>
  command.addOption(new Option("--provider <name>", "where the graph runs").choices(providers).default("cpu")).addOption(threadsOption());

function threadCount(text: string): number {
  const count = positiveWholeNumber(text);
  if (count <= mostThreads) return count;
  throw new InvalidArgumentError(`expected at most ${mostThreads} threads, got ${count}`);
}

export const kebab = (key: string): string => key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** What null is until `givenConfig`: commander makes an empty string of a null that an option's parser returns. */
const nothing = Symbol("null");

/** A value as written on the command line: numbers, booleans and null are seen as such, commas make a list. */
export function parseValue(text: string): unknown {
  if (text.includes(",")) return text.split(",").map(parseValue);
  if (text === "none" || text === "null") return null;
  if (text === "true" || text === "false") return text === "true";
  return text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
}

/** An option whose value is one of a list, for help and completion; checked, with the nearest of them, where it is used. */
export function named(flags: string, description: string, names: readonly string[]): Option {
  const option = new Option(flags, description);
  return names.length === 0 ? option : option.choices(names).argParser((text: string) => text);
}

/** One option per config key, from the config's schema: the schema is the one list of them. */
export function configOptions(command: Command): Command {
  command
    .addOption(new Option("--preset <name>", "starting point of the config").choices(presetNames).default("standard"))
    .option("--config <file>", "YAML or JSON file with config keys; options on the command line win over it");
  for (const key of Object.keys(trainConfigSchema.shape) as (keyof TrainConfig)[]) {
    command.addOption(named(`--${kebab(key)} <value>`, describeKey(key), choicesOf(key)).argParser((text) => parseValue(text) ?? nothing));
  }
  return command;
}

/** The config keys given in `--config FILE` and, over them, on the command line. */
export function givenConfig(options: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const fromFile = typeof options["config"] === "string" ? readConfigFile(options["config"]) : {};
  const given = Object.keys(trainConfigSchema.shape).filter((key) => options[key] !== undefined);
  return { ...fromFile, ...Object.fromEntries(given.map((key) => [key, options[key] === nothing ? null : options[key]])) };
}
