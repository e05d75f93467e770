import { documented, errorSchema } from "../schemas.ts";

const meanings: Readonly<Record<number, string>> = {
  400: "something in the request is not as expected; the message says what",
  401: "no API key, or a wrong one",
  404: "nothing of that name; the message names the nearest",
  413: "too large, or too many images",
  415: "a content type that is not taken",
  503: "too much to do: try again after Retry-After seconds",
  504: "took too long",
};

/** Responses of errors, for /docs. */
export const documentedErrors = (...statuses: readonly number[]): Record<number, unknown> =>
  Object.fromEntries([401, ...statuses].map((status) => [status, documented(errorSchema, meanings[status])]));
