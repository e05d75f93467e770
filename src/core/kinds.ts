import { UserError } from "./errors.ts";

// What a compiler would say of values, to callers who have none.

/** Whether `value` is of the built-in class of that name. Not by instanceof: an array may come from another realm. */
export const isOfKind = (value: unknown, name: string): boolean => Object.prototype.toString.call(value) === `[object ${name}]`;

/** `"pgd"`, `0.1`, `Float64Array`. */
export function kindOf(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "function") return `the function ${value.name}`;
  if (typeof value !== "object" || value === null) return String(value);
  return value.constructor?.name ?? "an object";
}

/** Errors: UserError where `value` has none of what an object has: `images: expected ..., got undefined`. */
export function requireObject(what: string, wanted: string, value: unknown): void {
  if (typeof value !== "object" || value === null) throw unexpected(what, wanted, value);
}

export const unexpected = (what: string, wanted: string, got: unknown): UserError =>
  new UserError(`${what}: expected ${wanted}, got ${kindOf(got)}`);
