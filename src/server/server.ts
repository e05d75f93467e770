import multipart from "@fastify/multipart";
import Fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from "fastify";
import { requireApiKey } from "./auth.ts";
import { allowOrigins, requireOrigins } from "./cors.ts";
import { addDocs } from "./docs.ts";
import { InferenceService } from "./engine/service.ts";
import { answerBrokenRequest, notFound, sendError } from "./error-answers.ts";
import { noteMethods } from "./methods.ts";
import { Metrics } from "./metrics.ts";
import type { NamedModel } from "./model-names.ts";
import { longestTimerMs, mostJsonBytes, type ServerOptions } from "./options.ts";
import { addPage, addSecurityHeaders } from "./page.ts";
import { refuseUnknownQueries } from "./query.ts";
import { reserveBodies } from "./reserve.ts";
import { addClassify } from "./routes/classify.ts";
import { addHealth, addMetrics, readiness } from "./routes/health.ts";
import { addModels } from "./routes/models.ts";
import { addRuns } from "./routes/runs.ts";
import { RunsReader } from "./run-reading/reader.ts";
import { addV2, addV2Health } from "./v2/routes.ts";

export interface SdimServer {
  readonly app: FastifyInstance;
  readonly service: InferenceService;
  /** From now on /readyz says no; requests are still answered. */
  readonly startDrain: () => void;
  /** Takes no more connections, answers what has been asked, then ends the threads. */
  readonly close: () => Promise<void>;
}

/**
 * Loads the models and builds the server; it does not listen yet.
 * Errors: UserError when a model cannot be loaded, limits contradict each other, an origin is none, or there is no folder of runs where one is named.
 */
export async function buildServer(models: readonly NamedModel[], options: ServerOptions, logger: FastifyBaseLogger): Promise<SdimServer> {
  requireOrigins(options.corsOrigins ?? []);
  const runs = options.runsFolder === undefined ? undefined : new RunsReader(options.runsFolder, options.limits.requestMs);
  const metrics = new Metrics();
  const service = await InferenceService.start(models, options, metrics, {
    onReload: ({ name, outcome, error }) => {
      metrics.reloads.inc({ model: name, outcome });
      if (outcome === "refused") return logger.error({ model: name, err: error }, "changed model file refused: the old one serves on");
      const { card, sha256 } = service.models.get(name);
      metrics.addModel(name, card);
      logger.info({ model: name, sha256 }, "changed model file loaded");
    },
    onThreadDeath: (error) => {
      metrics.threadDeaths.inc();
      logger.error({ err: error }, "inference thread died: starting another");
    },
  });
  let isDraining = false;
  const app = fastify(options, logger);
  const notReady = readiness(service, () => isDraining);

  noteMethods(app);
  addSecurityHeaders(app);
  countRequests(app, metrics);
  if (options.corsOrigins !== undefined) allowOrigins(app, options.corsOrigins);
  await app.register(multipart, { limits: { fileSize: options.limits.bodyBytes, files: options.limits.imagesPerRequest + 1, fields: 1 } });
  await addDocs(app, options.apiKey !== undefined);
  addHealth(app, notReady);
  addV2Health(app, notReady);
  addPage(app, options.webFolder);
  await app.register(async (secured) => {
    if (options.apiKey !== undefined) requireApiKey(secured, options.apiKey);
    refuseUnknownQueries(secured);
    reserveBodies(secured, service);
    addModels(secured, service);
    addRuns(secured, runs, options.limits.requestMs);
    addMetrics(secured, metrics);
    await secured.register(async (scope) => addClassify(scope, service, metrics));
    await secured.register(async (scope) => addV2(scope, service, metrics, notReady));
  });
  await app.ready();
  return {
    app,
    service,
    startDrain: () => {
      isDraining = true;
    },
    close: async () => {
      isDraining = true;
      await app.close();
      await runs?.close();
      await service.close();
    },
  };
}

function fastify({ limits }: ServerOptions, logger: FastifyBaseLogger): FastifyInstance {
  const app = Fastify({
    loggerInstance: logger,
    // One line per request is written below: without addresses' queries, headers or bodies.
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: mostJsonBytes(limits),
    // Slow clients: a request must have come within this time, an idle connection is closed; later than load balancers let go of it (60 s), so
    // that none is closed while a request is on its way.
    requestTimeout: limits.requestMs,
    connectionTimeout: Math.min(2 * limits.requestMs, longestTimerMs),
    keepAliveTimeout: 75_000,
    http: {
      headersTimeout: Math.min(limits.requestMs, 10_000),
      connectionsCheckingInterval: Math.min(1000, limits.requestMs),
      // Nothing here depends on the host, and Node refuses without a word of why.
      requireHostHeader: false,
    },
    forceCloseConnections: "idle",
    return503OnClosing: false,
    routerOptions: { maxParamLength: 200, ignoreTrailingSlash: true },
    clientErrorHandler: answerBrokenRequest,
    frameworkErrors: (error, request, reply) => sendError(error, request, reply, limits),
  });
  app.removeContentTypeParser("text/plain");
  // Requests are checked by the zod schemas that the documented ones are made from; answers are typed by them.
  app.setValidatorCompiler(() => () => true);
  app.setSerializerCompiler(() => (data) => JSON.stringify(data));
  app.setErrorHandler((error, request, reply) => sendError(error, request, reply, limits));
  app.setNotFoundHandler((request, reply) => sendError(notFound(request), request, reply, limits));
  return app;
}

function countRequests(app: FastifyInstance, metrics: Metrics): void {
  app.addHook("onRequest", async (request, reply) => {
    let isCounted = false;
    const count = (status: number): void => {
      if (isCounted) return;
      isCounted = true;
      const { method } = request;
      const route = request.routeOptions.url ?? "unknown";
      metrics.requests.inc({ method, route, status });
      metrics.duration.observe({ method, route }, reply.elapsedTime / 1000);
      request.log.info({ method, route, status, ms: reply.elapsedTime }, "request");
    };
    reply.raw.once("finish", () => count(reply.statusCode));
    // A client that has hung up before its answer: nginx's number.
    reply.raw.once("close", () => count(reply.raw.writableFinished ? reply.statusCode : 499));
  });
}
