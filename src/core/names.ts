import { closest } from "fastest-levenshtein";
import { UserError } from "./errors.ts";

/** `value` if it is one of `known`; else a UserError that names what was expected and the nearest match. */
export function oneOf<T extends string>(what: string, value: string, known: readonly T[]): T {
  const found = known.find((name) => name === value);
  if (found !== undefined) return found;
  throw new UserError(`unknown ${what} "${value}": did you mean "${closest(value, [...known])}"? Known: ${known.join(", ")}`);
}
