import { describe, expect, it } from "vitest";
import { z } from "zod";
import { problemsIn } from "../../src/core/problems.ts";
import { resolveConfig } from "../../src/train/config.ts";

const wordsOf = (schema: z.ZodType, value: unknown): string => {
  const { error } = schema.safeParse(value);
  if (!error) throw new Error(`${JSON.stringify(value)} is right`);
  return problemsIn("it", error, value);
};

describe("problemsIn", () => {
  it.each([
    [z.number().positive(), -1, "it: expected more than 0, got -1"],
    [z.number().min(0).max(1), 2, "it: expected at most 1, got 2"],
    [z.number().lt(100), 100, "it: expected less than 100, got 100"],
    [z.int().min(2), 1.5, "it: expected a whole number, got 1.5"],
    [z.int().multipleOf(8), 12, "it: expected a multiple of 8, got 12"],
    [z.number(), "foo", 'it: expected a number, got "foo"'],
    [z.number(), Number.NaN, "it: expected a number, got NaN"],
    [z.boolean(), null, "it: expected true or false, got null"],
    [z.enum(["concat", "dot"]), "foo", 'it: expected "concat" or "dot", got "foo"'],
    [z.literal(2), 3, "it: expected 2, got 3"],
    [z.tuple([z.int(), z.int()]), [1], "it: expected at least 2 values, got [1]"],
    [z.array(z.string()).max(1), ["a", "b"], 'it: expected at most 1 values, got ["a","b"]'],
    [z.string().min(1), "", 'it: expected at least 1 characters, got ""'],
    [z.object({ a: z.string() }), {}, "it: a: expected text, but there is none"],
    [z.object({ a: z.array(z.object({ b: z.int() })) }), { a: [{ b: 1 }, { b: "x" }] }, 'it: a[1].b: expected a number, got "x"'],
    [z.strictObject({ a: z.int() }), { a: 1, b: 2, c: 3 }, 'it: unknown "b", "c"'],
    [z.union([z.int(), z.literal("all")]), true, 'it: expected a number or "all", got true'],
    [z.int().refine((n) => n % 2 === 0, "expected an even number"), 3, "it: expected an even number, got 3"],
    [z.int().refine(() => false, "needs something else first"), 3, "it: needs something else first"],
    [z.record(z.string(), z.number()), [], "it: expected keys with values, got []"],
    [z.string(), 7n, "it: expected text, got 7"],
  ])("says where, what was expected and what came (%#)", (schema, value, words) => expect(wordsOf(schema, value)).toBe(words));

  it("gives several problems a line each, and shows the beginning of what is long", () => {
    const value = { a: "x".repeat(100), b: 1 };
    expect(wordsOf(z.object({ a: z.int(), b: z.string() }), value)).toBe(
      `it:\n  a: expected a number, got "${"x".repeat(59)}...\n  b: expected text, got 1`,
    );
  });

  it("is how a config is refused", () => {
    expect(() => resolveConfig({ epochs: 0 })).toThrow(/^config: epochs: expected more than 0, got 0$/);
    expect(() => resolveConfig({ widths: [3, "x"], depth: 11 })).toThrow(
      /^config:\n {2}depth: expected 8n \+ 2 layers: 10, 18, 26, 34, \.\.\., got 11\n {2}widths: expected at least 4 values, got \[3,"x"\]$/,
    );
  });
});
