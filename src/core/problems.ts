import type { z } from "zod";

// What a schema finds wrong in a value, in the words of our other messages: where, what was expected, what came.

type Issue = z.core.$ZodIssue;

const kinds: Readonly<Record<string, string>> = {
  number: "a number",
  int: "a whole number",
  string: "text",
  boolean: "true or false",
  array: "a list",
  tuple: "a list",
  object: "keys with values",
  record: "keys with values",
  null: "null",
};

/** More help nobody. */
const mostLines = 20;

/** Of a value that came no more than this is shown. */
const longestShown = 60;

/**
 * A line for each of the first problems after what it is about, as in `config: epochs: expected more than 0, got -1`; several on lines of their own. `value`: what the schema
 * was given.
 */
export function problemsIn(about: string, { issues }: z.ZodError, value: unknown): string {
  const lines = issues.slice(0, mostLines).map((issue) => `${inWords(issue.path)}${problem(issue, valueAt(value, issue.path))}`);
  if (issues.length > mostLines) lines.push(`and ${issues.length - mostLines} more`);
  return lines.length === 1 ? `${about}: ${lines[0]}` : [`${about}:`, ...lines.map((line) => `  ${line}`)].join("\n");
}

/** `widths[2]: `; nothing for the value itself. */
function inWords(path: Issue["path"]): string {
  const parts = path.map((key, i) => (typeof key === "number" ? `[${key}]` : `${i === 0 ? "" : "."}${String(key)}`));
  return parts.length === 0 ? "" : `${parts.join("")}: `;
}

function problem(issue: Issue, value: unknown): string {
  if (issue.code === "unrecognized_keys") return `unknown ${issue.keys.map((key) => `"${key}"`).join(", ")}`;
  // A rule of ours that says what it expects is told what came; others say all there is.
  if (issue.code === "custom" && !issue.message.startsWith("expected")) return issue.message;
  return `${expectation(issue)}, ${value === undefined ? "but there is none" : `got ${shown(value)}`}`;
}

function expectation(issue: Issue): string {
  switch (issue.code) {
    case "invalid_type":
      return `expected ${kinds[issue.expected] ?? issue.expected}`;
    case "invalid_value":
      return `expected ${issue.values.map((value) => (typeof value === "string" ? `"${value}"` : String(value))).join(" or ")}`;
    case "too_small":
      return `expected ${issue.exact ? "" : issue.inclusive ? "at least " : "more than "}${issue.minimum}${unitOf(issue.origin)}`;
    case "too_big":
      return `expected ${issue.exact ? "" : issue.inclusive ? "at most " : "less than "}${issue.maximum}${unitOf(issue.origin)}`;
    case "not_multiple_of":
      return `expected a multiple of ${issue.divisor}`;
    case "invalid_union":
      return unionInWords(issue.errors);
    case "custom":
      return issue.message;
    default:
      return `expected something else (${issue.message})`;
  }
}

/** What the alternatives expected, as far as it can be said in a line. */
function unionInWords(alternatives: readonly (readonly Issue[])[]): string {
  const wants = alternatives.flatMap((issues) => (issues[0] && issues[0].path.length === 0 ? [expectation(issues[0])] : []));
  return wants.length === 0
    ? "expected something else"
    : `expected ${[...new Set(wants)].map((want) => want.replace(/^expected /, "")).join(" or ")}`;
}

const unitOf = (origin: string): string => (origin === "array" ? " values" : origin === "string" ? " characters" : "");

function valueAt(value: unknown, path: Issue["path"]): unknown {
  let at = value;
  for (const key of path) {
    if (typeof at !== "object" || at === null) return undefined;
    at = (at as Record<PropertyKey, unknown>)[key];
  }
  return at;
}

function shown(value: unknown): string {
  const text = textOf(value);
  return text.length > longestShown ? `${text.slice(0, longestShown)}...` : text;
}

function textOf(value: unknown): string {
  // JSON would make null of NaN.
  if (typeof value === "number") return String(value);
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    // Big integers and circles have no JSON.
    return String(value);
  }
}
