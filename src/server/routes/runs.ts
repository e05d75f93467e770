import { createHash } from "node:crypto";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { withDeadline } from "../deadline.ts";
import { HttpError } from "../errors.ts";
import { isKnown } from "../etag.ts";
import type { RunsReader } from "../run-reading/reader.ts";
import { runList, runView } from "../run-schemas.ts";
import { documented } from "../schemas.ts";
import { documentedErrors, notModified } from "./errors.ts";

/** GET /v1/runs, /v1/runs/{id}; 404 where the server was started without a folder of runs. */
export function addRuns(app: FastifyInstance, reader: RunsReader | undefined, requestMs: number): void {
  const tags = ["runs"];
  const answer = async (request: FastifyRequest, reply: FastifyReply, ask: (reader: RunsReader) => Promise<string>) => {
    if (!reader) throw new HttpError(404, "no_runs", "this server was started without a folder of runs: sdim serve MODEL --runs FOLDER");
    const json = await withDeadline(request, reply, requestMs, () => ask(reader));
    const etag = `"${createHash("sha256").update(json).digest("base64url")}"`;
    reply.header("etag", etag).header("cache-control", "no-cache");
    if (isKnown(request.headers["if-none-match"], etag)) return reply.code(304).send();
    // It is JSON already.
    return reply.type("application/json; charset=utf-8").serializer(String).send(json);
  };

  app.get(
    "/v1/runs",
    {
      schema: {
        operationId: "listRuns",
        summary: "Training runs, finished and under way",
        tags,
        response: { 200: documented(runList), ...notModified, ...documentedErrors(404, 503, 504) },
      },
    },
    (request, reply) => answer(request, reply, (runs) => runs.list()),
  );

  app.get<{ Params: { readonly id: string } }>(
    "/v1/runs/:id",
    {
      schema: {
        operationId: "getRun",
        summary: "One run: config, curves, and what was measured of its model",
        tags,
        response: { 200: documented(runView), ...notModified, ...documentedErrors(404, 503, 504) },
      },
    },
    (request, reply) => answer(request, reply, (runs) => runs.run(request.params.id)),
  );
}
