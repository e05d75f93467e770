import type { FastifyInstance } from "fastify";
import type { InferenceService } from "../engine/service.ts";
import type { Metrics } from "../metrics.ts";
import { documented, health } from "../schemas.ts";
import { documentedErrors } from "./errors.ts";

/** Why no requests should be sent here; undefined when they should. */
export type NotReady = () => string | undefined;

export const readiness =
  (service: InferenceService, isDraining: () => boolean): NotReady =>
  () => {
    if (isDraining()) return "draining";
    return service.pool.upCount === 0 ? "no inference thread is up" : undefined;
  };

/** GET /healthz, /readyz */
export function addHealth(app: FastifyInstance, notReady: NotReady): void {
  const about = { tags: ["health"], security: [] };
  const response = { 200: documented(health) };
  app.get("/healthz", { schema: { operationId: "isAlive", summary: "The process is alive", ...about, response } }, () => ({
    status: "ok",
  }));
  app.get(
    "/readyz",
    {
      schema: {
        operationId: "isReady",
        summary: "Requests may be sent here",
        ...about,
        response: { ...response, 503: documented(health, "not now, and why") },
      },
    },
    (_request, reply) => {
      const reason = notReady();
      return reply.code(reason === undefined ? 200 : 503).send({ status: reason ?? "ok" });
    },
  );
}

/** GET /metrics */
export function addMetrics(app: FastifyInstance, metrics: Metrics): void {
  app.get(
    "/metrics",
    {
      schema: {
        operationId: "getMetrics",
        summary: "Prometheus metrics",
        tags: ["health"],
        response: {
          200: { description: "in Prometheus's text format", content: { "text/plain": { schema: { type: "string" } } } },
          ...documentedErrors(),
        },
      },
    },
    async (_request, reply) => reply.type(metrics.registry.contentType).send(await metrics.registry.metrics()),
  );
}
