import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { UserError } from "../../src/core/errors.ts";
import { sdimHere } from "../support/cli.ts";
import { form, startServer, type TestedServer } from "../support/serving.ts";

const key = "a-key-of-the-test";
const page = "https://example.com";
const url = "/v1/models/mnist/classify";
const digit = form([["digit.png", readFileSync("samples/images/digit.png")]]);
let off: TestedServer;
let listed: TestedServer;
let any: TestedServer;

beforeAll(async () => {
  off = await startServer();
  listed = await startServer({ apiKey: key, corsOrigins: [page, "http://localhost:5173", "chrome-extension://abc"] });
  any = await startServer({ corsOrigins: ["*"] });
});
afterAll(async () => {
  await Promise.all([off.close(), listed.close(), any.close()]);
});

/** Status, and the headers that say what a page may. */
async function ask(server: TestedServer, method: "GET" | "POST" | "OPTIONS", path: string, headers: Record<string, string>) {
  const payload = method === "POST" ? digit.payload : undefined;
  const type = method === "POST" ? digit.headers : {};
  const response = await server.app.inject({ method, url: path, headers: { ...type, ...headers }, ...(payload ? { payload } : {}) });
  const said = Object.entries(response.headers).filter(([name]) => name === "vary" || name.startsWith("access-control-"));
  return { status: response.statusCode, said: Object.fromEntries(said), response };
}
const preflight = (origin: string, wanted = "POST") => ({
  origin,
  "access-control-request-method": wanted,
  "access-control-request-headers": "content-type,x-api-key",
});

const exposed = { "access-control-expose-headers": "allow, etag, inference-header-content-length, retry-after, www-authenticate" };
const allowed = (origin: string) => ({ vary: "Origin", "access-control-allow-origin": origin, ...exposed });
const mayAsk = (methods: string) => ({
  "access-control-allow-methods": methods,
  "access-control-allow-headers": "authorization, content-type, if-none-match, inference-header-content-length, x-api-key",
  "access-control-max-age": "7200",
});

describe("a page of another origin", () => {
  it("is not allowed anything where nothing is said of it", async () => {
    expect(await ask(off, "POST", url, { origin: page })).toMatchObject({ status: 200, said: {} });
    expect(await ask(off, "OPTIONS", url, preflight(page))).toMatchObject({ status: 405, said: {} });
  });

  it.each([page, "http://localhost:5173", "chrome-extension://abc"])("of the list, %s, may ask and read", async (origin) => {
    const answer = await ask(listed, "POST", url, { origin, "x-api-key": key });
    expect(answer).toMatchObject({ status: 200, said: allowed(origin) });
    const { models } = (await ask(listed, "GET", "/v1/models", { origin, authorization: `Bearer ${key}` })).response.json<{
      models: object[];
    }>();
    expect(models).toHaveLength(1);
  });

  it("has its preflights answered without the API key, with what the path may be asked with", async () => {
    const post = await ask(listed, "OPTIONS", url, preflight(page));
    expect([post.status, post.response.payload]).toEqual([204, ""]);
    expect(post.said).toEqual({ ...allowed(page), ...mayAsk("POST") });
    const get = await ask(listed, "OPTIONS", "/v1/models?x=1", preflight(page, "GET"));
    expect([get.status, get.said]).toEqual([204, { ...allowed(page), ...mayAsk("GET, HEAD") }]);
    const infer = await ask(listed, "OPTIONS", "/v2/models/mnist/infer", preflight(page));
    expect([infer.status, infer.said]).toEqual([204, { ...allowed(page), ...mayAsk("POST") }]);
  });

  it("needs the key for all else, and may read why it is refused", async () => {
    expect(await ask(listed, "POST", url, { origin: page })).toMatchObject({ status: 401, said: allowed(page) });
    expect(await ask(listed, "GET", "/v1/models/nothing", { origin: page, "x-api-key": key })).toMatchObject({
      status: 404,
      said: allowed(page),
    });
    // No preflight, and one of a path that is not here.
    expect(await ask(listed, "OPTIONS", url, { origin: page })).toMatchObject({ status: 405, said: allowed(page) });
    expect(await ask(listed, "OPTIONS", "/nothing", preflight(page))).toMatchObject({ status: 404 });
  });

  it.each(["https://example.org", "http://example.com", "https://example.com:8443", "https://example.com.evil.org", "null", ""])(
    "that is not on the list, %j, is not allowed anything",
    async (origin) => {
      expect((await ask(listed, "POST", url, { origin, "x-api-key": key })).said).toEqual({ vary: "Origin" });
      expect(await ask(listed, "OPTIONS", url, preflight(origin))).toMatchObject({ status: 405, said: { vary: "Origin" } });
    },
  );

  it("may be of any origin, where it is said so", async () => {
    const answer = await ask(any, "POST", url, { origin: "https://example.org" });
    expect([answer.status, answer.said]).toEqual([200, { "access-control-allow-origin": "*", ...exposed }]);
    const asked = await ask(any, "OPTIONS", url, preflight("null"));
    expect([asked.status, asked.said]).toEqual([204, { "access-control-allow-origin": "*", ...exposed, ...mayAsk("POST") }]);
  });

  it("is not looked for in requests without an origin, whose answers may be kept for others", async () => {
    expect((await ask(listed, "GET", "/healthz", {})).said).toEqual({ vary: "Origin" });
  });
});

it.each([
  ["https://example.com/", "did you mean https://example.com?"],
  ["https://Example.com", "did you mean https://example.com?"],
  ["https://example.com:443", "did you mean https://example.com?"],
  ["localhost:5173", 'got "localhost:5173"'],
  ["example.com", 'got "example.com"'],
  ["null", 'got "null"'],
  ["", 'got ""'],
])("%j is no origin as browsers write it", async (origin, advice) => {
  const message = `--cors: expected origins such as https://example.com or http://localhost:5173`;
  const started = startServer({ corsOrigins: [page, origin] });
  await expect(started).rejects.toThrow(UserError);
  await expect(started).rejects.toThrow(advice);
  await expect(started).rejects.toThrow(message);
});

it("the command takes several, and says what is none before a model is loaded", async () => {
  const { code, stderr } = await sdimHere("serve", "models/nothing.onnx", "--cors", "https://example.com,https://a.org/b");
  expect([code, stderr]).toEqual([2, expect.stringContaining('got "https://a.org/b"; did you mean https://a.org?')]);
});
