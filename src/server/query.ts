import type { FastifyInstance, FastifyRequest } from "fastify";
import type { z } from "zod";
import { UserError } from "../core/errors.ts";
import { oneOf } from "../core/names.ts";
import { problemsIn } from "../core/problems.ts";

/** Refuses what a route's documented query does not have, which would be passed over. Errors: UserError with what is understood. */
export function refuseUnknownQueries(app: FastifyInstance): void {
  app.addHook("onRequest", async ({ query, routeOptions: { schema } }) => {
    const { properties = {} } = (schema?.querystring ?? {}) as { readonly properties?: object };
    const known = Object.keys(properties);
    for (const key of Object.keys(query as object)) {
      if (known.length === 0) throw new UserError(`unknown query parameter "${key.slice(0, 100)}": none is understood here`);
      oneOf("query parameter", key.slice(0, 100), known);
    }
  });
}

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
