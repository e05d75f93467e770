import { copyFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import type { Worker } from "node:worker_threads";
import { afterEach, describe, expect, it } from "vitest";
import { putInForce } from "../../src/classify/calibrations.ts";
import { encodeModelFile, readModelFile, withCard } from "../../src/classify/model-file.ts";
import { UserError } from "../../src/core/errors.ts";
import { writeFileAtomic } from "../../src/core/files.ts";
import { encodePng } from "../../src/data/images.ts";
import { InferenceThread } from "../../src/server/engine/inference-thread.ts";
import { longestTimerMs } from "../../src/server/options.ts";
import type { ClassificationBody } from "../../src/server/schemas.ts";
import { removeFolders, temporaryFolder } from "../support/folders.ts";
import { noise } from "../support/pictures.ts";
import { form, mnist, startServer, type TestedServer } from "../support/serving.ts";

const digit = readFileSync("samples/images/digit.png");
const url = "/v1/models/mnist/classify";
let server: TestedServer | undefined;
afterEach(async () => {
  await server?.close();
  server = undefined;
  removeFolders();
});

const classify = (payload: Uint8Array = digit) =>
  server!.app.inject({ method: "POST", url, headers: { "content-type": "image/png" }, payload: Buffer.from(payload) });
const errorOf = (response: { readonly payload: string }) =>
  (JSON.parse(response.payload) as { error: { code: string; message: string } }).error;
const until = async (isTrue: () => boolean | Promise<boolean>) => {
  for (let i = 0; i < 400 && !(await isTrue()); i++) await new Promise((resolve) => setTimeout(resolve, 25));
  expect(await isTrue()).toBe(true);
};

describe("too much to do", () => {
  it("is refused with 503 and Retry-After, and what is queued is answered", async () => {
    server = await startServer({ limits: { queuedImages: 8, imagesPerRequest: 8 } });
    const images = await Promise.all(Array.from({ length: 30 }, (_, i) => encodePng(noise(i, 200, 200, 1))));
    const responses = await Promise.all(images.map(classify));
    const [answered, refused] = [200, 503].map((status) => responses.filter(({ statusCode }) => statusCode === status));
    expect(answered!.length).toBeGreaterThanOrEqual(8);
    expect(answered!.length + refused!.length).toBe(30);
    expect(refused!.length).toBeGreaterThan(0);
    expect(refused![0]!.headers["retry-after"]).toBe("1");
    expect(errorOf(refused![0]!)).toEqual({ code: "overloaded", message: "the queue of 8 images is full: try again later" });
    expect(await server.metric("sdim_pending_images")).toBe(0);
    expect((await classify()).statusCode).toBe(200);
  });

  it("of memory is refused as well: bodies and unpacked pixels together", async () => {
    server = await startServer({ limits: { pendingBytes: 500_000, bodyBytes: 100_000 } });
    const large = await encodePng({ pixels: new Uint8Array(800 * 700), height: 800, width: 700, channels: 1 });
    const never = await classify(large);
    expect([never.statusCode, errorOf(never).message]).toEqual([
      413,
      "the request needs 560000 bytes of memory, more than the 500000 of the server",
    ]);
    const fitting = await encodePng({ pixels: new Uint8Array(600 * 600), height: 600, width: 600, channels: 1 });
    const statuses = (await Promise.all([classify(fitting), classify(fitting)])).map(({ statusCode }) => statusCode);
    expect(statuses.sort()).toEqual([200, 503]);
    expect(await server.metric("sdim_pending_bytes")).toBe(0);
  });

  it("that contradicts itself is refused at the start", async () => {
    await expect(startServer({ limits: { queuedImages: 10 } })).rejects.toThrow("a request may have 256 images, but only 10 may be queued");
    await expect(startServer({ limits: { pixelsPerImage: 1e9 } })).rejects.toThrow(UserError);
  });

  it.each([
    ["--timeout-ms: expected 1 to 2147483647 ms (24.8 days), got 2147483648", { limits: { requestMs: 2 ** 31 } }],
    ["--timeout-ms: expected 1 to 2147483647 ms (24.8 days), got 0", { limits: { requestMs: 0 } }],
    ["--timeout-ms: expected 1 to 2147483647 ms (24.8 days), got NaN", { limits: { requestMs: Number.NaN } }],
    ["--max-wait-ms: expected 0 to 2147483647 ms (24.8 days), got 3000000000", { maxWaitMs: 3e9 }],
    ["--reload-ms: expected 0 to 2147483647 ms (24.8 days), got Infinity", { reloadMs: Number.POSITIVE_INFINITY }],
  ])("and so is a time that no timer holds: %s", async (message, options) => {
    await expect(startServer(options)).rejects.toThrow(new UserError(message));
  });
});

describe("time", () => {
  it("that is up gives 504, and the image leaves the queue", async () => {
    // Alone, an image would wait a minute for others.
    server = await startServer({ maxWaitMs: 60_000, limits: { requestMs: 150 } });
    const late = await classify();
    expect([late.statusCode, errorOf(late)]).toEqual([504, { code: "timeout", message: "the request took longer than 150 ms" }]);
    await until(async () => (await server!.metric("sdim_pending_images")) === 0);
    expect(server.service.batcher.queued).toBe(0);
  });

  it("may be as long as timers hold, without one of them ending at once, or Node warning of the images that wait", async () => {
    const warnings: string[] = [];
    const note = ({ name }: Error) => warnings.push(name);
    process.on("warning", note);
    server = await startServer({ maxWaitMs: 0, reloadMs: longestTimerMs, limits: { requestMs: longestTimerMs } });
    const { payload, headers } = form(Array.from({ length: 12 }, () => ["a.png", digit] as const));
    const response = await fetch((await server.listen()) + url, { method: "POST", headers, body: Buffer.from(payload) });
    expect(response.status).toBe(200);
    await new Promise(setImmediate);
    process.off("warning", note);
    expect(warnings).toEqual([]);
  });

  it("is not given to a client that sends its request too slowly", async () => {
    server = await startServer({ limits: { requestMs: 300 } });
    const { hostname, port } = new URL(await server.listen());
    const socket = connect(Number(port), hostname);
    socket.write(`POST ${url} HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\n`);
    const drip = setInterval(() => socket.write("x"), 50);
    let answer = "";
    socket.on("data", (chunk: Buffer) => {
      answer += chunk.toString();
    });
    socket.on("error", () => {});
    await new Promise((resolve) => socket.on("close", resolve));
    clearInterval(drip);
    expect(answer).toMatch(/^HTTP\/1\.1 408 Request Timeout\r\n/);
    expect(JSON.parse(answer.split("\r\n\r\n")[1]!)).toEqual({
      error: { code: "request_timeout", message: "the request did not arrive in time" },
    });
    await until(() => server!.service.memory.used === 0);
    expect((await server.app.inject({ url: "/readyz" })).statusCode).toBe(200);
  });

  it("is not spent on a client that has hung up", async () => {
    server = await startServer({ maxWaitMs: 60_000 });
    const address = await server.listen();
    const controller = new AbortController();
    const asked = fetch(address + url, {
      method: "POST",
      headers: { "content-type": "image/png" },
      body: digit,
      signal: controller.signal,
    });
    await until(() => server!.service.batcher.queued === 1);
    controller.abort();
    await expect(asked).rejects.toThrow("aborted");
    await until(() => server!.service.batcher.queued === 0);
    await until(
      async () => (await server!.metric('sdim_http_requests_total{method="POST",route="/v1/models/:name/classify",status="499"}')) === 1,
    );
    expect(server.service.memory.used).toBe(0);
  });
});

describe("an inference thread that dies", () => {
  it("fails what it was at, and what it is asked later", async () => {
    const deaths: string[] = [];
    const thread = new InferenceThread(({ message }) => deaths.push(message), new URL("../support/dying-thread.ts", import.meta.url));
    await thread.load(1, new Uint8Array(1), "a");
    const ask = () => thread.classify(1, { pixels: new Uint8Array(1), count: 1, height: 1, width: 1, channels: 1 });
    const reason = "an inference thread died: this image was too much";
    const answers = await Promise.allSettled([ask(), ask()]);
    expect(answers.map((answer) => answer.status === "rejected" && answer.reason.message)).toEqual([reason, reason]);
    await expect(ask()).rejects.toThrow(reason);
    expect(deaths).toEqual([reason]);
    await thread.close();
  });

  it("is counted and replaced, and what was asked meanwhile is answered by its successor", async () => {
    server = await startServer();
    const thread = server.service.pool.claim()!;
    server.service.pool.giveBack(thread);
    // Idle: ended in the middle of a run it would take the process with it.
    await (thread as unknown as { readonly worker: Worker }).worker.terminate();
    const unready = await server.app.inject({ url: "/readyz" });
    expect([unready.statusCode, unready.json()]).toEqual([503, { status: "no inference thread is up" }]);
    expect((await classify()).statusCode).toBe(200);
    expect(server.service.pool.upCount).toBe(1);
    expect((await server.app.inject({ url: "/readyz" })).statusCode).toBe(200);
    expect(await server.metric("sdim_inference_thread_deaths_total")).toBe(1);
    expect(server.log.filter(({ level }) => level === 50).map(({ msg }) => msg)).toEqual(["inference thread died: starting another"]);
  });
});

describe("a model file that changes", () => {
  const path = () => join(temporaryFolder(), "mnist.onnx");
  const percentileOf = async () => (await server!.app.inject({ url: "/v1/models/mnist" })).json<{ percentile: number }>().percentile;
  const reloads = (outcome: string) => server!.metric(`sdim_model_reloads_total{model="mnist",outcome="${outcome}"}`);

  it("is loaded while requests go on, none of which fails; every verdict is wholly of one file", async () => {
    const at = path();
    copyFileSync(mnist.path, at);
    server = await startServer({ workers: 2, reloadMs: 30 }, [{ name: "mnist", path: at }]);
    const before = (await classify()).json<ClassificationBody>().results[0]!.threshold;
    const stricter = readModelFile(at);
    writeFileAtomic(at, encodeModelFile(withCard(stricter, putInForce(stricter.card, "training", 5))));
    const thresholds = new Set<number>();
    let hasChanged = false;
    for (let i = 0; !hasChanged && i < 400; i++) {
      const responses = await Promise.all(
        [1, 2, 3].map(() =>
          server!.app.inject({
            method: "POST",
            url,
            ...form([
              ["a", digit],
              ["b", digit],
            ]),
          }),
        ),
      );
      hasChanged = (await percentileOf()) === 5;
      for (const response of responses) {
        expect(response.statusCode).toBe(200);
        const [a, b] = response.json<ClassificationBody>().results.map(({ threshold }) => threshold);
        expect(a).toBe(b);
        thresholds.add(a!);
      }
    }
    expect(hasChanged).toBe(true);
    const after = (await classify()).json<ClassificationBody>().results[0]!.threshold;
    expect(after).toBeGreaterThan(before);
    for (const threshold of thresholds) expect([before, after]).toContain(threshold);
    expect([await reloads("loaded"), await reloads("refused")]).toEqual([1, 0]);
    expect(await server.metric('sdim_expected_rejection_share{model="mnist"}')).toBe(0.05);
  });

  it("to something that does not work is refused, once, and the old one serves on until a good one comes", async () => {
    const at = path();
    copyFileSync(mnist.path, at);
    server = await startServer({ reloadMs: 20 }, [{ name: "mnist", path: at }]);
    const before = (await classify()).json<ClassificationBody>().results;
    const contents = [Buffer.from("garbage"), readFileSync(mnist.path).subarray(0, 2_000_000), Buffer.alloc(0)];
    for (const [i, content] of contents.entries()) {
      writeFileSync(at, content);
      await until(async () => (await reloads("refused")) === i + 1);
      // It is not tried again.
      await new Promise((resolve) => setTimeout(resolve, 100));
      expect([await reloads("refused"), await reloads("loaded")]).toEqual([i + 1, 0]);
      expect((await classify()).json<ClassificationBody>().results).toEqual(before);
    }
    expect(server.log.filter(({ msg }) => msg === "changed model file refused: the old one serves on").length).toBe(contents.length);
    rmSync(at);
    await until(async () => (await reloads("refused")) === contents.length + 1);
    copyFileSync(mnist.path, at);
    await until(async () => (await reloads("loaded")) === 1);
    expect((await classify()).json<ClassificationBody>().results).toEqual(before);
  });
});
