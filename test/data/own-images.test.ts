import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { UserError } from "../../src/core/errors.ts";
import { type ImageSet, subset } from "../../src/data/image-set.ts";
import { readPicture } from "../../src/data/images.ts";
import type { OwnImageOptions } from "../../src/data/own-images.ts";
import { loadDataset, type Split } from "../../src/data/registry.ts";
import { resizePicture } from "../../src/data/resize.ts";
import { removeFolders, temporaryFolder } from "../support/folders.ts";
import { bmp, noise, writeNoise, writePicture } from "../support/pictures.ts";

afterAll(removeFolders);
let root: string;
let cacheDir: string;
beforeEach(() => {
  root = temporaryFolder();
  cacheDir = join(temporaryFolder(), "cache");
});

const at = (...names: readonly string[]): string[] => names.map((name) => join(root, name));
const load = (split: Split = "train", options: OwnImageOptions = {}, spec = root) =>
  loadDataset(spec, split, { imageSize: 8, testShare: 0, cacheDir, ...options });

/** What progress was reported: whether files were read, or came from the cache. */
const loadCounted = async (options: OwnImageOptions = {}) => {
  const seen: string[] = [];
  const set = await load("train", { ...options, onProgress: (what, done, total) => seen.push(`${what} ${done}/${total}`) });
  return { set, seen };
};

describe("a folder of images", () => {
  it("becomes an image set of one size, as predict would see each file", async () => {
    await writePicture(join(root, "cat/long.png"), noise(1, 40, 9, 3));
    await writePicture(join(root, "cat/photo.jpg"), noise(2, 13, 31, 3));
    await writePicture(join(root, "dog/flat.webp"), noise(3, 5, 70, 3));
    await writePicture(join(root, "dog/small.gif"), noise(4, 3, 3, 3));
    await writePicture(join(root, "dog/x.tiff"), noise(5, 16, 16, 3));
    writeFileSync(
      join(root, "dog/y.bmp"),
      bmp({
        width: 1,
        height: 2,
        bits: 24,
        rows: [
          [1, 2, 3],
          [200, 100, 50],
        ],
      }),
    );
    const set = await load();
    expect(set).toMatchObject({ name: root, split: "train", count: 6, height: 8, width: 8, channels: 3, classNames: ["cat", "dog"] });
    expect(set.origin).toEqual({ choices: { channels: 3, testShare: 0, splitSeed: 1, onBroken: "refuse" }, skipped: [], ignored: {} });
    const images = Array.from({ length: 6 }, (_, i) => [set.labels[i], ...set.pixels.subarray(192 * i, 192 * (i + 1))].join());
    const expected = await Promise.all(
      ["cat/long.png", "cat/photo.jpg", "dog/flat.webp", "dog/small.gif", "dog/x.tiff", "dog/y.bmp"].map(async (name) =>
        [name.startsWith("cat") ? 0 : 1, ...resizePicture(await readPicture(join(root, name), 3), 8).pixels].join(),
      ),
    );
    expect([...images].sort()).toEqual([...expected].sort());
  });

  it("is turned upright and shows what is transparent as black", async () => {
    mkdirSync(join(root, "a"), { recursive: true });
    const left = await sharp(Uint8Array.of(255, 255, 255, 255, 0, 0, 0, 0), { raw: { width: 2, height: 4, channels: 1 } })
      .withMetadata({ orientation: 6 })
      .jpeg({ quality: 100 })
      .toBuffer();
    writeFileSync(join(root, "a/turned.jpg"), left);
    const clear = { create: { width: 8, height: 8, channels: 4 as const, background: { r: 255, g: 255, b: 255, alpha: 0 } } };
    mkdirSync(join(root, "b"));
    await sharp(clear).png().toFile(join(root, "b/clear.png"));
    const set = await load("train", { channels: 1 });
    const [a, b] = [subset(set, [set.labels.indexOf(0)]), subset(set, [set.labels.indexOf(1)])];
    expect(Math.max(...b.pixels)).toBe(0);
    // The upper rows of the file are its right half when it is upright.
    expect(a.pixels[0]).toBeLessThan(30);
    expect(a.pixels[7]).toBeGreaterThan(225);
    expect(a.pixels[63]).toBeGreaterThan(225);
  });

  it("is divided by share where it draws no splits, without an image in both", async () => {
    await writeNoise(at(...Array.from({ length: 10 }, (_, i) => [`a/${i}.png`, `b/${i}.png`]).flat()));
    const [train, test] = [await load("train", { testShare: 0.3 }), await load("test", { testShare: 0.3 })];
    expect([train.count, test.count]).toEqual([14, 6]);
    expect([...test.labels].sort()).toEqual([0, 0, 0, 1, 1, 1]);
    const prints = [train, test].map((set) => Array.from({ length: set.count }, (_, i) => set.pixels.subarray(64 * i, 64 * i + 64).join()));
    expect(new Set(prints.flat()).size).toBe(20);
    expect((await load("test", { testShare: 0.3, splitSeed: 2 })).fingerprint).not.toBe(test.fingerprint);
    await expect(load("val")).rejects.toThrow(`${root} has no val split`);
  });

  it("has the splits that it draws itself", async () => {
    await writeNoise(at("train/a/1.png", "train/b/1.png", "train/b/2.png", "val/a/1.png"));
    expect((await load("train")).count).toBe(3);
    expect((await load("val")).count).toBe(1);
    await expect(load("test")).rejects.toThrow(`${root} has no test split, only train, val`);
  });

  it("that is only to be refused needs no classes", async () => {
    await writeNoise(at("1.png", "more/2.png", "more/3.png"));
    const set = await load("test", { isLabelled: false, channels: 3 });
    expect([set.count, set.channels, set.classNames]).toEqual([3, 3, ["unlabelled"]]);
    await expect(load("test")).rejects.toThrow("of what class");
  });

  it("of IDX files stays one, whatever else is in it", async () => {
    await writeNoise(at("a/1.png", "b/1.png"));
    writeFileSync(join(root, "train-images-idx3-ubyte"), "");
    await expect(load()).rejects.toThrow("train-labels-idx1-ubyte");
  });

  it.each([12, 0, 4, 8.5])("is not brought to a size of %d", async (imageSize) => {
    await writeNoise(at("a/1.png", "b/1.png"));
    await expect(load("train", { imageSize })).rejects.toThrow(`image size: expected a multiple of 8, got ${imageSize}`);
  });

  it("too large for memory is refused before it is read", async () => {
    await writeNoise(at("a/1.png", "b/1.png"));
    await expect(load("train", { imageSize: 32768 })).rejects.toThrow("choose a smaller image size");
  });
});

describe("channels", () => {
  it("are one when all images are grey, also those that are stored in colour", async () => {
    await writeNoise(at("a/1.png", "b/1.jpg"));
    await writePicture(join(root, "b/2.webp"), { ...noise(1, 8, 8, 1) });
    writeFileSync(join(root, "a/2.bmp"), bmp({ width: 1, height: 1, bits: 24, rows: [[9, 9, 9]] }));
    expect((await load()).channels).toBe(1);
    expect((await load("train", { channels: 3 })).channels).toBe(3);
  });

  it("are three when one image has colour, in whatever split it is", async () => {
    await writeNoise(at("train/a/1.png", "train/b/1.png", "test/a/1.png"));
    expect((await load()).channels).toBe(1);
    await writeNoise(at("test/b/1.png"), 3);
    expect((await load()).channels).toBe(3);
    expect((await load("train", { channels: 1 })).channels).toBe(1);
  });
});

describe("files that cannot be read", () => {
  beforeEach(async () => {
    await writeNoise(at("a/1.png", "a/2.png", "b/1.png", "b/2.png"));
    const png = readFileSync(join(root, "a/1.png"));
    writeFileSync(join(root, "a/cut.png"), png.subarray(0, png.length - 40));
    writeFileSync(join(root, "b/text.jpg"), "no image");
    writeFileSync(join(root, "b/empty.gif"), "");
    writeFileSync(join(root, "b/none.bmp"), bmp({ width: 0, height: 4, bits: 24, rows: [] }));
    const bomb = await sharp({ create: { width: 11_000, height: 10_000, channels: 3, background: "#000" } })
      .png()
      .toBuffer();
    writeFileSync(join(root, "b/bomb.png"), bomb);
  });

  it("are refused together, each with its reason", async () => {
    const error = await load().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(UserError);
    const lines = (error as UserError).message.split("\n");
    expect(lines[0]).toBe(`${root}: 5 of 9 images cannot be read:`);
    for (const [name, reason] of [
      ["a/cut.png", "cannot be read as an image"],
      ["b/text.jpg", "cannot be read as an image"],
      ["b/empty.gif", "cannot be read as an image"],
      ["b/none.bmp", "a BMP of 0 x 4 pixels: nothing to see"],
      ["b/bomb.png", "11000 x 10000 pixels, more than the 100,000,000 that are read"],
    ] as const) {
      expect(lines.find((line) => line.includes(join(root, name)))).toContain(reason);
    }
    expect(lines.at(-1)).toContain("--skip-broken");
    expect(readdirSync(cacheDir).every((name) => statSync(join(cacheDir, name)).size < 10)).toBe(true);
  });

  it("are left out if that is wanted, and named, from the cache as well", async () => {
    for (const _ of ["read", "cached"]) {
      const set = await load("train", { onBroken: "skip" });
      expect([set.count, [...set.labels].sort()]).toEqual([4, [0, 0, 1, 1]]);
      expect(set.origin!.skipped.map(({ file }) => file).sort()).toEqual(
        at("a/cut.png", "b/bomb.png", "b/empty.gif", "b/none.bmp", "b/text.jpg"),
      );
    }
    // What was skipped once is not silently skipped when it is to be refused.
    await expect(load()).rejects.toThrow("5 of 9 images cannot be read");
  });

  it("leave the images that are left what they are", async () => {
    const set = await load("train", { onBroken: "skip" });
    for (const name of ["cut.png", "text.jpg", "empty.gif", "none.bmp", "bomb.png"])
      for (const folder of ["a", "b"]) rmSync(join(root, folder, name), { force: true });
    expect((await load()).fingerprint).toBe(set.fingerprint);
  });

  it("may not be all of a class", async () => {
    rmSync(join(root, "a/1.png"));
    rmSync(join(root, "a/2.png"));
    await expect(load("train", { onBroken: "skip" })).rejects.toThrow(`no image of the class a can be read (${join(root, "a/cut.png")}`);
  });

  it("are listed ten at most", async () => {
    for (let i = 0; i < 20; i++) writeFileSync(join(root, `a/bad${i}.png`), "");
    await expect(load()).rejects.toThrow("  and 15 more\n");
  });
});

describe("the cache", () => {
  beforeEach(() => writeNoise(at("a/1.png", "a/2.png", "b/1.png"), 3));

  const entry = (): string =>
    join(cacheDir, readdirSync(cacheDir).sort((a, b) => statSync(join(cacheDir, b)).size - statSync(join(cacheDir, a)).size)[0]!);

  it("gives the same images again without reading a file", async () => {
    const first = await loadCounted();
    expect(first.seen).toContain("reading images 3/3");
    const second = await loadCounted();
    expect(second.seen).toEqual([]);
    expect(second.set).toEqual(first.set);
  });

  it.each([
    ["another size", { imageSize: 16 }],
    ["other channels", { channels: 1 }],
    ["another split", { testShare: 0.5 }],
  ] as const)("is not used for %s", async (_what, options) => {
    await loadCounted();
    expect((await loadCounted(options)).seen).not.toEqual([]);
  });

  it("is not used when a file has changed, was added or removed", async () => {
    await loadCounted();
    utimesSync(join(root, "a/1.png"), new Date(1e12), new Date(1e12));
    expect((await loadCounted()).seen).not.toEqual([]);
    await writeNoise(at("b/2.png"), 3);
    expect((await loadCounted()).set.count).toBe(4);
    rmSync(join(root, "a/2.png"));
    expect((await loadCounted()).set.count).toBe(3);
  });

  it("is not used when files of one size and time have changed places", async () => {
    for (const [name, value] of [
      ["a/1.bmp", 1],
      ["b/2.bmp", 200],
    ] as const) {
      writeFileSync(join(root, name), bmp({ width: 1, height: 1, bits: 24, rows: [[value, value, value]] }));
      utimesSync(join(root, name), new Date(1e12), new Date(1e12));
    }
    const labelOf = ({ pixels, labels, channels }: ImageSet, value: number) =>
      labels[Array.from(labels).findIndex((_, i) => pixels[i * 64 * channels] === value)];
    const before = await load();
    expect([labelOf(before, 1), labelOf(before, 200)]).toEqual([0, 1]);
    renameSync(join(root, "a/1.bmp"), join(root, "a/x"));
    renameSync(join(root, "b/2.bmp"), join(root, "a/1.bmp"));
    renameSync(join(root, "a/x"), join(root, "b/2.bmp"));
    const after = await load();
    expect([labelOf(after, 1), labelOf(after, 200)]).toEqual([1, 0]);
  });

  it.each([
    ["one pixel changed", (bytes: Buffer) => bytes.fill(bytes.at(-1)! ^ 1, bytes.length - 1)],
    ["the end missing", (bytes: Buffer) => bytes.subarray(0, -5)],
    ["nothing in it", () => Buffer.alloc(0)],
    ["something else in it", () => Buffer.from("not safetensors, but long enough")],
  ])("with %s is made anew", async (_what, damage) => {
    const { set } = await loadCounted();
    const path = entry();
    const whole = readFileSync(path);
    writeFileSync(path, damage(Buffer.from(whole)));
    const again = await loadCounted();
    expect(again.seen).toContain("reading images 3/3");
    expect(again.set).toEqual(set);
    expect(readFileSync(path).equals(whole)).toBe(true);
  });

  it("that cannot be written does not stop anyone, and says so", async () => {
    writeFileSync(cacheDir, "a file where the folder should be");
    const { set } = await loadCounted();
    expect(set.count).toBe(3);
    expect(set.origin!.cacheProblem).toContain("cannot write");
  });

  it("is not made where none is wanted", async () => {
    const { set } = await loadCounted({ cacheDir: null });
    expect(set.origin!.cacheProblem).toBeUndefined();
    expect(() => readdirSync(cacheDir)).toThrow("ENOENT");
  });
});

describe("a labels CSV", () => {
  it("gives the same images as the folder it names", async () => {
    await writeNoise(at("train/a/1.png", "train/b/1.png", "train/b/2.png", "test/a/1.png"));
    const lines = ["train/a/1.png,a,train", "train/b/1.png,b,train", "train/b/2.png,b,train", "test/a/1.png,a,test"];
    const path = join(root, "labels.csv");
    writeFileSync(path, ["file,label,split", ...lines].join("\n"));
    for (const split of ["train", "test"] as const) {
      const [csv, folder] = [await load(split, {}, path), await load(split)];
      expect([csv.fingerprint, csv.classNames]).toEqual([folder.fingerprint, ["a", "b"]]);
    }
  });

  it("that names files which are not there is refused, with their names", async () => {
    await writeNoise(at("1.png", "2.png"));
    const path = join(root, "labels.csv");
    writeFileSync(path, "file,label\n1.png,a\n2.png,b\n3.png,b\n");
    await expect(load("train", {}, path)).rejects.toThrow(`1 of 3 images cannot be read:\n  ${join(root, "3.png")}: there is no such file`);
  });

  it("with a name that is too long for a file says so of that file, and does not keep what the system says", async () => {
    await writeNoise(at("a/1.png", "b/1.png"), 3);
    const csv = join(root, "long.csv");
    writeFileSync(csv, `file,label\na/1.png,a\nb/1.png,b\n${"x".repeat(300)}.png,a\n`);
    await expect(load("train", {}, csv)).rejects.toThrow(/1 of 3 images cannot be read:\n.*x{300}\.png: cannot be read as an image/);
    expect((await load("train", { onBroken: "skip" }, csv)).count).toBe(2);
    expect(readdirSync(cacheDir).every((name) => statSync(join(cacheDir, name)).size < 10)).toBe(true);
  });

  it("that is not there is said to be missing, not an unknown name", async () => {
    await expect(load("train", {}, join(root, "none.csv"))).rejects.toThrow(`cannot read ${join(root, "none.csv")}`);
  });
});
