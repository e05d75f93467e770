import type { FastifyRequest } from "fastify";
import type { z } from "zod";
import { UserError } from "../core/errors.ts";
import { problemsIn } from "../core/problems.ts";

/** A query's values by its schema. An address has text only: what reads as a number is taken for one. Errors: UserError. */
export function parseQuery<T>(schema: z.ZodType<T>, { query }: FastifyRequest): T {
  const given = Object.fromEntries(
    Object.entries(query as Readonly<Record<string, unknown>>).map(([key, value]) => [key, asNumber(value)]),
  );
  const parsed = schema.safeParse(given);
  if (!parsed.success) throw new UserError(problemsIn("query", parsed.error, given));
  return parsed.data;
}

const asNumber = (value: unknown): unknown => (typeof value === "string" && /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : value);
