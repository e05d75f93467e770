import type { FastifyInstance, FastifyReply } from "fastify";
import type { z } from "zod";
import { packageVersion } from "../../core/version.ts";
import { withDeadline } from "../deadline.ts";
import type { InferenceService } from "../engine/service.ts";
import type { Metrics } from "../metrics.ts";
import { documentedV2Errors } from "../routes/errors.ts";
import type { NotReady } from "../routes/health.ts";
import { documented, inferRequest, inferResponse, v2Live, v2Model, v2ModelReady, v2Ready, v2Server } from "../schemas.ts";
import { imagesTensor, picturesOf } from "./images.ts";
import { type OutputTensor, outputs, outputTensor, wantedOutputs } from "./outputs.ts";
import { parseRequest, wrong } from "./request.ts";

// The Open Inference Protocol, version 2 (KServe, Triton), with the binary tensor extension.

interface Named {
  readonly Params: { readonly name: string; readonly version?: string };
}

/** A model file that changes is the same version: the protocol's versions are those of a repository, which there is none of. */
const onlyVersion = "1";
const tags = ["Open Inference Protocol v2"];

/** GET /v2/health/live and /ready: open, as /healthz and /readyz are. */
export function addV2Health(app: FastifyInstance, notReady: NotReady): void {
  const about = { tags, security: [] };
  app.get(
    "/v2/health/live",
    { schema: { operationId: "v2IsAlive", summary: "The process is alive", ...about, response: { 200: documented(v2Live) } } },
    () => ({ live: true }),
  );
  app.get(
    "/v2/health/ready",
    { schema: { operationId: "v2IsReady", summary: "Requests may be sent here", ...about, response: readyOrNot(v2Ready) } },
    (_request, reply) => sendReady(reply, notReady),
  );
}

const readyOrNot = (schema: z.ZodType) => ({ 200: documented(schema), 503: documented(schema, "not now") });

function sendReady(reply: FastifyReply, notReady: NotReady, about: { readonly name?: string } = {}): FastifyReply {
  const ready = notReady() === undefined;
  return reply.code(ready ? 200 : 503).send({ ...about, ready });
}

/** The rest of /v2. */
export function addV2(app: FastifyInstance, service: InferenceService, metrics: Metrics, notReady: NotReady): void {
  app.removeAllContentTypeParsers();
  // JSON among them: where it ends is said by a header.
  app.addContentTypeParser(
    ["application/json", "application/octet-stream"],
    { parseAs: "buffer", bodyLimit: service.limits.bodyBytes },
    (_request, body, done) => done(null, body),
  );

  app.get(
    "/v2",
    {
      schema: {
        operationId: "v2GetServer",
        summary: "The server",
        tags,
        response: { 200: documented(v2Server), ...documentedV2Errors() },
      },
    },
    () => ({ name: "sdim", version: packageVersion(), extensions: ["binary_tensor_data"] }),
  );

  for (const [path, ofWhat] of [
    ["/v2/models/:name", "Model"],
    ["/v2/models/:name/versions/:version", "ModelVersion"],
  ] as const) {
    app.get<Named>(
      path,
      {
        schema: {
          operationId: `v2Get${ofWhat}`,
          summary: "Inputs and outputs of a model",
          tags,
          response: { 200: documented(v2Model), ...documentedV2Errors(404) },
        },
      },
      ({ params }) => {
        checkVersion(params.version);
        return metadata(service, params.name);
      },
    );
    app.get<Named>(
      `${path}/ready`,
      {
        schema: {
          operationId: `v2Is${ofWhat}Ready`,
          summary: "A model can be asked",
          tags,
          response: { ...readyOrNot(v2ModelReady), ...documentedV2Errors(404) },
        },
      },
      ({ params: { name, version } }, reply) => {
        checkVersion(version);
        service.model(name);
        return sendReady(reply, notReady, { name });
      },
    );
    const schema = {
      operationId: `v2Infer${ofWhat}`,
      summary: "Classify images given as a tensor",
      tags,
      body: {
        content: {
          "application/json": { schema: documented(inferRequest) },
          "application/octet-stream": { schema: { type: "string", format: "binary" } },
        },
      },
      response: { 200: documented(inferResponse), ...documentedV2Errors(404, 413, 415, 503, 504) },
    };
    app.post<Named>(`${path}/infer`, { config: { takesImages: true }, schema }, async (request, reply) => {
      const { name, version } = request.params;
      checkVersion(version);
      service.model(name);
      if (!Buffer.isBuffer(request.body)) throw wrong("expected a body");
      const { limits } = service;
      const parsed = parseRequest(request.body, headerOf(request.headers["inference-header-content-length"]), limits.jsonBytes);
      const wanted = wantedOutputs(parsed.json);
      const tensor = imagesTensor(parsed, limits.pixelsPerImage);
      const { model, verdicts } = await withDeadline(request, reply, limits.requestMs, (signal) =>
        service.classifyPixels(
          name,
          tensor.count,
          ({ card }) => picturesOf(tensor, card.model.channels),
          { percentile: parsed.json.parameters?.percentile },
          signal,
        ),
      );
      metrics.observeStages(name, {
        decodeMs: 0,
        queueMs: Math.max(...verdicts.map(({ queueMs }) => queueMs)),
        inferenceMs: Math.max(...verdicts.map(({ inferenceMs }) => inferenceMs)),
      });
      const about = { model_name: name, model_version: onlyVersion, ...(parsed.json.id === undefined ? {} : { id: parsed.json.id }) };
      return send(
        reply,
        about,
        wanted.map((one) => outputTensor(one, verdicts, model.card)),
      );
    });
  }
}

const headerOf = (value: string | readonly string[] | undefined): string | undefined => (typeof value === "string" ? value : value?.join());

function checkVersion(version: string | undefined): void {
  if (version !== undefined && version !== onlyVersion) throw wrong(`version ${version}: there is one, ${onlyVersion}`);
}

function metadata(service: InferenceService, name: string) {
  const { card } = service.model(name);
  return {
    name,
    versions: [onlyVersion],
    platform: "onnxruntime_onnx",
    inputs: [{ name: "images", datatype: "UINT8", shape: [-1, -1, -1, card.model.channels] }],
    outputs: [...outputs].map(([output, { datatype, shape }]) => ({ name: output, datatype, shape: [-1, ...shape(card)] })),
  };
}

/** JSON and, where an output is wanted as binary, the bytes after it. */
function send(reply: FastifyReply, about: Readonly<Record<string, unknown>>, tensors: readonly OutputTensor[]): FastifyReply {
  const json = { ...about, outputs: tensors.map((tensor) => tensor.json) };
  const binaries = tensors.flatMap(({ binary }) => (binary ? [binary] : []));
  if (binaries.length === 0) return reply.send(json);
  const header = Buffer.from(JSON.stringify(json));
  return reply
    .type("application/octet-stream")
    .header("inference-header-content-length", header.length)
    .send(Buffer.concat([header, ...binaries]));
}
