import { type Command, InvalidArgumentError, Option } from "commander";
import { z } from "zod";
import type { AttackDefinition } from "../../attacks/attack.ts";
import { attackDefinitions } from "../../attacks/attacks.ts";
import { UserError } from "../../core/errors.ts";
import { kebab, parseValue } from "../options.ts";

// Settings of attacks on the command line: their schemas are the one list of them.

/** What a setting may be, from its schema. */
export interface SettingFacts {
  readonly name: string;
  readonly description: string;
  readonly default: unknown;
  /** `linf | l2`, or undefined where it is no list. */
  readonly choices: readonly string[] | undefined;
}

export function settingsOf({ settings }: AttackDefinition): SettingFacts[] {
  const { properties = {} } = z.toJSONSchema(settings, { io: "input" });
  return Object.entries(properties).map(([name, property]) => {
    if (typeof property === "boolean") return { name, description: "", default: undefined, choices: undefined };
    const choices = property.enum?.map(String);
    return { name, description: property.description ?? "", default: property.default, choices };
  });
}

/** "8/255,0.1" -> [0.0314, 0.1] */
export function epsilonList(text: string): number[] {
  return text.split(",").map((part) => {
    const [numerator, denominator = "1", ...rest] = part.split("/").map((side) => side.trim());
    const value = rest.length > 0 || numerator === "" || denominator === "" ? Number.NaN : Number(numerator) / Number(denominator);
    if (!Number.isFinite(value)) throw new InvalidArgumentError(`expected numbers or fractions with commas between, got "${text}"`);
    return value;
  });
}

/** Collects `--set key=value`, as often as it is given. */
export function keyValue(text: string, before: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  const [, key, value] = /^([^=]+)=(.*)$/.exec(text) ?? [];
  if (key === undefined || value === undefined) throw new InvalidArgumentError(`expected key=value, got "${text}"`);
  return { ...before, [key.trim()]: parseValue(value) };
}

/** Every setting that the command's own options do not stand for, under the names of commander. */
const optionNames = (taken: ReadonlySet<string>): string[] =>
  [...new Set(attackDefinitions.flatMap(({ settings }) => Object.keys(settings.shape)))].filter((name) => !taken.has(name));

/** A hidden option per setting of any attack, except where the command has an option of that name: there --set serves. Returns those names. */
export function addSettingOptions(command: Command): ReadonlySet<string> {
  const taken = new Set(command.options.map((option) => option.attributeName()));
  for (const name of optionNames(taken)) command.addOption(new Option(`--${kebab(name)} <value>`).argParser(parseValue).hideHelp());
  return taken;
}

/** Settings given by --set and by options of their own. Errors: UserError for one given both ways. */
export function givenSettings(command: Command, set: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  const hidden = command.options.filter(({ hidden }) => hidden).map((option) => option.attributeName());
  const options = command.opts();
  const given = hidden.filter((name) => options[name] !== undefined);
  const twice = given.find((name) => name in set);
  if (twice !== undefined) throw new UserError(`${twice}: given by --set and by --${kebab(twice)}; one is enough`);
  return { ...set, ...Object.fromEntries(given.map((name) => [name, options[name]])) };
}
