import { readFileSync } from "node:fs";
import type { InjectOptions } from "fastify";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { sdimHere } from "../support/cli.ts";
import { form, startServer, type TestedServer } from "../support/serving.ts";

const key = "a-key-of-the-test";
let open: TestedServer;
let closed: TestedServer;

beforeAll(async () => {
  open = await startServer();
  closed = await startServer({ apiKey: key });
});
afterAll(async () => {
  await Promise.all([open.close(), closed.close()]);
});

const ask = async (server: TestedServer, request: InjectOptions) => {
  const { statusCode, headers, payload } = await server.app.inject(request);
  return { status: statusCode, headers, error: payload === "" ? undefined : (JSON.parse(payload) as { error: unknown }).error };
};

describe("a path that is here, asked for with another method", () => {
  it.each([
    ["GET", "/v1/models/mnist/classify", "POST"],
    ["POST", "/v1/models", "GET, HEAD"],
    ["DELETE", "/v1/models/mnist", "GET, HEAD"],
    ["PUT", "/v1/runs/a?x=1", "GET, HEAD"],
    ["POST", "/healthz", "GET, HEAD"],
    ["OPTIONS", "/metrics", "GET, HEAD"],
    ["PATCH", "/docs/json", "GET, HEAD"],
    ["PROPFIND", "/v1/models", "GET, HEAD"],
    ["POST", "/", "GET, HEAD"],
    ["POST", "/v1/models/", "GET, HEAD"],
  ] as const)("%s %s is told what it may be asked with", async (method, url, allow) => {
    for (const server of [open, closed]) {
      const { status, headers, error } = await ask(server, { method: method as "GET", url });
      const message = `${url.split("?")[0]}: expected ${allow}, got ${method}`;
      expect([status, headers["allow"], error]).toEqual([405, allow, { code: "method_not_allowed", message }]);
    }
  });

  it.each(["/v1/models", "/v1/models/mnist", "/v2/models/mnist", "/healthz", "/docs/json"])("%s may end in a slash", async (path) => {
    const [plain, slashed] = await Promise.all([path, `${path}/`].map((url) => open.app.inject(url)));
    expect([slashed!.statusCode, slashed!.payload]).toEqual([200, plain!.payload]);
  });

  it("so also under /v2, in its form, and where a body comes along", async () => {
    const get = await ask(open, { method: "GET", url: "/v2/models/mnist/versions/1/infer" });
    expect([get.status, get.headers["allow"], get.error]).toEqual([
      405,
      "POST",
      "/v2/models/mnist/versions/1/infer: expected POST, got GET",
    ]);
    for (const type of ["application/json", "text/plain", "application/xml"]) {
      const posted = await ask(open, { method: "POST", url: "/v1/models", headers: { "content-type": type }, payload: "{" });
      expect([type, posted.status, posted.headers["allow"]]).toEqual([type, 405, "GET, HEAD"]);
    }
    const head = await open.app.inject({ method: "HEAD", url: "/v1/models/mnist/classify" });
    expect([head.statusCode, head.headers.allow]).toEqual([405, "POST"]);
  });

  it.each([
    ["GET", "/v1/modelsx"],
    ["GET", "/v1/models/a/b"],
    ["POST", "/nothing"],
    ["DELETE", "/assets/index.js"],
  ] as const)("but %s %s is not here", async (method, url) => {
    const { status, headers, error } = await ask(open, { method, url });
    expect([status, headers["allow"], error]).toEqual([404, undefined, expect.objectContaining({ code: "not_found" })]);
  });
});

describe("a query", () => {
  const digit = form([["digit.png", readFileSync("samples/images/digit.png")]]);

  it.each([
    ["POST", "/v1/models/mnist/classify?percentil=5", 'unknown query parameter "percentil": did you mean "percentile"? Known: percentile'],
    ["POST", "/v1/models/mnist/classify?percentile=5&top=3", 'unknown query parameter "top": Known: percentile'],
    ["GET", "/v1/models?limit=1", 'unknown query parameter "limit": none is understood here'],
    ["GET", "/v1/models/mnist/file?download", 'unknown query parameter "download": none is understood here'],
    ["GET", "/v1/runs?__proto__=1", 'unknown query parameter "__proto__": none is understood here'],
    ["GET", "/metrics?name%5B%5D=up", 'unknown query parameter "name[]": none is understood here'],
  ] as const)("%s %s: what is not understood is refused", async (method, url, message) => {
    const { status, error } = await ask(open, { method, url, ...(method === "POST" ? digit : {}) });
    expect([status, error]).toEqual([400, { code: "bad_request", message }]);
    expect(open.service.memory.used).toBe(0);
  });

  it("so also under /v2, and not before the API key is asked for", async () => {
    const message = 'unknown query parameter "percentile": none is understood here';
    const infer = await ask(open, { method: "POST", url: "/v2/models/mnist/infer?percentile=5", payload: {} });
    expect([infer.status, infer.error]).toEqual([400, message]);
    expect((await ask(closed, { url: "/v1/models?limit=1" })).status).toBe(401);
  });

  it.each(["/healthz?verbose", "/readyz?verbose=1", "/v2/health/ready?x", "/?model=mnist", "/docs?x"])(
    "%s: none makes a probe fail, or a page",
    async (url) => {
      expect((await open.app.inject({ url })).statusCode).toBe(200);
    },
  );
});

it("a missing or wrong API key is answered with the scheme that is asked for", async () => {
  for (const headers of [{}, { authorization: "Bearer wrong" }]) {
    for (const url of ["/v1/models", "/v2/models/mnist"]) {
      const refused = await ask(closed, { url, headers });
      expect([refused.status, refused.headers["www-authenticate"]]).toEqual([401, 'Bearer realm="sdim"']);
    }
  }
});

it.each(["65536", "80800"])("there is no port %s", async (port) => {
  const { code, stderr } = await sdimHere("serve", "models/nothing.onnx", "--port", port);
  expect([code, stderr]).toEqual([
    2,
    expect.stringContaining(`argument '${port}' is invalid. expected a port from 0 to 65535, got ${port}`),
  ]);
});
