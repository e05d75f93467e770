import { distance } from "fastest-levenshtein";
import { UserError } from "./errors.ts";
import { requireObject } from "./kinds.ts";

/** `value` if it is one of `known`; else a UserError that names what was expected and, where one is near, the nearest match. */
export function oneOf<T extends string>(what: string, value: string, known: readonly T[]): T {
  const found = known.find((name) => name === value);
  if (found !== undefined) return found;
  const nearest = nearestOf(value, known);
  throw new UserError(
    `unknown ${what} "${value}":${nearest === undefined ? "" : ` did you mean "${nearest}"?`} Known: ${known.join(", ")}`,
  );
}

/** The name that is fewest changes away, whatever its case; undefined where that is more than two and more than a third of it. */
function nearestOf(value: string, known: readonly string[]): string | undefined {
  const away = known.map((name) => distance(value.toLowerCase(), name.toLowerCase()));
  const least = Math.min(...away);
  const nearest = known[away.indexOf(least)];
  return nearest !== undefined && least <= Math.max(2, nearest.length / 3) ? nearest : undefined;
}

/** Errors: UserError for what has no keys, or a key that is none of `known`, with the nearest: what a compiler would say, to those who have none. */
export function requireKnownKeys(what: string, given: object, known: readonly string[]): void {
  requireObject(`options of ${what}`, "an object", given);
  for (const key of Object.keys(given)) oneOf(`option of ${what}`, key, known);
}
