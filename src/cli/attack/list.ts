import type { AttackDefinition } from "../../attacks/attack.ts";
import { attackDefinitions } from "../../attacks/attacks.ts";
import { oneOf } from "../../core/names.ts";
import { kebab } from "../options.ts";
import { printJson, printLine } from "../output.ts";
import { settingsOf } from "./settings.ts";

/** All attacks, or one, with source and settings. `taken`: names that are options of the command itself. Errors: UserError for an unknown name. */
export function listAttacks(name: string | undefined, json: boolean, taken: ReadonlySet<string>): void {
  const names = attackDefinitions.map((definition) => definition.name);
  const only = name === undefined ? undefined : oneOf("attack", name, names);
  const shown = attackDefinitions.filter((definition) => only === undefined || definition.name === only);
  if (json) {
    printJson(shown.map(facts));
    return;
  }
  for (const definition of shown) {
    const { kind, distance, needs } = definition.create();
    const what = kind === "minimal" ? "the nearest adversarial" : "within --epsilon";
    printLine(`${definition.name}: ${definition.about} (${definition.source}); ${what}, ${distance}, needs ${needs}`);
    for (const setting of settingsOf(definition)) {
      const choices = setting.choices ? `: ${setting.choices.join(" | ")}` : "";
      const value = setting.default === undefined ? "<value>" : JSON.stringify(setting.default);
      const option = taken.has(setting.name) ? `--set ${setting.name}=${value}` : `--${kebab(setting.name)} ${value}`;
      printLine(`    ${option}  ${setting.description}${choices}`);
    }
  }
}

function facts(definition: AttackDefinition): unknown {
  const { kind, distance, needs } = definition.create();
  const { name, about, source } = definition;
  return { name, about, source, kind, distance, needs, settings: settingsOf(definition) };
}
