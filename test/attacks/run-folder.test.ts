import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { runAttack, type Samples } from "../../src/attacks/attack.ts";
import { makeAttack } from "../../src/attacks/attacks.ts";
import { bestOfAttacks, overRestarts } from "../../src/attacks/combine.ts";
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

const firstOf = (count: number): Samples => ({
  images: samples.images.slice(0, 4 * count),
  labels: samples.labels.slice(0, count),
});
const withImage = (index: number, value: number): Samples => ({
  ...samples,
  images: samples.images.slice().fill(value, 4 * index, 4 * index + 1),
});
const nextClasses = ({ labels }: Samples) => labels.map((label) => (label + 1) % 3);
const partsIn = (at: string) =>
  readdirSync(at)
    .filter((name) => name.endsWith(".safetensors"))
    .sort();

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

  it.each([
    { what: "ends with a part that is full", before: 8, made: ["000008-000010"] },
    { what: "ends with a part that is not", before: 6, made: ["000006-000007", "000008-000010"] },
  ])("of the first $before samples, which $what, becomes one of all", async ({ before, made }) => {
    const all = await run({ folder: join(folder, "at once") });
    const grown = join(folder, "grown");
    await run({ folder: grown }, pgd, firstOf(before));
    const there = partsIn(grown);
    const seen: ChunkProgress[] = [];
    expect(await run({ folder: grown, onProgress: (progress) => seen.push(progress) })).toEqual(all);
    expect(partsIn(grown).filter((name) => !there.includes(name))).toEqual(made.map((range) => `samples-${range}.safetensors`));
    expect(seen.at(-1)).toEqual({ done: 22, total: 22, reused: 2 * before });
    for (const name of partsIn(join(folder, "at once")).filter((one) => partsIn(grown).includes(one))) {
      expect(readFileSync(join(grown, name)).equals(readFileSync(join(folder, "at once", name)))).toBe(true);
    }
    // And back: nothing is made that is there.
    const fewer = firstOf(before);
    await run({ folder: grown, onProgress: (progress) => seen.push(progress) }, pgd, fewer);
    expect(seen.at(-1)).toEqual({ done: 2 * before, total: 2 * before, reused: 2 * before });
  });

  it("does not claim a folder for what cannot be done", async () => {
    await expect(run({ epsilons: [2] })).rejects.toThrow("epsilon: pixels are in [0, 1]");
    await expect(run({ seed: -1 })).rejects.toThrow("seed");
    await expect(run({}, pgd, { ...samples, targets: samples.labels })).rejects.toThrow("is of class");
    expect(existsSync(folder)).toBe(false);
    expect((await run()).attack).toBe("pgd");
  });

  it("of several attacks as one goes on, and knows others, and other numbers of runs, from it", async () => {
    const best = bestOfAttacks([pgd, makeAttack("noise")]);
    const whole = await run({}, best);
    expect(whole).toMatchObject({ attack: "best of pgd, noise", settings: { attacks: [{ name: "pgd", steps: 5 }, { name: "noise" }] } });
    expect(await run({}, best)).toEqual(whole);
    await expect(run({}, bestOfAttacks([pgd]))).rejects.toThrow("holds another run, which differs in attack");
    const twice = { folder: `${folder}-twice` };
    await run(twice, overRestarts(pgd, 2));
    await expect(run(twice, overRestarts(pgd, 3))).rejects.toThrow("settings.overRestarts (2 there, 3 now)");
  });

  it("knows its options", async () => {
    await expect(run({ chunksize: 3 } as Partial<ChunkOptions>)).rejects.toThrow('unknown option of attackInChunks "chunksize"');
    expect(existsSync(folder)).toBe(false);
  });

  it("of an attack that came to nothing is free for another", async () => {
    await expect(run({}, makeAttack("match-mean", {}))).rejects.toThrow("match-mean: needs class means");
    expect(readdirSync(folder)).toEqual(["attack.json"]);
    expect((await run()).attack).toBe("pgd");
  });

  it("with parts that nothing says of what they are is left alone", async () => {
    await run();
    rmSync(join(folder, "attack.json"));
    await expect(run({}, makeAttack("bim", {}))).rejects.toThrow(/attack\.json: not the description of a run that can go on .*ENOENT/);
    expect(existsSync(join(folder, "attack.json"))).toBe(false);
  });

  it("is one process's at a time", async () => {
    const lock = join(folder, "attack.lock");
    mkdirSync(folder);
    writeFileSync(lock, JSON.stringify({ pid: process.ppid, host: hostname() }));
    await expect(run()).rejects.toThrow(`${folder}: process ${process.ppid} on ${hostname()} is attacking in this folder`);
    rmSync(lock);
    await run();
    expect(existsSync(lock)).toBe(false);
  });

  it.each([
    ["settings.steps (5 there, 6 now)", () => run({}, makeAttack("pgd", { loss: "margin", steps: 6 }))],
    ["model", () => run({ model: "def" })],
    ["samplesPerFile (4 there, 5 now)", () => run({ chunkSize: 5 })],
    ["data (of samples-000004-000005)", () => run({}, pgd, withImage(5, 0.5))],
    ["targeted (false there, true now)", () => run({}, pgd, { ...samples, targets: nextClasses(samples) })],
  ])("does not grow where %s is another", async (named, again) => {
    await run({}, pgd, firstOf(6));
    await expect(again()).rejects.toThrow(`${folder}: holds another run, which differs in ${named}`);
  });

  it("does not grow where an earlier sample has another target, and does where a later one has", async () => {
    const targeted = (given: Samples, change: number) => {
      const targets = nextClasses(given);
      if (change >= 0) targets[change] = (given.labels[change]! + 2) % 3;
      return { ...given, targets };
    };
    await run({}, pgd, targeted(firstOf(4), -1));
    await expect(run({}, pgd, targeted(samples, 3))).rejects.toThrow("differs in targets (of samples-000000-000003)");
    expect((await run({}, pgd, targeted(samples, 9))).labels).toHaveLength(11);
  });

  it("of an attack that uses guides grows with the same guides alone", async () => {
    const matching = makeAttack("match-sample", { steps: 2 });
    const guides = firstOf(11);
    const all = await run({ folder: join(folder, "at once") }, matching, { ...samples, guides });
    await run({}, matching, { ...firstOf(4), guides });
    expect(await run({}, matching, { ...samples, guides })).toEqual(all);
    await expect(run({}, matching, { ...samples, guides: firstOf(10) })).rejects.toThrow("differs in guides");
    // Without any, the samples are the guides.
    const own = join(folder, "own");
    await run({ folder: own }, matching, firstOf(8));
    await expect(run({ folder: own }, matching)).rejects.toThrow("differs in guides");
  });

  it("keeps a minimal attack's images once for all epsilons, and its targets", async () => {
    const targets = nextClasses(samples);
    const jsma = makeAttack("jsma", {});
    const targeted = { ...samples, targets };
    const whole = await run({ folder: join(folder, "a"), epsilons: [1, 2] }, jsma, targeted);
    // Carried over or not makes no difference to it.
    const again = await run({ folder: join(folder, "a"), epsilons: [1, 2], carryOver: true }, jsma, targeted);
    expect(again).toEqual(whole);
    expect(again.targets).toEqual(targets);
    expect(again.outcomes[1]!.images).toBe(again.outcomes[0]!.images);
  });

  it.each([
    ["settings.steps (5 there, 6 now)", () => run({}, makeAttack("pgd", { loss: "margin", steps: 6 }))],
    ["model", () => run({ model: "def" })],
    ["seed (3 there, 4 now)", () => run({ seed: 4 })],
    ["carryOver (false there, true now)", () => run({ carryOver: true })],
    ["epsilons ([0.05,0.3] there, [0.05] now)", () => run({ epsilons: [0.05] })],
    ["data", () => run({}, pgd, { ...samples, images: samples.images.map((value) => value / 2) })],
    ["attack", () => run({}, makeAttack("bim", {}))],
  ])("refuses to go on where the folder differs in %s", async (named, again) => {
    await run();
    await expect(again()).rejects.toThrow(named);
    await expect(again()).rejects.toThrow("holds another run");
  });

  it("counts progress upwards whatever the order of epsilons, carried over or not", async () => {
    for (const carryOver of [false, true]) {
      const seen: ChunkProgress[] = [];
      const options = { folder: join(folder, String(carryOver)), epsilons: [0.3, 0.05, 0.1], carryOver };
      const { outcomes } = await run({ ...options, onProgress: (progress) => seen.push(progress) });
      expect(outcomes.map(({ epsilon }) => epsilon)).toEqual([0.3, 0.05, 0.1]);
      expect(seen.every(({ done }, i) => i === 0 || done >= seen[i - 1]!.done)).toBe(true);
      expect(seen[0]!.done).toBeLessThan(4);
      expect(seen.at(-1)).toEqual({ done: 33, total: 33, reused: 0 });
    }
  });

  it("counts progress of a minimal attack, which runs once for all epsilons, by its samples", async () => {
    const seen: number[] = [];
    const cw = makeAttack("cw-l2", { steps: 2, binarySearchSteps: 4, constantTolerance: 0 });
    await run({ chunkSize: 11, epsilons: [0.1, 0.2, 0.3, 0.4], onProgress: ({ done }) => seen.push(done) }, cw);
    // A quarter of the constants, a quarter of the way.
    for (const share of [0.25, 0.5, 0.75]) expect(seen.some((done) => Math.abs(done - share * 44) < 6)).toBe(true);
    expect(seen.at(-1)).toBe(44);
  });

  it("refuses a manifest that is none", async () => {
    await run();
    const path = join(folder, "attack.json");
    const whole = readFileSync(path, "utf8");
    for (const broken of ["{", "[]", whole.replace("samples-000000-000003", "samples-3"), whole.replace('"format": 2', '"format": 1')]) {
      writeFileSync(path, broken);
      await expect(run()).rejects.toThrow(`${path}: not the description of a run that can go on`);
    }
  });

  it("refuses damaged parts and parts of other samples, and names the file", async () => {
    await run();
    const [first, second] = readdirSync(folder)
      .filter((name) => name.endsWith(".safetensors"))
      .map((name) => join(folder, name));
    const bytes = readFileSync(first!);
    writeFileSync(first!, bytes.subarray(0, bytes.length - 5));
    await expect(run()).rejects.toThrow(first!);
    await expect(run()).rejects.toThrow("; remove that file, and its samples are attacked again");
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
