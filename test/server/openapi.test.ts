import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startServer, type TestedServer } from "../support/serving.ts";

interface Operation {
  readonly operationId: string;
  readonly security?: readonly unknown[];
  readonly responses: Readonly<Record<string, { readonly description: string; readonly content?: Record<string, { schema: unknown }> }>>;
}
interface Document {
  readonly security?: readonly unknown[];
  readonly components: { readonly securitySchemes?: object };
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

const key = "a-key-of-the-test";
let open: TestedServer;
let closed: TestedServer;
const documentOf = async (server: TestedServer) => (await server.app.inject({ url: "/docs/json" })).json<Document>();

beforeAll(async () => {
  open = await startServer();
  closed = await startServer({ apiKey: key });
});
afterAll(async () => {
  await Promise.all([open.close(), closed.close()]);
});

describe("the OpenAPI document", () => {
  it("has of every operation its name and the statuses that it may be answered with", async () => {
    const { paths } = await documentOf(open);
    const operations = Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, { operationId, responses }]) => [
        `${method} ${path}`,
        [operationId, ...Object.keys(responses)].join(" "),
      ]),
    );
    expect(Object.fromEntries(operations)).toEqual({
      "get /healthz": "isAlive 200",
      "get /readyz": "isReady 200 503",
      "get /metrics": "getMetrics 200 400 401",
      "get /v1/models": "listModels 200 400 401",
      "get /v1/models/{name}": "getModel 200 400 401 404",
      "get /v1/models/{name}/file": "getModelFile 200 304 400 401 404",
      "post /v1/models/{name}/classify": "classify 200 400 401 404 413 415 503 504",
      "get /v1/runs": "listRuns 200 304 400 401 404 503 504",
      "get /v1/runs/{id}": "getRun 200 304 400 401 404 503 504",
      "get /v2": "v2GetServer 200 400 401",
      "get /v2/health/live": "v2IsAlive 200",
      "get /v2/health/ready": "v2IsReady 200 503",
      "get /v2/models/{name}": "v2GetModel 200 400 401 404",
      "get /v2/models/{name}/ready": "v2IsModelReady 200 400 401 404 503",
      "post /v2/models/{name}/infer": "v2InferModel 200 400 401 404 413 415 503 504",
      "get /v2/models/{name}/versions/{version}": "v2GetModelVersion 200 400 401 404",
      "get /v2/models/{name}/versions/{version}/ready": "v2IsModelVersionReady 200 400 401 404 503",
      "post /v2/models/{name}/versions/{version}/infer": "v2InferModelVersion 200 400 401 404 413 415 503 504",
    });
  });

  it("says in what form each answer is", async () => {
    const { paths } = await documentOf(open);
    const { responses: file } = paths["/v1/models/{name}/file"]!["get"]!;
    expect(Object.keys(file["200"]!.content!)).toEqual(["application/octet-stream"]);
    expect(file["304"]!.content).toBe(undefined);
    expect(Object.keys(paths["/metrics"]!["get"]!.responses["200"]!.content!)).toEqual(["text/plain"]);
    const schemaOf = (path: string, method: string, status: string) =>
      paths[path]![method]!.responses[status]!.content!["application/json"]!.schema;
    expect(schemaOf("/v1/models", "get", "401")).toMatchObject({ properties: { error: { type: "object" } } });
    expect(schemaOf("/v2/models/{name}/infer", "post", "503")).toMatchObject({ properties: { error: { type: "string" } } });
    expect(schemaOf("/v2/models/{name}/ready", "get", "200")).toMatchObject({ required: ["ready", "name"] });
  });

  it("asks for the key where the server does, in either header", async () => {
    expect((await documentOf(open)).security).toBe(undefined);
    const { security, components, paths } = await documentOf(closed);
    expect(security).toEqual([{ bearer: [] }, { header: [] }]);
    expect(components.securitySchemes).toEqual({
      bearer: { type: "http", scheme: "bearer" },
      header: { type: "apiKey", in: "header", name: "X-API-Key" },
    });
    for (const [path, methods] of Object.entries(paths)) {
      for (const [method, operation] of Object.entries(methods)) {
        if (path.includes("{")) continue;
        const { statusCode } = await closed.app.inject({ method: method.toUpperCase() as "GET", url: path });
        expect([path, statusCode === 401]).toEqual([path, operation.security === undefined]);
      }
    }
  });
});
