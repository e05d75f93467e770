import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Interrupted, UserError } from "../../src/core/errors.ts";
import { type DownloadOptions, download } from "../../src/data/download.ts";
import { breakAfter, sendFile, TestServer } from "../support/server.ts";

vi.mock("node:fs/promises", async (importOriginal) => {
  const original = await importOriginal<typeof import("node:fs/promises")>();
  return { ...original, open: vi.fn(original.open) };
});

const content = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 7 + (i >> 8)) % 256));
let server: TestServer;
let folder: string;
let part: string;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "sdim-download-"));
  part = join(folder, "deep", "file.part");
  server = new TestServer();
  await server.start();
});
afterEach(async () => {
  await server.stop();
  rmSync(folder, { recursive: true });
});

const get = (options: DownloadOptions = {}) => download(`${server.url}file`, part, { retryDelayMs: 1, ...options });
const isWhole = () => Buffer.compare(readFileSync(part), content) === 0;
const begin = async (bytes: Uint8Array) => {
  server.answer = (request, response) => sendFile(request, response, bytes);
  await get();
  server.requests.length = 0;
};

describe("download", () => {
  it("writes the file and tells how far it is", async () => {
    server.answer = (request, response) => sendFile(request, response, content);
    const seen: [number, number | undefined][] = [];
    await get({ onProgress: (received, total) => seen.push([received, total]) });
    expect(isWhole()).toBe(true);
    expect(seen.at(-1)).toEqual([300_000, 300_000]);
    expect(seen.every(([received], i) => i === 0 || received > seen[i - 1]![0])).toBe(true);
    expect(server.requests).toEqual(["GET /file"]);
  });

  it("goes on where a broken transfer ended", async () => {
    server.answer = (request, response) =>
      request.headers.range === undefined ? breakAfter(response, content, 120_000) : sendFile(request, response, content);
    await get();
    expect(isWhole()).toBe(true);
    expect(server.requests).toEqual(["GET /file", "GET /file bytes=120000-"]);
  });

  it("goes on from what an earlier call left", async () => {
    await begin(content.subarray(0, 1000));
    server.answer = (request, response) => sendFile(request, response, content);
    await get();
    expect([server.requests, isWhole()]).toEqual([["GET /file bytes=1000-"], true]);
  });

  it("begins anew with a server that sends all again", async () => {
    await begin(content.subarray(5, 1005));
    server.answer = (_request, response) => response.writeHead(200, { "content-length": content.length }).end(content);
    await get();
    expect([server.requests, isWhole()]).toEqual([["GET /file bytes=1000-"], true]);
  });

  it("asks for the rest as long as a server sends pieces", async () => {
    await begin(content.subarray(0, 1000));
    server.answer = (request, response) => {
      const from = Number(/\d+/.exec(request.headers.range!)![0]);
      const piece = content.subarray(from, from + 100_000);
      response.writeHead(206, { "content-range": `bytes ${from}-${from + piece.length - 1}/${content.length}` }).end(piece);
    };
    await get();
    expect([server.requests, isWhole()]).toEqual([["GET /file bytes=1000-", "GET /file bytes=101000-", "GET /file bytes=201000-"], true]);
  });

  it("is done when all was there already", async () => {
    await begin(content);
    await get();
    expect([server.requests, isWhole()]).toEqual([["GET /file bytes=300000-"], true]);
  });

  it.each([
    ["more than the server's file", () => begin(Buffer.concat([content, content]))],
    ["a part the server answers with another", () => begin(content.subarray(0, 500))],
  ])("begins anew when there is %s", async (_what, prepare) => {
    await prepare();
    server.answer = (request, response) => {
      if (request.headers.range !== "bytes=500-") return sendFile(request, response, content);
      response.writeHead(206, { "content-range": "bytes 0-9/300000" }).end(content.subarray(0, 10));
    };
    await get();
    expect([server.requests.length, server.requests[1], isWhole()]).toEqual([2, "GET /file", true]);
  });

  it("tries again when the server is busy, and asks nicely", async () => {
    const answers = [503, 429, 500];
    server.answer = (request, response) => {
      const status = answers.shift();
      if (status === undefined) sendFile(request, response, content);
      else response.writeHead(status).end("busy");
    };
    await get();
    expect([server.requests.length, isWhole()]).toEqual([4, true]);
  });

  it.each([
    [404, "not found (404)"],
    [403, "the server answered 403"],
  ])("does not try again after %i", async (status, message) => {
    server.answer = (_request, response) => response.writeHead(status).end();
    await expect(get()).rejects.toThrow(`${server.url}file: ${message}. Name a mirror with --base-url`);
    await expect(get()).rejects.toThrow(UserError);
    expect([server.requests.length, existsSync(part)]).toEqual([2, false]);
  });

  it("gives up after some attempts that brought nothing, and keeps what came", async () => {
    server.answer = (request, response) =>
      request.headers.range === undefined ? breakAfter(response, content, 1000) : response.writeHead(502).end();
    await expect(get({ attempts: 3 })).rejects.toThrow(
      `${server.url}file: cannot be downloaded: the server answered 502 (3 attempts). What came is kept in ${part}`,
    );
    expect(readFileSync(part)).toEqual(content.subarray(0, 1000));
    expect(server.requests.length).toBe(3);
  });

  it("gives up on a server that begins anew each time, and breaks off now sooner, now later", async () => {
    let requests = 0;
    server.answer = (_request, response) => breakAfter(response, content, requests++ % 2 === 0 ? 120_000 : 60_000);
    await expect(get({ attempts: 4 })).rejects.toThrow("(4 attempts)");
    expect(requests).toBe(4);
  });

  it("says why nobody answered", async () => {
    const { url } = server;
    await server.stop();
    await expect(download(`${url}file`, part, { attempts: 2, retryDelayMs: 1 })).rejects.toThrow(
      /file: cannot be downloaded: fetch failed \(.*ECONNREFUSED.*\) \(2 attempts\)\.$/,
    );
    await server.start();
  });

  it("does not try again what will not pass", async () => {
    const other = /: cannot be downloaded: fetch failed \(.+\)\. Name a mirror with --base-url, or files you have with --from\.$/;
    server.answer = (_request, response) => response.writeHead(302, { location: "/file" }).end();
    await expect(get()).rejects.toThrow(other);
    expect(server.requests.length).toBeLessThan(30);
    // A server that knows no TLS.
    await expect(download(`${server.url.replace("http", "https")}file`, part)).rejects.toThrow(other);
    const cause = Object.assign(new Error("self-signed certificate"), { code: "DEPTH_ZERO_SELF_SIGNED_CERT" });
    const fetching = vi.spyOn(globalThis, "fetch").mockRejectedValue(new TypeError("fetch failed", { cause }));
    await expect(get()).rejects.toThrow(`${server.url}file: cannot be downloaded: fetch failed (self-signed certificate). Name`);
    expect(fetching).toHaveBeenCalledTimes(1);
    fetching.mockRestore();
  });

  it("does not wait forever for a server that falls silent", async () => {
    server.answer = (_request, response) => void response.writeHead(200, { "content-length": 10 }).write("12345");
    await expect(get({ attempts: 1, stallMs: 100 })).rejects.toThrow("nothing came for 0.1 s (1 attempts)");
    expect(readFileSync(part, "utf8")).toBe("12345");
  });

  it("refuses what is far too large before writing it", async () => {
    const closed = new Promise((resolve) => {
      server.answer = (_request, response) =>
        void response
          .on("close", resolve)
          .writeHead(200, { "content-length": 2 ** 31 })
          .write("1");
    });
    await expect(get()).rejects.toThrow("file: 2147483648 bytes: expected at most 1073741824");
    expect(existsSync(part)).toBe(false);
    // The connection is given up: it would keep the process alive.
    await closed;
  });

  it("does not take a packed transfer's length for the file's", async () => {
    const packed = gzipSync(content);
    server.answer = (_request, response) =>
      response.writeHead(200, { "content-encoding": "gzip", "content-length": packed.length }).end(packed);
    await get();
    expect(isWhole()).toBe(true);
  });

  it("stops when told to, keeping what came", async () => {
    const controller = new AbortController();
    server.answer = (_request, response) => void response.writeHead(200, { "content-length": 10 }).write("12345");
    const stopped = get({ signal: controller.signal, onProgress: () => controller.abort() });
    await expect(stopped).rejects.toThrow(Interrupted);
    expect(readFileSync(part, "utf8")).toBe("12345");
  });

  it("says that the disk is full", async () => {
    server.answer = (request, response) => sendFile(request, response, content);
    const full = Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
    vi.mocked(open).mockImplementationOnce(async (...args) => {
      const { open } = await vi.importActual<typeof import("node:fs/promises")>("node:fs/promises");
      const file = await open(...args);
      return Object.assign(file, { appendFile: () => Promise.reject(full) });
    });
    await expect(get()).rejects.toThrow(/cannot write .*file\.part: ENOSPC.+The disk is full: make room/);
  });

  it("writes through no link, and waits for no pipe", async () => {
    const [other, link, pipe] = [join(folder, "other"), join(folder, "link.part"), join(folder, "pipe.part")];
    writeFileSync(other, "mine");
    symlinkSync(other, link);
    execFileSync("mkfifo", [pipe]);
    server.answer = (request, response) => sendFile(request, response, content);
    for (const [path, what] of [
      [link, "a link"],
      [pipe, "a device or a pipe"],
      [folder, "a folder"],
    ] as const) {
      const message = `cannot write ${path}: expected a file or nothing there, got ${what}; remove it`;
      await expect(download(`${server.url}file`, path)).rejects.toThrow(new UserError(message));
    }
    expect([readFileSync(other, "utf8"), server.requests]).toEqual(["mine", []]);
  });

  it("says that a place cannot be written", async () => {
    writeFileSync(join(folder, "deep"), "a file");
    await expect(get()).rejects.toThrow(`cannot write ${part}`);
    await expect(get()).rejects.toThrow(UserError);
  });
});
