import { readFileSync } from "node:fs";
import { connect } from "node:net";
import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import { form, startServer, type TestedServer } from "../support/serving.ts";

// Whatever is sent, the server stays up and answers in JSON that the sender is at fault.

const digit = readFileSync("samples/images/digit.png");
let server: TestedServer;
let address: URL;

beforeAll(async () => {
  server = await startServer({ limits: { pixelsPerImage: 100_000, bodyBytes: 200_000, jsonBytes: 50_000 } });
  address = new URL(await server.listen());
});
afterAll(async () => {
  // Nothing was our own failure, and nothing was left behind.
  expect(server.log.filter(({ level }) => (level as number) >= 50)).toEqual([]);
  expect(await server.metric("sdim_pending_bytes")).toBe(0);
  expect(await server.metric("sdim_pending_images")).toBe(0);
  expect(await server.metric("sdim_inference_thread_deaths_total")).toBe(0);
  await server.close();
});

const types = [
  "image/png",
  "application/octet-stream",
  "application/json",
  "application/json; charset=latin1",
  "multipart/form-data; boundary=----boundary",
  "multipart/form-data; boundary=",
  "text/plain",
  "x",
];
const paths = ["/v1/models/mnist/classify", "/v2/models/mnist/infer", "/v1/models/mnist", "/v1/models/mnist/file", "/nothing"];
/** A picture, or a request around one, with a byte or more changed, cut or added. */
const damaged = (whole: Uint8Array) =>
  fc
    .tuple(fc.array(fc.tuple(fc.nat(whole.length - 1), fc.integer({ min: 0, max: 255 })), { maxLength: 8 }), fc.nat(whole.length))
    .map(([changes, end]) => {
      const bytes = Uint8Array.from(whole);
      for (const [at, value] of changes) bytes[at] = value;
      return bytes.subarray(0, end);
    });
const infer = Buffer.from(
  JSON.stringify({
    id: "a",
    inputs: [{ name: "images", shape: [1, 2, 2, 1], datatype: "UINT8", data: [1, 2, 3, 4] }],
    outputs: [{ name: "label" }],
  }),
);
const body = fc.oneof(
  fc.uint8Array({ maxLength: 300 }),
  fc.json().map((text) => Buffer.from(text)),
  damaged(digit),
  damaged(form([["a.png", digit]]).payload),
  damaged(Buffer.from(JSON.stringify({ images: [digit.toString("base64")] }))),
  damaged(infer),
);

it("of requests that are none of ours", async () => {
  const request = fc.record({
    path: fc.oneof(
      fc.constantFrom(...paths),
      fc.webPath().map((path) => (path.startsWith("/docs") ? "/" : path || "/")),
    ),
    method: fc.constantFrom("POST", "PUT", "DELETE", "GET"),
    type: fc.constantFrom(...types),
    length: fc.option(
      fc.oneof(
        fc.nat(400).map(String),
        fc.string({ maxLength: 5 }).map((text) => text.replace(/[^ -~]/g, "")),
      ),
      { nil: undefined },
    ),
    body,
  });
  await fc.assert(
    fc.asyncProperty(request, async ({ path, method, type, length, body }) => {
      const response = await fetch(new URL(address.origin + path), {
        method,
        headers: { "content-type": type, ...(length === undefined ? {} : { "inference-header-content-length": length }) },
        ...(method === "GET" ? {} : { body: Buffer.from(body) }),
      });
      const payload = Buffer.from(await response.arrayBuffer());
      if (response.status < 400) return;
      expect(response.status).toBeLessThan(500);
      expect(response.headers.get("content-type")).toBe("application/json; charset=utf-8");
      const { error } = JSON.parse(payload.toString()) as { error: unknown };
      const message = /^\/v2(?![^/?#])/.test(path) ? error : (error as { message: unknown }).message;
      expect(typeof message === "string" && message.length > 0).toBe(true);
    }),
    { seed: 1, numRuns: 250 },
  );
  expect((await fetch(new URL("/readyz", address))).status).toBe(200);
});

it("of bytes that are not HTTP", async () => {
  const start = fc.constantFrom(
    "",
    "GET / HTTP/1.1\r\n",
    "POST /v1/models/mnist/classify HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\n",
  );
  const rest = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc
      .constantFrom(
        "Content-Length: -1\r\n\r\n",
        "Content-Length: 99999999999999999999\r\n\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        `X: ${"x".repeat(20_000)}\r\n\r\n`,
      )
      .map((text) => Buffer.from(text)),
  );
  await fc.assert(
    fc.asyncProperty(start, rest, async (text, bytes) => {
      const answer = await exchange(Buffer.concat([Buffer.from(text), Buffer.from(bytes)]));
      for (const part of answer.split(/(?=HTTP\/1\.1 )/)) {
        if (part === "" || /^HTTP\/1\.1 200 /.test(part)) continue;
        expect(part).toMatch(/^HTTP\/1\.1 4\d\d /);
        const { error } = JSON.parse(part.slice(part.indexOf("\r\n\r\n"))) as { error: { code: string; message: string } };
        expect([typeof error.code, typeof error.message]).toEqual(["string", "string"]);
      }
    }),
    { seed: 1, numRuns: 150 },
  );
  expect((await fetch(new URL("/readyz", address))).status).toBe(200);
});

/** Sends, says that there is no more, and reads to the end. */
function exchange(bytes: Uint8Array): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(Number(address.port), address.hostname, () => socket.end(bytes));
    let answer = "";
    socket.on("data", (chunk: Buffer) => {
      answer += chunk.toString("latin1");
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve(answer));
  });
}
