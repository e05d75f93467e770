import { readFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { afterEach, describe, expect, it } from "vitest";
import { encodePng } from "../../src/data/images.ts";
import type { ClassificationBody } from "../../src/server/schemas.ts";
import { sdim, start } from "../support/cli.ts";
import { noise } from "../support/pictures.ts";

const digit = readFileSync("samples/images/digit.png");
const path = "/v1/models/mnist/classify";
const started: ReturnType<typeof start>[] = [];
afterEach(() => {
  for (const { child } of started.splice(0)) child.kill("SIGKILL");
});

/** Starts `sdim serve`; its address. */
async function serve(...args: readonly string[]): Promise<{ readonly server: ReturnType<typeof start>; readonly address: string }> {
  const server = start(["serve", "models/mnist/model.onnx", "--port", "0", "--workers", "1", ...args]);
  started.push(server);
  const address = await new Promise<string>((resolve, reject) => {
    server.child.stdout!.on("data", (chunk: Buffer) => {
      const found = /listening on (\S+)/.exec(chunk.toString())?.[1];
      if (found !== undefined) resolve(found);
    });
    server.child.on("close", () => reject(new Error(server.stderr())));
  });
  return { server, address };
}

const post = (address: string, body: Uint8Array) =>
  fetch(address + path, { method: "POST", headers: { "content-type": "image/png" }, body: Buffer.from(body) });

/** GET over a connection that is kept: after the server has stopped listening there are no new ones. */
function getOver(agent: Agent, url: string): Promise<{ readonly status: number; readonly body: string }> {
  return new Promise((resolve, reject) => {
    request(url, { agent }, (response) => {
      let body = "";
      response.on("data", (chunk: Buffer) => {
        body += chunk.toString();
      });
      response.on("end", () => resolve({ status: response.statusCode!, body }));
    })
      .on("error", reject)
      .end();
  });
}

describe("sdim serve", () => {
  it("told to end, says that it is not ready, finishes what is queued and exits with 0", async () => {
    const { server, address } = await serve("--drain-delay-ms", "1500", "--max-wait-ms", "0");
    expect((await post(address, digit)).status).toBe(200);
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    expect((await getOver(agent, `${address}/readyz`)).status).toBe(200);
    const images = await Promise.all(Array.from({ length: 40 }, (_, i) => encodePng(noise(i, 150 + i, 150, 1))));
    const asked = images.map((image) => post(address, image));
    await asked[0];
    server.child.kill("SIGTERM");
    let readiness = { status: 200, body: "" };
    while (readiness.status === 200) readiness = await getOver(agent, `${address}/readyz`);
    expect(readiness).toEqual({ status: 503, body: '{"status":"draining"}' });
    agent.destroy();
    const responses = await Promise.all(asked);
    expect(responses.map(({ status }) => status)).toEqual(images.map(() => 200));
    for (const response of responses) expect(((await response.json()) as ClassificationBody).results.length).toBe(1);
    const { code, signal, stderr } = await server.finished;
    expect([code, signal]).toEqual([0, null]);
    const lines = stderr
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { msg: string });
    expect(lines.filter(({ msg }) => msg === "request").length).toBeGreaterThanOrEqual(43);
    expect(lines.at(-1)!.msg).toBe("drained");
    await expect(post(address, digit)).rejects.toThrow();
  });

  it("told to end while a request is under way on a connection that is kept, answers it and does not wait for the next", async () => {
    const { server, address } = await serve("--timeout-ms", "20000");
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const status = new Promise<number>((resolve, reject) => {
      const asking = request(address + path, {
        agent,
        method: "POST",
        headers: { "content-type": "image/png", "content-length": digit.length },
      });
      asking.on("response", (response) => response.resume().on("end", () => resolve(response.statusCode!))).on("error", reject);
      asking.write(digit.subarray(0, 50));
      setTimeout(() => server.child.kill("SIGTERM"), 300);
      setTimeout(() => asking.end(digit.subarray(50)), 800);
    });
    expect(await status).toBe(200);
    const answeredAt = performance.now();
    const { code, stderr } = await server.finished;
    expect([code, stderr.includes("drained")]).toEqual([0, true]);
    expect(performance.now() - answeredAt).toBeLessThan(10_000);
    agent.destroy();
  });

  it("ends at once on Ctrl-C when nothing is asked, and says what the mistake was where it cannot begin", async () => {
    const [{ server, address }, taken, missing, twice, notOurs] = await Promise.all([
      serve("--drain-delay-ms", "60000"),
      sdim("serve", "models/mnist/model.onnx", "--host", "256.0.0.1", "--workers", "1"),
      sdim("serve", "models/nothing.onnx"),
      sdim("serve", "models/mnist/model.onnx", "mnist=models/mnist-softmax/model.onnx"),
      sdim("serve", "readme=README.md", "--workers", "1"),
    ]);
    expect((await post(address, digit)).status).toBe(200);
    server.child.kill("SIGINT");
    expect((await server.finished).code).toBe(0);
    expect([taken.code, taken.stderr]).toEqual([2, expect.stringContaining("sdim: cannot listen on 256.0.0.1 port 8080")]);
    expect([missing.code, missing.stderr]).toEqual([2, expect.stringContaining("sdim: cannot read the model models/nothing.onnx")]);
    expect([twice.code, twice.stderr]).toEqual([2, expect.stringContaining('sdim: two models are called "mnist"')]);
    expect([notOurs.code, notOurs.stderr]).toEqual([2, expect.stringContaining("sdim: README.md")]);
  });

  it("refuses a time that no timer holds, before a model is loaded; the longest one that does is drained in", async () => {
    const options = ["--timeout-ms", "--max-wait-ms", "--reload-ms", "--drain-delay-ms"];
    const [{ server, address }, ...refused] = await Promise.all([
      serve("--timeout-ms", "2147483647"),
      ...options.map((option) => sdim("serve", "models/nothing.onnx", option, "2147483648")),
    ]);
    for (const [i, { code, stderr }] of refused.entries()) {
      expect([code, stderr]).toEqual([2, expect.stringContaining(`'${options[i]} <ms>' argument '2147483648' is invalid`)]);
      expect(stderr).toContain("expected at most 2147483647 ms (24.8 days), got 2147483648");
    }
    expect((await post(address, digit)).status).toBe(200);
    server.child.kill("SIGTERM");
    const { code, stderr } = await server.finished;
    expect([code, stderr]).toEqual([0, expect.not.stringContaining("Warning")]);
  });

  it("told twice, ends with 130 as soon as no batch is in the middle, and without a word of ONNX Runtime", async () => {
    const { server, address } = await serve("--max-batch", "1");
    const large = await encodePng(noise(1, 2500, 2500, 1));
    const asked = Array.from({ length: 24 }, () => post(address, large));
    const outcomes = Promise.allSettled(asked);
    expect((await Promise.race(asked)).status).toBe(200);
    server.child.kill("SIGTERM");
    while (!server.stderr().includes("draining")) await new Promise((resolve) => setTimeout(resolve, 5));
    server.child.kill("SIGTERM");
    const { code, signal, stderr } = await server.finished;
    expect([code, signal]).toEqual([130, null]);
    expect(stderr).not.toContain("terminate");
    // It did not wait for what was queued.
    expect((await outcomes).some(({ status }) => status === "rejected")).toBe(true);
  });
});
