import { messageOf } from "../../core/errors.ts";
import { problemsIn } from "../../core/problems.ts";
import { HttpError } from "../errors.ts";
import { type InferRequest, inferRequest } from "../schemas.ts";

export const wrong = (message: string): HttpError => new HttpError(400, "bad_request", message);

/** A request of the protocol: its JSON part, and the bytes of binary tensors that follow it. */
export interface ParsedRequest {
  readonly json: InferRequest;
  readonly binary: Uint8Array;
}

/**
 * Splits a body at Inference-Header-Content-Length (binary tensor extension) or, without that header, takes it for JSON as a whole.
 * Errors: HttpError 400, 413 when the JSON part is longer than `jsonBytes`.
 */
export function parseRequest(body: Uint8Array, headerLength: string | undefined, jsonBytes: number): ParsedRequest {
  const length = headerLength === undefined ? body.length : Number(headerLength);
  if (!Number.isSafeInteger(length) || length < 0 || length > body.length || headerLength?.trim() === "") {
    throw wrong(`Inference-Header-Content-Length: expected a whole number up to the body's ${body.length} bytes, got "${headerLength}"`);
  }
  if (length > jsonBytes) {
    throw new HttpError(413, "too_large", `JSON of ${length} bytes: at most ${jsonBytes} are taken; send the tensor as binary data`);
  }
  return { json: parseJson(body.subarray(0, length)), binary: body.subarray(length) };
}

/** No model here has as many tensors, and no tensor as many axes. */
const most = { inputs: 16, outputs: 64, shape: 16 } as const;

/** Before the schema looks at each of them: a million that are none would keep everyone waiting. */
function requireFew(json: unknown): void {
  const listOf = (value: unknown, key: keyof typeof most): readonly unknown[] => {
    const list = typeof value === "object" && value !== null ? (value as Record<string, unknown>)[key] : undefined;
    if (!Array.isArray(list)) return [];
    if (list.length > most[key]) throw wrong(`${key}: expected at most ${most[key]}, got ${list.length}`);
    return list;
  };
  listOf(json, "outputs");
  for (const input of listOf(json, "inputs")) listOf(input, "shape");
}

function parseJson(bytes: Uint8Array): InferRequest {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw wrong(`the request is not JSON: ${messageOf(error)}`);
  }
  requireFew(json);
  const parsed = inferRequest.safeParse(json);
  if (!parsed.success) throw wrong(problemsIn("the request", parsed.error, json));
  return parsed.data;
}
