import { readdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { ImageCache } from "../../src/data/image-cache.ts";
import { temporaryFolder } from "../support/digits.ts";

const folder = temporaryFolder();

it("removes what was used longest ago when it grows beyond its capacity, never what was just kept", () => {
  const cache = new ImageCache(folder, 250);
  const note = (letter: string) => letter.repeat(100);
  for (const [age, letter] of [
    [3, "a"],
    [2, "b"],
  ] as const) {
    const before = new Set(readdirSync(folder));
    cache.writeNote({ letter }, note(letter));
    const entry = readdirSync(folder).find((name) => !before.has(name))!;
    utimesSync(join(folder, entry), 1000 - age, 1000 - age);
  }
  expect(cache.readNote({ letter: "a" })).toBe(note("a"));
  cache.writeNote({ letter: "c" }, note("c"));
  expect(["a", "b", "c"].map((letter) => cache.readNote({ letter }) !== undefined)).toEqual([false, true, true]);
  cache.writeNote({ letter: "d" }, "d".repeat(1000));
  expect(["a", "b", "c", "d"].map((letter) => cache.readNote({ letter }) !== undefined)).toEqual([false, false, false, true]);
});

it("removes what a killed process left unfinished, not what another is writing", () => {
  const at = temporaryFolder();
  const cache = new ImageCache(at, 250);
  const ours = (digit: string) => `.${digit.repeat(64)}.safetensors.1-abcd.part`;
  const [left, underWay, theirs, large] = [ours("a"), ours("b"), "film.mp4.part", "checkpoint.safetensors"];
  for (const name of [left, underWay, theirs]) writeFileSync(join(at, name), "half");
  writeFileSync(join(at, large), Buffer.alloc(1000));
  for (const name of [left, theirs, large]) utimesSync(join(at, name), 1000, 1000);
  cache.writeNote({ letter: "a" }, "a");
  // What is not of the cache stays, too.
  expect(readdirSync(at).filter((name) => !/^[0-9a-f]{64}/.test(name))).toEqual([underWay, large, theirs].sort());
});
