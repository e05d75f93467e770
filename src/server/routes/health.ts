import type { FastifyInstance } from "fastify";
import type { InferenceService } from "../engine/service.ts";
import type { Metrics } from "../metrics.ts";
import { documented, health } from "../schemas.ts";

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
  const tags = ["health"];
  const response = { 200: documented(health) };
  app.get("/healthz", { schema: { summary: "The process is alive", tags, response } }, () => ({ status: "ok" }));
  app.get(
    "/readyz",
    {
      schema: { summary: "Requests may be sent here", tags, response: { ...response, 503: documented(health, "not now, and why") } },
    },
    (_request, reply) => {
      const reason = notReady();
      return reply.code(reason === undefined ? 200 : 503).send({ status: reason ?? "ok" });
    },
  );
}

/** GET /metrics */
export function addMetrics(app: FastifyInstance, metrics: Metrics): void {
  app.get("/metrics", { schema: { summary: "Prometheus metrics", tags: ["health"], produces: ["text/plain"] } }, async (_request, reply) =>
    reply.type(metrics.registry.contentType).send(await metrics.registry.metrics()),
  );
}
