import type { FastifyInstance } from "fastify";
import type { InferenceService } from "./engine/service.ts";
import { HttpError } from "./errors.ts";
import { bodyTooLarge } from "./request-images.ts";

declare module "fastify" {
  interface FastifyContextConfig {
    /** Whether the route's bodies count towards the server's memory. */
    readonly takesImages?: boolean;
  }
}

/**
 * Sets memory aside for a body before it is read, and gives it back when the request has ended, however it ends. A body of unknown length
 * counts as the longest there may be. Errors: HttpError 413, 503.
 */
export function reserveBodies(app: FastifyInstance, service: InferenceService): void {
  app.addHook("onRequest", async (request, reply) => {
    if (!request.routeOptions.config.takesImages) return;
    const bytes = bodyLength(request.headers["content-length"], service.limits.bodyBytes);
    service.reserve(bytes);
    reply.raw.once("close", () => service.memory.give(bytes));
  });
}

function bodyLength(header: string | undefined, limit: number): number {
  if (header === undefined) return limit;
  const length = Number(header);
  if (!Number.isSafeInteger(length) || length < 0) throw new HttpError(400, "bad_request", "Content-Length: expected a whole number");
  if (length > limit) throw bodyTooLarge(limit);
  return length;
}
