import type { FastifyInstance } from "fastify";
import { thresholdsInForce } from "../../classify/model-file.ts";
import { rejectScoreOf } from "../../nn/reject-score.ts";
import type { ServedModel } from "../engine/models.ts";
import type { InferenceService } from "../engine/service.ts";
import { isKnown } from "../etag.ts";
import { documented, type ModelInfo, modelInfo, modelList } from "../schemas.ts";
import { documentedErrors, notModified } from "./errors.ts";

interface Named {
  readonly Params: { readonly name: string };
}

/** GET /v1/models, /v1/models/{name}, /v1/models/{name}/file */
export function addModels(app: FastifyInstance, service: InferenceService): void {
  const tags = ["models"];
  app.get(
    "/v1/models",
    {
      schema: {
        operationId: "listModels",
        summary: "The models that are served",
        tags,
        response: { 200: documented(modelList), ...documentedErrors() },
      },
    },
    () => ({ models: service.models.all().map(infoOf) }),
  );

  app.get<Named>(
    "/v1/models/:name",
    { schema: { operationId: "getModel", summary: "One model", tags, response: { 200: documented(modelInfo), ...documentedErrors(404) } } },
    (request) => infoOf(service.model(request.params.name)),
  );

  app.get<Named>(
    "/v1/models/:name/file",
    {
      schema: {
        operationId: "getModelFile",
        summary: "The ONNX file, to run it elsewhere",
        tags,
        response: {
          200: { description: "the file", content: { "application/octet-stream": { schema: { type: "string", format: "binary" } } } },
          ...notModified,
          ...documentedErrors(404),
        },
      },
    },
    (request, reply) => {
      const { name, bytes, sha256 } = service.model(request.params.name);
      const etag = `"${sha256}"`;
      reply.header("etag", etag).header("cache-control", "no-cache");
      if (isKnown(request.headers["if-none-match"], etag)) return reply.code(304).send();
      return reply
        .type("application/octet-stream")
        .header("content-disposition", `attachment; filename="${name}.onnx"`)
        .send(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
    },
  );
}

function infoOf({ name, card, sha256, loadedAt }: ServedModel): ModelInfo {
  const { model, classNames, calibration } = card;
  return {
    name,
    classNames,
    rejectBy: rejectScoreOf(model),
    thresholds: Array.from(thresholdsInForce(card)),
    percentile: calibration.percentile,
    percentiles: calibration.thresholds.map(({ percentile, values }) => ({ percentile, thresholds: values })),
    data: `${calibration.data} (${calibration.split})`,
    imageSize: model.imageSize,
    channels: model.channels,
    sha256,
    file: `/v1/models/${name}/file`,
    loadedAt: loadedAt.toISOString(),
  };
}
