import type { FastifyInstance, FastifyRequest } from "fastify";
import type { InferenceService } from "./engine/service.ts";
import { HttpError } from "./errors.ts";
import { type Limits, mostJsonBytes } from "./options.ts";

declare module "fastify" {
  interface FastifyContextConfig {
    /** Whether the route's bodies count towards the server's memory. */
    readonly takesImages?: boolean;
  }
}

/**
 * Sets memory aside for a body before it is read, and gives it back when the request has ended, however it ends. A body of unknown length
 * counts as the longest there may be. Errors: HttpError 413, 415 for a compressed body, 503.
 */
export function reserveBodies(app: FastifyInstance, service: InferenceService): void {
  app.addHook("onRequest", async (request, reply) => {
    if (!request.routeOptions.config.takesImages) return;
    const coding = request.headers["content-encoding"]?.trim();
    if (coding && coding.toLowerCase() !== "identity") {
      throw new HttpError(
        415,
        "unsupported_media_type",
        `Content-Encoding: expected none, got "${coding.slice(0, 100)}": send the body as it is (picture files are compressed already)`,
        { headers: { "accept-encoding": "identity" } },
      );
    }
    const bytes = bodyLength(request, service.limits);
    service.reserve(bytes);
    reply.raw.once("close", () => service.memory.give(bytes));
  });
}

function bodyLength(request: FastifyRequest, limits: Limits): number {
  const header = request.headers["content-length"];
  if (header === undefined) return limits.bodyBytes;
  const length = Number(header);
  if (!Number.isSafeInteger(length) || length < 0) throw new HttpError(400, "bad_request", "Content-Length: expected a whole number");
  if (length > mostBytes(request, limits)) throw bodyTooLarge(request, limits);
  return length;
}

/** Of the Open Inference Protocol, whose errors have another form. */
export const isV2 = ({ url }: FastifyRequest): boolean => /^\/v2(?![^/?#])/.test(url);

/** JSON has a limit of its own, but where binary tensors follow it. */
const isJson = ({ headers }: FastifyRequest): boolean =>
  /^application\/json *(;|$)/i.test(headers["content-type"] ?? "") && headers["inference-header-content-length"] === undefined;

const mostBytes = (request: FastifyRequest, limits: Limits): number => (isJson(request) ? mostJsonBytes(limits) : limits.bodyBytes);

/** Names the limit that holds for this request. */
export function bodyTooLarge(request: FastifyRequest, limits: Limits): HttpError {
  const most = mostBytes(request, limits);
  const way = isV2(request) ? "send the tensor as binary data" : "send files (multipart/form-data)";
  const more = `: ${way}, for which ${limits.bodyBytes} are allowed`;
  return new HttpError(
    413,
    "too_large",
    isJson(request) ? `JSON may have ${most} bytes at most${most < limits.bodyBytes ? more : ""}` : `a body may have ${most} bytes at most`,
  );
}
