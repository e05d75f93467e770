import type { z } from "zod";
import { documented, errorSchema, v2Error } from "../schemas.ts";

const meanings: Readonly<Record<number, string>> = {
  400: "something in the request is not as expected; the message says what",
  401: "no API key, or a wrong one",
  404: "nothing of that name; the message names the nearest",
  413: "too large, or too many images",
  415: "a content type that is not taken",
  503: "too much to do: try again after Retry-After seconds",
  504: "took too long",
};

/** Of every route that may ask for the key: its query may have what is not understood. */
const always = [400, 401];

const answers =
  (schema: z.ZodType) =>
  (...statuses: readonly number[]): Record<number, unknown> =>
    Object.fromEntries([...always, ...statuses].map((status) => [status, documented(schema, meanings[status])]));

/** Responses of errors, for /docs; those that every route has are among them. */
export const documentedErrors = answers(errorSchema);

/** The same in the form of the Open Inference Protocol. */
export const documentedV2Errors = answers(v2Error);

/** For /docs, of routes with an ETag. */
export const notModified = { 304: { type: "null", description: "it is what If-None-Match says the client has" } };
