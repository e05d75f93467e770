import { execFileSync } from "node:child_process";
import { appendFileSync, mkdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { UserError } from "../../src/core/errors.ts";
import type { ListedRun, RunList, RunView } from "../../src/evaluate/run-view.ts";
import { RunsReader } from "../../src/server/run-reading/reader.ts";
import { removeFolders, temporaryFolder } from "../support/folders.ts";
import { appendMetrics, epochLine, stepsLine, writeFinished, writeRunning } from "../support/run-folders.ts";
import { startServer, type TestedServer } from "../support/serving.ts";

let outside: string;
let folder: string;
let server: TestedServer;
beforeAll(async () => {
  outside = temporaryFolder();
  folder = join(outside, "runs");
  writeFinished(join(folder, "done"));
  writeRunning(join(folder, "under way"), { epochs: 4 });
  mkdirSync(join(folder, "notes"));
  writeRunning(join(outside, "secret"));
  symlinkSync(join(outside, "secret"), join(folder, "link"));
  server = await startServer({ runsFolder: folder });
});
afterAll(async () => {
  await server?.close();
  removeFolders();
});

const get = (url: string, headers: Record<string, string> = {}) => server.app.inject({ url, headers });
const listed = async (): Promise<readonly ListedRun[]> => (await get("/v1/runs")).json<RunList>().runs;
const view = async (id: string): Promise<RunView> => (await get(`/v1/runs/${encodeURIComponent(id)}`)).json<RunView>();
const errorOf = (response: { readonly payload: string }) =>
  (JSON.parse(response.payload) as { error: { code: string; message: string } }).error;

describe("/v1/runs", () => {
  it("lists what is right inside the folder, and follows no links", async () => {
    const runs = await listed();
    expect(runs.map(({ id }) => id)).toEqual(["done", "under way"]);
    expect(runs[0]).toMatchObject({ state: { kind: "finished" }, epochs: 2, hasEvaluation: true, hasRobustness: true });
    expect(runs[0]!.measured["testAccuracy"]).toBeGreaterThan(0.99);
    expect(runs[1]).toMatchObject({
      state: { kind: "running", step: 0, steps: null },
      loss: 0.5,
      validationAccuracy: 0.92,
      hasEvaluation: false,
      hasRobustness: false,
      config: { epochs: 4 },
    });
  });

  it("shows a run: config, curves, and what was measured of it", async () => {
    const run = await view("done");
    expect([...run.changedKeys].sort()).toEqual(["epochs", "validation"]);
    expect(run.history.map(({ step }) => step)).toEqual([20, 40, 60, 80, 100, 120, 140, 160, 180, 200]);
    expect(run.history[0]).toMatchObject({ learningRate: 0.003, parts: { margin: 1 } });
    expect(run.epochRecords.map(({ validation }) => validation?.accuracy)).toEqual([0.91, 0.92]);
    expect(run.counts).toEqual({ history: 10, epochRecords: 2 });
    expect(run.evaluation!.evaluation.accuracy).toBe(0.9965);
    expect(run.evaluation!.display!.scores.inDistribution).toHaveLength(10);
    expect(run.robustness!.report.worstCase.linf[0]!.evasion.value).toBe(0.4);
    expect(run.robustness!.words.join(" ")).toContain("40.00% of them can be made wrong");
    expect(run.problems).toEqual([]);
  });

  it("says whether it has changed, and what a training under way wrote last", async () => {
    const first = await get("/v1/runs/under%20way");
    const etag = String(first.headers["etag"]);
    const again = await get("/v1/runs/under%20way", { "if-none-match": etag });
    expect([again.statusCode, again.payload]).toEqual([304, ""]);
    appendMetrics(join(folder, "under way"), stepsLine(300), epochLine(3));
    const changed = await get("/v1/runs/under%20way", { "if-none-match": etag });
    expect(changed.statusCode).toBe(200);
    expect(changed.json<RunView>().epochRecords.at(-1)).toMatchObject({ epoch: 3, validation: { accuracy: 0.93 } });
    expect((await listed())[1]).toMatchObject({ epochs: 3, validationAccuracy: 0.93 });
    rmSync(join(folder, "under way", "training.lock"));
    expect((await listed())[1]!.state).toEqual({ kind: "broken", reason: "it ended before its first checkpoint" });
  });

  it("is not there without a folder, and a folder that is none is a mistake", async () => {
    const without = await startServer();
    for (const url of ["/v1/runs", "/v1/runs/a"]) {
      const response = await without.app.inject({ url });
      expect([response.statusCode, errorOf(response).code]).toEqual([404, "no_runs"]);
    }
    await without.close();
    await expect(startServer({ runsFolder: join(folder, "nothing") })).rejects.toThrow(UserError);
  });
});

describe("what must not be read", () => {
  it.each([
    "../secret",
    "..%2Fsecret",
    "%2e%2e%2fsecret",
    "..",
    "link",
    "notes",
    "done/config.json",
    "done%2F..%2Fdone",
    "done%00",
    "DONE",
    "%",
    "%ff",
    "a".repeat(300),
    encodeURIComponent("/etc/passwd"),
    "constructor",
    "__proto__",
  ])("%s is no run", async (id) => {
    const response = await get(`/v1/runs/${id}`);
    expect(response.statusCode).toBeGreaterThanOrEqual(400);
    expect(response.statusCode).toBeLessThan(500);
    expect(errorOf(response).message).not.toContain(outside);
  });

  it("the folder itself is the list of its runs", async () => {
    expect((await get("/v1/runs/.")).json()).toEqual((await get("/v1/runs")).json());
  });

  it("names the nearest run, and no path", async () => {
    const error = errorOf(await get("/v1/runs/dune"));
    expect(error.code).toBe("unknown_run");
    expect(error.message).toContain('did you mean "done"?');
  });

  it("nothing but the names of the listing is ever found", async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: "grapheme", maxLength: 40 }), async (id) => {
        const response = await get(`/v1/runs/${encodeURIComponent(id)}`);
        const expected = ["done", "under way"].includes(id) ? [200] : [404, 400];
        // An empty id is the list.
        expect(id === "" ? [200, 404] : expected).toContain(response.statusCode);
      }),
      { numRuns: 60 },
    );
  });
});

describe("broken runs", () => {
  const broken = (spoil: (run: string) => void): string => {
    const run = join(folder, `broken ${Math.trunc(performance.now() * 1000)}`);
    writeRunning(run);
    spoil(run);
    return basename(run);
  };
  const stateOf = async (id: string) => (await listed()).find((run) => run.id === id)!.state;

  it.each<[string, (run: string) => void, string]>([
    [
      "records that are none",
      (run) => appendFileSync(join(run, "metrics.jsonl"), "null\n"),
      "metrics.jsonl, line 13: expected a JSON object",
    ],
    ["a config that is cut", (run) => writeFileSync(join(run, "config.json"), '{"head"'), "config.json: not JSON"],
    ["a model that is none", (run) => writeFileSync(join(run, "model.onnx"), "x"), "model.onnx"],
    [
      "a checkpoint that is none",
      (run) => writeFileSync(join(run, "checkpoint.safetensors"), "x"),
      "checkpoint.safetensors: not a whole safetensors",
    ],
    ["records without an end", (run) => truncateSync(join(run, "metrics.jsonl"), 3e9), "metrics.jsonl: 3000000000 bytes, more than the"],
    ["a pipe", (run) => replaceByPipe(join(run, "metrics.jsonl")), "metrics.jsonl: not a file"],
    ["a lock that is a pipe", (run) => replaceByPipe(join(run, "training.lock")), "training.lock: not a file"],
  ])("%s: said in the list and in the view, without where the folder is", async (_name, spoil, reason) => {
    const id = broken(spoil);
    const state = await stateOf(id);
    expect(state).toEqual({ kind: "broken", reason: expect.stringContaining(reason) });
    const run = await view(id);
    expect(run.problems).toEqual([expect.stringContaining(reason)]);
    expect(JSON.stringify([state, run])).not.toContain(outside);
    rmSync(join(folder, id), { recursive: true });
  });

  it("a last record that is cut off is left out", async () => {
    const id = broken((run) => appendFileSync(join(run, "metrics.jsonl"), '{"kind":"steps","st'));
    expect((await view(id)).history.at(-1)!.step).toBe(200);
    expect(await stateOf(id)).toMatchObject({ kind: "running" });
    rmSync(join(folder, id), { recursive: true });
  });

  it("an evaluation that is none is said, the rest is shown", async () => {
    const id = broken((run) => {
      writeFileSync(join(run, "evaluation.json"), '{"evaluation": 1}');
      replaceByPipe(join(run, "robustness.json"));
    });
    const run = await view(id);
    expect([run.evaluation, run.robustness, run.history.length]).toEqual([null, null, 10]);
    expect(run.problems).toEqual([
      expect.stringContaining("evaluation.json: not a record of sdim evaluate --out"),
      "robustness.json: cannot be read as JSON: not a file",
    ]);
    rmSync(join(folder, id), { recursive: true });
  });

  it("of many records a thousand are shown, the first and the last among them", async () => {
    const lines = Array.from({ length: 5000 }, (_, i) => stepsLine(20 * (i + 11)));
    const id = broken((run) => appendMetrics(run, ...lines));
    const { history, counts } = await view(id);
    expect([history.length, history[0]!.step, history.at(-1)!.step, counts.history]).toEqual([1000, 20, 20 * 5010, 5010]);
    rmSync(join(folder, id), { recursive: true });
  });
});

function replaceByPipe(path: string): void {
  rmSync(path, { force: true });
  execFileSync("mkfifo", [path]);
}

describe("the thread that reads", () => {
  const entry = new URL("../support/silent-thread.ts", import.meta.url);

  it("dies alone: what it was asked fails, the next question is answered", async () => {
    const reader = new RunsReader(folder, 60_000, entry);
    await expect(reader.run("deadly")).rejects.toThrow("the thread that reads runs died: this run was too much");
    expect(await reader.list()).toBe('{"runs":[],"leftOut":0}');
    await reader.close();
  });

  it("is ended where it does not answer, and asked no more than it can", async () => {
    const reader = new RunsReader(folder, 60_000, entry);
    await reader.list();
    const same = [reader.run("a"), reader.run("a")];
    expect(same[0]).toBe(same[1]);
    const waiting = Array.from({ length: 31 }, (_, i) => reader.run(`run ${i}`));
    await expect(reader.run("one more")).rejects.toMatchObject({ status: 503 });
    await reader.close();
    const ended = await Promise.allSettled([...same, ...waiting]);
    expect(ended.every(({ status }) => status === "rejected")).toBe(true);
    const hasty = new RunsReader(folder, 50, entry);
    await expect(hasty.run("a")).rejects.toThrow("it took longer than 50 ms");
    await hasty.close();
  });
});
