import type { FastifyInstance, FastifyReply } from "fastify";
import { packageVersion } from "../../core/version.ts";
import { withDeadline } from "../deadline.ts";
import type { InferenceService } from "../engine/service.ts";
import type { Metrics } from "../metrics.ts";
import type { NotReady } from "../routes/health.ts";
import { documented, inferRequest, inferResponse, v2Error, v2Model, v2Server } from "../schemas.ts";
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
const failures = { 400: documented(v2Error, "the reason"), 404: documented(v2Error, "no such model") };

/** GET /v2/health/live and /ready: open, as /healthz and /readyz are. */
export function addV2Health(app: FastifyInstance, notReady: NotReady): void {
  app.get("/v2/health/live", { schema: { summary: "The process is alive", tags } }, () => ({ live: true }));
  app.get("/v2/health/ready", { schema: { summary: "Requests may be sent here", tags } }, (_request, reply) =>
    sendReady(reply, notReady() === undefined),
  );
}

const sendReady = (reply: FastifyReply, ready: boolean): FastifyReply => reply.code(ready ? 200 : 503).send({ ready });

/** The rest of /v2. */
export function addV2(app: FastifyInstance, service: InferenceService, metrics: Metrics, notReady: NotReady): void {
  app.removeAllContentTypeParsers();
  // JSON among them: where it ends is said by a header.
  app.addContentTypeParser(
    ["application/json", "application/octet-stream"],
    { parseAs: "buffer", bodyLimit: service.limits.bodyBytes },
    (_request, body, done) => done(null, body),
  );

  app.get("/v2", { schema: { summary: "The server", tags, response: { 200: documented(v2Server) } } }, () => ({
    name: "sdim",
    version: packageVersion(),
    extensions: ["binary_tensor_data"],
  }));

  for (const path of ["/v2/models/:name", "/v2/models/:name/versions/:version"]) {
    app.get<Named>(
      path,
      { schema: { summary: "Inputs and outputs of a model", tags, response: { 200: documented(v2Model), ...failures } } },
      ({ params }) => {
        checkVersion(params.version);
        return metadata(service, params.name);
      },
    );
    app.get<Named>(`${path}/ready`, { schema: { summary: "A model can be asked", tags } }, ({ params }, reply) => {
      checkVersion(params.version);
      service.model(params.name);
      return sendReady(reply, notReady() === undefined);
    });
    const schema = {
      summary: "Classify images given as a tensor",
      tags,
      body: {
        content: {
          "application/json": { schema: documented(inferRequest) },
          "application/octet-stream": { schema: { type: "string", format: "binary" } },
        },
      },
      response: { 200: documented(inferResponse), ...failures },
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
