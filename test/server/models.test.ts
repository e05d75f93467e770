import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readModelFile, thresholdsInForce } from "../../src/classify/model-file.ts";
import { UserError } from "../../src/core/errors.ts";
import { readApiKey } from "../../src/server/auth.ts";
import { nameModels } from "../../src/server/model-names.ts";
import { removeFolders, temporaryFolder } from "../support/folders.ts";
import { writeRunning } from "../support/run-folders.ts";
import { form, garments, mnist, startServer, type TestedServer } from "../support/serving.ts";

const key = "a key of the test".replaceAll(" ", "-");
const file = readFileSync(mnist.path);
const sha256 = createHash("sha256").update(file).digest("hex");
let open: TestedServer;
let closed: TestedServer;

beforeAll(async () => {
  const webFolder = join(temporaryFolder(), "web");
  mkdirSync(join(webFolder, "assets"), { recursive: true });
  writeFileSync(join(webFolder, "index.html"), "<!doctype html>");
  for (const name of ["ort-1a2b.wasm", "ort-1a2b.mjs", "index-1a2b.js"]) writeFileSync(join(webFolder, "assets", name), "x");
  writeFileSync(join(webFolder, ".secret"), "x");
  open = await startServer({}, [mnist, garments]);
  const runsFolder = temporaryFolder();
  writeRunning(join(runsFolder, "a"));
  closed = await startServer({ apiKey: key, webFolder, runsFolder });
});
afterAll(async () => {
  await Promise.all([open.close(), closed.close()]);
  removeFolders();
});

const get = (server: TestedServer, url: string, headers: Record<string, string> = {}) => server.app.inject({ url, headers });

describe("models", () => {
  it("are described by their cards", async () => {
    const { models } = (await get(open, "/v1/models")).json<{ models: Record<string, unknown>[] }>();
    expect(models.map(({ name }) => name)).toEqual(["mnist", "garments"]);
    const { card } = readModelFile(mnist.path);
    const expected = {
      name: "mnist",
      classNames: card.classNames,
      thresholds: [...thresholdsInForce(card)],
      percentile: 1,
      percentiles: card.calibration.thresholds.map(({ percentile, values }) => ({ percentile, thresholds: values })),
      data: "mnist (train)",
      imageSize: 32,
      channels: 1,
      sha256,
      file: "/v1/models/mnist/file",
    };
    expect(models[0]).toMatchObject(expected);
    expect((await get(open, "/v1/models/mnist")).json()).toEqual(models[0]);
    expect((await get(open, "/v1/models/nist")).json()).toMatchObject({ error: { code: "unknown_model" } });
  });

  it("can be fetched, and asked whether they have changed", async () => {
    const whole = await get(open, "/v1/models/mnist/file");
    expect([whole.statusCode, whole.headers["content-type"], whole.headers.etag]).toEqual([200, "application/octet-stream", `"${sha256}"`]);
    expect(whole.rawPayload.equals(file)).toBe(true);
    for (const tag of [`"${sha256}"`, `W/"${sha256}"`, `"a", "${sha256}"`, "*"]) {
      const again = await get(open, "/v1/models/mnist/file", { "if-none-match": tag });
      expect([again.statusCode, again.payload, again.headers.etag]).toEqual([304, "", `"${sha256}"`]);
    }
    expect((await get(open, "/v1/models/mnist/file", { "if-none-match": '"a"' })).statusCode).toBe(200);
  });

  it("are named by file, folder or as told, each once", () => {
    expect(nameModels(["runs/a/model.onnx", "digits.onnx", "b=runs/c/model.onnx", "./d=e/f.onnx"])).toEqual([
      { name: "a", path: "runs/a/model.onnx" },
      { name: "digits", path: "digits.onnx" },
      { name: "b", path: "runs/c/model.onnx" },
      { name: "f", path: "./d=e/f.onnx" },
    ]);
    expect(() => nameModels(["runs/a/model.onnx", "a.onnx"])).toThrow(
      'two models are called "a": runs/a/model.onnx and a.onnx. Give one another: NAME=a.onnx',
    );
    expect(() => nameModels(["a b.onnx"])).toThrow(UserError);
  });
});

describe("the API key", () => {
  it.each([
    "/v1/models",
    "/v1/models/mnist/file",
    "/v1/runs",
    "/v1/runs/a",
    "/metrics",
    "/v2",
    "/v2/models/mnist",
    "/v2/models/mnist/ready",
  ])("%s asks for it", async (url) => {
    for (const headers of [{}, { "x-api-key": "wrong" }, { authorization: "Bearer wrong" }, { authorization: key }] as Record<
      string,
      string
    >[]) {
      const refused = await get(closed, url, headers);
      expect(refused.statusCode).toBe(401);
      const { error } = refused.json<{ error: unknown }>();
      expect(error).toEqual(url.startsWith("/v2") ? expect.stringContaining("API key") : expect.objectContaining({ code: "unauthorized" }));
    }
    expect((await get(closed, url, { "x-api-key": key })).statusCode).toBe(200);
    expect((await get(closed, url, { authorization: `Bearer ${key}` })).statusCode).toBe(200);
  });

  it("is asked for before a body is read", async () => {
    const refused = await closed.app.inject({ method: "POST", url: "/v1/models/mnist/classify", ...form([["a.png", Buffer.alloc(10)]]) });
    expect(refused.statusCode).toBe(401);
    expect((await closed.app.inject({ method: "POST", url: "/v2/models/mnist/infer", payload: {} })).statusCode).toBe(401);
  });

  it.each(["/healthz", "/readyz", "/v2/health/live", "/v2/health/ready", "/", "/docs"])("%s is open", async (url) => {
    expect((await get(closed, url)).statusCode).toBe(200);
  });

  it("comes from a file or the environment, and is long enough", () => {
    const path = join(temporaryFolder(), "key");
    writeFileSync(path, `${key}\n`);
    expect(readApiKey(path, "another key of the environment")).toBe(key);
    expect(readApiKey(undefined, key)).toBe(key);
    expect(readApiKey(undefined, undefined)).toBe(undefined);
    expect(() => readApiKey(undefined, "")).toThrow("SDIM_API_KEY: expected an API key of at least 16 characters");
    expect(() => readApiKey(undefined, "with a blank in it, but long")).toThrow("no blanks");
    expect(() => readApiKey("/nowhere", key)).toThrow("cannot read the API key /nowhere");
  });
});

describe("the page", () => {
  it.each([
    ["/", "text/html; charset=utf-8", "no-cache"],
    ["/assets/ort-1a2b.wasm", "application/wasm", "public, max-age=31536000, immutable"],
    ["/assets/ort-1a2b.mjs", "application/javascript; charset=utf-8", "public, max-age=31536000, immutable"],
    ["/assets/index-1a2b.js", "application/javascript; charset=utf-8", "public, max-age=31536000, immutable"],
  ])("%s is %s, isolated and kept as long as it may be", async (url, type, caching) => {
    const { statusCode, headers } = await get(closed, url);
    expect([statusCode, headers["content-type"], headers["cache-control"]]).toEqual([200, type, caching]);
    expect(headers["cross-origin-opener-policy"]).toBe("same-origin");
    expect(headers["cross-origin-embedder-policy"]).toBe("require-corp");
    expect(headers["content-security-policy"]).toContain("script-src 'self' 'wasm-unsafe-eval'");
  });

  it.each(["/.secret", "/nothing", "/assets/../../web/.secret", "/%2e%2e/%2e%2e/etc/passwd", "/assets/%2e%2e%2f.secret"])(
    "does not give out %s",
    async (url) => {
      const { statusCode, payload } = await get(closed, url);
      expect(statusCode).toBeGreaterThanOrEqual(400);
      expect(JSON.parse(payload)).toMatchObject({ error: { code: expect.any(String) } });
    },
  );

  it.each([
    ["a name too long for a file", `/${"a".repeat(9000)}`, `/${"a".repeat(199)}...`],
    ["a null character", "/%00", "/%00"],
    ["a way out of its folder", "/assets/%2e%2e%2f.secret", "/assets/%2e%2e%2f.secret"],
  ])("has no file for %s", async (_what, url, shown) => {
    for (const server of [open, closed]) {
      const { statusCode, payload } = await get(server, url);
      const expected = { error: { code: "not_found", message: `no GET ${shown} here: /docs lists what there is` } };
      expect([statusCode, JSON.parse(payload)]).toEqual([404, expected]);
    }
  });

  it("where it was not built, is a few words about the API", async () => {
    const server = await startServer({ webFolder: "/nowhere" });
    const { statusCode, headers, payload } = await get(server, "/");
    await server.close();
    expect([statusCode, headers["content-type"]]).toEqual([200, "text/plain; charset=utf-8"]);
    expect(payload).toContain("POST /v1/models/NAME/classify");
  });
});

describe("docs", () => {
  it("have every route, with its answers, and load nothing from elsewhere", async () => {
    const document = (await get(open, "/docs/json")).json<{ openapi: string; paths: Record<string, Record<string, unknown>> }>();
    expect(document.openapi).toBe("3.1.0");
    expect(Object.keys(document.paths).sort()).toEqual([
      "/healthz",
      "/metrics",
      "/readyz",
      "/v1/models",
      "/v1/models/{name}",
      "/v1/models/{name}/classify",
      "/v1/models/{name}/file",
      "/v1/runs",
      "/v1/runs/{id}",
      "/v2",
      "/v2/health/live",
      "/v2/health/ready",
      "/v2/models/{name}",
      "/v2/models/{name}/infer",
      "/v2/models/{name}/ready",
      "/v2/models/{name}/versions/{version}",
      "/v2/models/{name}/versions/{version}/infer",
      "/v2/models/{name}/versions/{version}/ready",
    ]);
    expect(document.paths["/v1/models/{name}/classify"]!["post"]).toMatchObject({
      requestBody: { content: { "application/json": { schema: { required: ["images"], additionalProperties: false } } } },
      responses: { 200: {}, 400: {}, 401: {}, 404: {}, 413: {}, 415: {}, 503: {}, 504: {} },
    });
    const page = await get(open, "/docs");
    expect(page.payload).not.toMatch(/https?:/);
    const addresses = [...page.payload.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, address]) => address!);
    expect(addresses.length).toBeGreaterThan(3);
    for (const address of addresses) expect((await get(open, address)).statusCode).toBe(200);
  });
});

describe("metrics", () => {
  it("count requests, verdicts and rejections", async () => {
    const files = form([
      ["digit.png", readFileSync("samples/images/digit.png")],
      ["shirt.png", readFileSync("samples/images/shirt.png")],
    ]);
    await open.app.inject({ method: "POST", url: "/v1/models/mnist/classify", ...files });
    await open.app.inject({ method: "POST", url: "/v1/models/mnist/classify", headers: { "content-type": "text/plain" }, payload: "x" });
    const expected = {
      'sdim_http_requests_total{method="POST",route="/v1/models/:name/classify",status="200"}': 1,
      'sdim_http_requests_total{method="POST",route="/v1/models/:name/classify",status="415"}': 1,
      'sdim_verdicts_total{model="mnist",class="7",verdict="accepted"}': 1,
      'sdim_verdicts_total{model="mnist",class="0",verdict="rejected"}': 1,
      'sdim_rejection_share{model="mnist"}': 0.5,
      'sdim_rejection_window_images{model="mnist"}': 2,
      'sdim_expected_rejection_share{model="mnist"}': 0.01,
      'sdim_rejection_share{model="garments"}': Number.NaN,
      'sdim_stage_duration_seconds_count{model="mnist",stage="inference"}': 1,
      sdim_queue_images: 0,
      sdim_pending_images: 0,
      sdim_pending_bytes: 0,
      sdim_inference_threads: 1,
      sdim_inference_threads_busy: 0,
      sdim_inference_thread_deaths_total: 0,
      'sdim_model_reloads_total{model="mnist",outcome="refused"}': 0,
    };
    for (const [name, value] of Object.entries(expected)) expect([name, await open.metric(name)]).toEqual([name, value]);
    expect((await get(open, "/metrics")).headers["content-type"]).toContain("text/plain; version=0.0.4");
  });
});
