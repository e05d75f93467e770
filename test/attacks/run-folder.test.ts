import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { runAttack, type Samples } from "../../src/attacks/attack.ts";
import { makeAttack } from "../../src/attacks/attacks.ts";
import { decodeResult, encodeResult } from "../../src/attacks/result-file.ts";
import { attackInChunks, type ChunkOptions, type ChunkProgress } from "../../src/attacks/run-folder.ts";
import { Interrupted } from "../../src/core/errors.ts";
import { linearModel } from "../support/attacked-models.ts";
import { labelledPoints } from "../support/points.ts";

const model = linearModel({
  rows: [
    [2, -1, 0.5, 0],
    [-1, 1.5, 0, 0.5],
    [0, 0.5, -1, 1],
  ],
});
const epsilons = [0.05, 0.3];
const pgd = makeAttack("pgd", { loss: "margin", steps: 5 });
const base = mkdtempSync(join(tmpdir(), "sdim-attack-run-"));
let folder = "";
let runs = 0;
let samples: Samples;

beforeEach(async () => {
  folder = join(base, String(runs++));
  samples = await labelledPoints(model, 11, 4);
});
afterAll(async () => {
  rmSync(base, { recursive: true });
  await model.release();
});

const run = (options: Partial<ChunkOptions> = {}, attack = pgd, given = samples) =>
  attackInChunks(model, given, attack, { model: "abc", folder, epsilons, seed: 3, chunkSize: 4, ...options });

describe("an attack in parts", () => {
  it("gives what the attack of the whole set gives", async () => {
    const whole = await runAttack(model, samples, pgd, { epsilons, seed: 3 });
    expect(await run()).toEqual(whole);
    expect(readdirSync(folder).sort()).toEqual([
      "attack.json",
      "samples-000000-000003.safetensors",
      "samples-000004-000007.safetensors",
      "samples-000008-000010.safetensors",
    ]);
  });

  it("stopped between two steps goes on with the finished parts, to the same result", async () => {
    let steps = 0;
    const stopping = run({
      checkpoint: () => {
        // Parts have at most 12 steps of two epsilons: this is in the second.
        if (++steps > 16) throw new Interrupted("stopped");
      },
    });
    await expect(stopping).rejects.toThrow(Interrupted);
    const kept = readdirSync(folder).filter((name) => name.endsWith(".safetensors"));
    expect(kept.length).toBeGreaterThan(0);
    expect(kept.length).toBeLessThan(3);
    const seen: ChunkProgress[] = [];
    const resumed = await run({ onProgress: (progress) => seen.push(progress) });
    expect(resumed).toEqual(await runAttack(model, samples, pgd, { epsilons, seed: 3 }));
    expect(seen.at(-1)).toEqual({ done: 22, total: 22, reused: kept.length * 8 });
    expect(seen.every(({ done }, i) => i === 0 || done >= seen[i - 1]!.done)).toBe(true);
  });

  it("keeps a minimal attack's images once for all epsilons, and its targets", async () => {
    const targets = samples.labels.map((label) => (label + 1) % 3);
    const jsma = makeAttack("jsma", {});
    const targeted = { ...samples, targets };
    const whole = await run({ folder: join(folder, "a") }, jsma, targeted);
    const again = await run({ folder: join(folder, "a") }, jsma, targeted);
    expect(again).toEqual(whole);
    expect(again.targets).toEqual(targets);
    expect(again.outcomes[1]!.images).toBe(again.outcomes[0]!.images);
  });

  it.each([
    ["settings.steps (5 there, 6 now)", () => run({}, makeAttack("pgd", { loss: "margin", steps: 6 }))],
    ["model", () => run({ model: "def" })],
    ["seed (3 there, 4 now)", () => run({ seed: 4 })],
    ["epsilons ([0.05,0.3] there, [0.05] now)", () => run({ epsilons: [0.05] })],
    ["data", () => run({}, pgd, { ...samples, images: samples.images.map((value) => value / 2) })],
    ["attack", () => run({}, makeAttack("bim", {}))],
  ])("refuses to go on where the folder differs in %s", async (named, again) => {
    await run();
    await expect(again()).rejects.toThrow(named);
    await expect(again()).rejects.toThrow("holds another run");
  });

  it("refuses damaged parts and parts of other samples, and names the file", async () => {
    await run();
    const [first, second] = readdirSync(folder)
      .filter((name) => name.endsWith(".safetensors"))
      .map((name) => join(folder, name));
    const bytes = readFileSync(first!);
    writeFileSync(first!, bytes.subarray(0, bytes.length - 5));
    await expect(run()).rejects.toThrow(first!);
    writeFileSync(first!, readFileSync(second!));
    await expect(run()).rejects.toThrow("holds other samples than its name says");
  });

  it("comes back from its file as it was", async () => {
    const result = await runAttack(model, samples, pgd, { epsilons });
    const bytes = encodeResult(result);
    expect(decodeResult(bytes, "there")).toEqual(result);
    expect(() => decodeResult(bytes.subarray(0, 100), "there")).toThrow("there: not a whole safetensors file");
  });
});
