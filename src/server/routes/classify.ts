import type { FastifyInstance } from "fastify";
import { withDeadline } from "../deadline.ts";
import type { Classified, InferenceService } from "../engine/service.ts";
import type { Metrics } from "../metrics.ts";
import { parseQuery } from "../query.ts";
import { acceptRawImages, imagesOf } from "../request-images.ts";
import { type ClassificationBody, classification, classifyQuery, documented, jsonImages } from "../schemas.ts";
import { documentedErrors } from "./errors.ts";

/** POST /v1/models/{name}/classify */
export function addClassify(app: FastifyInstance, service: InferenceService, metrics: Metrics): void {
  acceptRawImages(app, service.limits);
  app.post<{ Params: { readonly name: string } }>(
    "/v1/models/:name/classify",
    {
      config: { takesImages: true },
      schema: {
        operationId: "classify",
        summary: "Classify images, or learn that they are like nothing seen in training",
        tags: ["classify"],
        querystring: documented(classifyQuery),
        consumes: ["multipart/form-data", "application/json", "image/*", "application/octet-stream"],
        body: {
          content: {
            "multipart/form-data": {
              schema: { type: "object", properties: { image: { type: "array", items: { type: "string", format: "binary" } } } },
            },
            "application/json": { schema: documented(jsonImages) },
            "image/*": { schema: { type: "string", format: "binary" } },
            "application/octet-stream": { schema: { type: "string", format: "binary" } },
          },
        },
        response: { 200: documented(classification, "a verdict per image"), ...documentedErrors(404, 413, 415, 503, 504) },
      },
    },
    async (request, reply) => {
      const { name } = request.params;
      service.model(name);
      const decision = parseQuery(classifyQuery, request);
      const classified = await withDeadline(request, reply, service.limits.requestMs, async (signal) =>
        service.classify(name, await imagesOf(request, service.limits), decision, signal),
      );
      const body = bodyOf(classified, reply.elapsedTime);
      metrics.observeStages(name, body.timing);
      request.log.debug({ model: name, images: body.results.length, ...body.timing }, "classified");
      return body;
    },
  );
}

function bodyOf({ model, verdicts, decodeMs }: Classified, totalMs: number): ClassificationBody {
  return {
    model: model.name,
    results: verdicts.map(({ classIndex, accepted, logLikelihood, threshold, classLogLikelihoods }) => ({
      label: model.card.classNames[classIndex]!,
      classIndex,
      accepted,
      logLikelihood,
      threshold,
      classLogLikelihoods: Array.from(classLogLikelihoods),
    })),
    timing: {
      decodeMs,
      queueMs: Math.max(...verdicts.map(({ queueMs }) => queueMs)),
      inferenceMs: Math.max(...verdicts.map(({ inferenceMs }) => inferenceMs)),
      totalMs,
    },
  };
}
