import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { UserError } from "../../src/core/errors.ts";
import { augmentationOf, loadDataset } from "../../src/data/registry.ts";
import { writeArchive } from "../support/archive.ts";
import { svhnFile } from "../support/mat.ts";
import { cifarRecords } from "../support/records.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sdim-own-"));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

const batches = ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin"];
const contents = batches.map((_, i) => cifarRecords([i, 9 - i].slice(0, 1 + (i % 2)), 20 * i));
const writeBatches = (to: string) => {
  mkdirSync(to, { recursive: true });
  for (const [i, name] of batches.entries()) writeFileSync(join(to, name), contents[i]!);
};

describe("a folder with CIFAR10's files", () => {
  const isRead = async (spec: string) => {
    const [train, test] = [await loadDataset(spec, "train"), await loadDataset(spec, "test")];
    expect([...train.labels]).toEqual([0, 1, 8, 2, 3, 6, 4]);
    expect([train.height, train.width, train.channels, train.name, train.split]).toEqual([32, 32, 3, spec, "train"]);
    // The first pixel of the third batch's image: (100 c + 40) mod 256.
    expect([...train.pixels.subarray(3 * 3072, 3 * 3072 + 3)]).toEqual([40, 140, 240]);
    expect([...test.labels]).toEqual([5, 4]);
    expect([test.classNames[0], test.classNames[9], test.areClassesNumbered]).toEqual(["airplane", "truck", false]);
  };

  it("is read, batches in order", async () => {
    writeBatches(folder);
    await isRead(folder);
  });

  it("is read from the folder that the archive unpacks to", async () => {
    writeBatches(join(folder, "cifar-10-batches-bin"));
    await isRead(folder);
  });

  it("is read from the archive in it, and the archive by itself", async () => {
    const path = join(folder, "cifar-10-binary.tar.gz");
    await writeArchive(
      path,
      batches.map((name, i) => ({ name: `cifar-10-batches-bin/${name}`, content: contents[i]! })),
    );
    await isRead(folder);
    await isRead(path);
    // One file by itself beside it changes nothing.
    writeFileSync(join(folder, "data_batch_2.bin"), cifarRecords([9]));
    await isRead(folder);
  });

  it("that lacks some is refused", async () => {
    writeFileSync(join(folder, "data_batch_1.bin"), contents[0]!);
    await expect(loadDataset(folder, "train")).rejects.toThrow(`${folder}: expected data_batch_2.bin in this folder`);
    await expect(loadDataset(folder, "test")).rejects.toThrow("expected test_batch.bin in this folder");
  });

  it("with a damaged one is told which", async () => {
    writeBatches(folder);
    writeFileSync(join(folder, "data_batch_4.bin"), contents[3]!.subarray(9));
    await expect(loadDataset(folder, "train")).rejects.toThrow(`${join(folder, "data_batch_4.bin")}: expected records of 3073 bytes`);
  });

  it("in an archive that lacks some is refused", async () => {
    const path = join(folder, "some.tar.gz");
    await writeArchive(path, [{ name: "data_batch_1.bin", content: contents[0]! }]);
    await expect(loadDataset(path, "test")).rejects.toThrow(`${path}: expected test_batch.bin in this archive`);
  });
});

describe("a folder with SVHN's files", () => {
  it("is read", async () => {
    writeFileSync(join(folder, "train_32x32.mat"), svhnFile([10, 3], { compressed: true }));
    writeFileSync(join(folder, "test_32x32.mat"), svhnFile([9], { littleEndian: false, labelsAs: "double" }));
    const [train, test] = [await loadDataset(folder, "train"), await loadDataset(folder, "test")];
    expect([[...train.labels], [...test.labels]]).toEqual([[0, 3], [9]]);
    // (100 c + 3 y + x + n) mod 256 at row 1, column 2 of the second image.
    expect([...train.pixels.subarray(3072 + 34 * 3, 3072 + 35 * 3)]).toEqual([6, 106, 206]);
    expect(train.classNames).toEqual(["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
  });

  it("that lacks a split is refused for it", async () => {
    writeFileSync(join(folder, "train_32x32.mat"), svhnFile([1]));
    await expect(loadDataset(folder, "test")).rejects.toThrow(`${folder}: expected test_32x32.mat in this folder`);
  });
});

describe("a .bin file of records", () => {
  it("serves as any split", async () => {
    const path = join(folder, "digits.bin");
    writeFileSync(path, cifarRecords([7, 0]));
    const [train, test] = [await loadDataset(path, "train"), await loadDataset(path, "test")];
    expect([train.split, test.split, train.fingerprint === test.fingerprint]).toEqual(["train", "test", true]);
    expect([[...test.labels], test.classNames[9], test.name, test.areClassesNumbered]).toEqual([[7, 0], "9", path, true]);
  });

  it("and no file of another kind", async () => {
    await expect(loadDataset("package.json", "test")).rejects.toThrow(
      "package.json: expected a folder, a CSV of file,label, a .bin file of CIFAR10's records",
    );
    await expect(loadDataset("package.json", "test")).rejects.toThrow(UserError);
    const path = join(folder, "empty.bin");
    writeFileSync(path, "");
    await expect(loadDataset(path, "test")).rejects.toThrow(`${path}: expected records of 3073 bytes`);
  });

  it("and nothing that is no file at all", async () => {
    await expect(loadDataset("/dev/zero", "test")).rejects.toThrow('unknown data set (and no such folder) "/dev/zero"');
  });
});

it("augmentation is the paper's for a name, and none for the user's own data", () => {
  expect(augmentationOf("cifar10")).toEqual({ cropPadding: 4, flip: true, randomErasing: 0 });
  expect(augmentationOf("fashion-mnist")).toEqual({ cropPadding: 0, flip: false, randomErasing: 0 });
  expect(augmentationOf("toString")).toEqual({ cropPadding: 0, flip: false, randomErasing: 0 });
});
