import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { UserError } from "../../src/core/errors.ts";
import { isImageFolder, listFolder, listUnlabelled } from "../../src/data/folder.ts";
import { removeFolders, temporaryFolder } from "../support/folders.ts";

afterAll(removeFolders);
let root: string;
beforeEach(() => {
  root = temporaryFolder();
});

/** Empty files: listing does not look into them. A name that ends in / is a folder. */
const make = (...names: readonly string[]): void => {
  for (const name of names) {
    const path = join(root, name);
    mkdirSync(name.endsWith("/") ? path : join(path, ".."), { recursive: true });
    if (!name.endsWith("/")) writeFileSync(path, "");
  }
};

describe("a folder per class", () => {
  it("gives classes in natural order, and their files with those of folders inside", () => {
    make("item 10/b.png", "item 10/a.JPG", "item 2/deep/er/c.webp", "item 2/d.tiff", "item 2/e.bmp");
    const { classNames, files, drawsSplits, source } = listFolder(root);
    expect([source, classNames, drawsSplits]).toEqual([root, ["item 2", "item 10"], false]);
    expect(files.map(({ name, label }) => [name, label])).toEqual([
      ["item 2/d.tiff", 0],
      ["item 2/e.bmp", 0],
      ["item 2/deep/er/c.webp", 0],
      ["item 10/a.JPG", 1],
      ["item 10/b.png", 1],
    ]);
    expect(files[4]!.path).toBe(join(root, "item 10/b.png"));
  });

  it("passes over and counts what is hidden or no image", () => {
    make("a/1.png", "b/1.png", "a/notes.txt", "b/x.TXT", "b/photo.heic", "a/.DS_Store", ".git/HEAD", "README", "a/.hidden.png");
    const { files, ignored } = listFolder(root);
    expect(files).toHaveLength(2);
    expect(ignored).toEqual({ ".txt": 2, ".heic": 1, hidden: 3, "no ending": 1 });
  });

  it("follows links to files and folders, but not in circles", () => {
    make("elsewhere.d/x/1.png", "set/a/1.png");
    symlinkSync(join(root, "elsewhere.d/x"), join(root, "set/b"));
    symlinkSync(join(root, "set/a/1.png"), join(root, "set/a/2.png"));
    symlinkSync("nowhere.png", join(root, "set/a/3.png"));
    expect(listFolder(join(root, "set")).files.map(({ name }) => name)).toEqual(["a/1.png", "a/2.png", "a/3.png", "b/1.png"]);
    // To themselves.
    symlinkSync("self", join(root, "set/a/self"));
    symlinkSync("self.png", join(root, "set/a/self.png"));
    expect(listFolder(join(root, "set")).files.map(({ name }) => name)).toContain("a/self.png");
    expect(listFolder(join(root, "set")).ignored).toEqual({ "no ending": 1 });
    symlinkSync(join(root, "set"), join(root, "set/a/up"));
    expect(() => listFolder(join(root, "set"))).toThrow(/a link to a folder that holds it/);
  });

  it("refuses links between folders that fan out", () => {
    // 2 ** 40 ways to the last.
    make("set/a/0/1.png", "set/b/1.png");
    for (let n = 1; n <= 40; n++) {
      make(`set/a/${n}/`);
      for (const name of ["x", "y"]) symlinkSync(join(root, `set/a/${n - 1}`), join(root, `set/a/${n}/${name}`));
    }
    expect(() => listFolder(join(root, "set"))).toThrow(UserError);
    expect(() => listFolder(join(root, "set"))).toThrow(
      `${join(root, "set/a/1/x")}: the same folder as ${join(root, "set/a/0")}: its images would count twice; remove the link`,
    );
    expect(() => listUnlabelled(join(root, "set"))).toThrow("the same folder as");
  });

  it("takes one folder for two classes, and names it is called by from itself", () => {
    make("set/a/1.png", "set/b/2.png");
    symlinkSync("b", join(root, "set/c"));
    expect(listFolder(join(root, "set/a/..")).files.map(({ name }) => name)).toEqual(["a/1.png", "b/2.png", "c/2.png"]);
    rmSync(join(root, "set/c"));
    expect(listUnlabelled(join(root, "set/a/..")).files).toHaveLength(2);
  });

  it("refuses a link to what is above the data set at once", () => {
    make("a/1.png", "b/1.png");
    symlinkSync("/", join(root, "b/everything"));
    expect(() => listFolder(root)).toThrow(`${join(root, "b/everything")}: a link to a folder that holds it`);
  });

  it.runIf(process.platform === "linux")("refuses a folder whose name is not UTF-8 (names are so on Linux only)", () => {
    make("a/1.png");
    mkdirSync(Buffer.concat([Buffer.from(`${root}/caf`), Buffer.from([0xe9])]));
    expect(() => listFolder(root)).toThrow(UserError);
    expect(() => listFolder(root)).toThrow(/cannot read the folder .*caf\ufffd: ENOENT.*\. Its name is not UTF-8: give it another/);
  });

  it.each([
    ["no images", ["a/x.txt", "b/"], "no images: found a, b; passed over: 1 .txt. Expected a folder per class"],
    ["one class", ["cats/1.png"], "expected at least two classes, found cats. Expected a folder per class"],
    ["an empty class", ["a/1.png", "b/x.heic", "c/1.png"], "no images of the class b, only of a, c; passed over: 1 .heic"],
    [
      "classes that differ in case only",
      ["Cat/1.png", "cat/1.png", "dog/1.png"],
      "the classes cat and Cat differ in upper and lower case only",
    ],
    ["images beside the classes", ["a/1.png", "b/1.png", "2.png"], "found 1 images (2.png, ...) beside the folders a, b: of what class"],
    ["images without classes", ["1.png", "2.png"], "found 2 images (1.png, ...) and no folders: of what class are they?"],
  ])("with %s is refused", (_what, names, message) => {
    make(...names);
    expect(() => listFolder(root)).toThrow(UserError);
    expect(() => listFolder(root)).toThrow(message);
  });
});

describe("train/ and test/", () => {
  it("are the splits, and val/ too; classes are those of all", () => {
    make("train/a/1.png", "train/b/1.png", "train/c/1.png", "test/a/1.png", "val/b/2.png", "val/c/1.png");
    const { classNames, files, drawsSplits } = listFolder(root);
    expect([classNames, drawsSplits]).toEqual([["a", "b", "c"], true]);
    expect(files.map(({ name, label, split }) => [name, label, split])).toEqual([
      ["test/a/1.png", 0, "test"],
      ["train/a/1.png", 0, "train"],
      ["train/b/1.png", 1, "train"],
      ["train/c/1.png", 2, "train"],
      ["val/b/2.png", 1, "val"],
      ["val/c/1.png", 2, "val"],
    ]);
  });

  it("may be called otherwise, as others call them", () => {
    make("Training/a/1.png", "Training/b/1.png", "validation/a/1.png", "TEST/b/1.png");
    const { classNames, files } = listFolder(root);
    expect(classNames).toEqual(["a", "b"]);
    expect(files.map(({ split }) => split)).toEqual(["test", "train", "train", "val"]);
  });

  it("may be names of classes, if images are in them", () => {
    make("train/1.png", "car/1.png");
    expect(listFolder(root)).toMatchObject({ classNames: ["car", "train"], drawsSplits: false });
  });

  it.each([
    ["other folders beside them", ["train/a/1.png", "test/a/1.png", "more/1.png"], "found the splits test, train and more beside them"],
    [
      "a class that is tested and not learned",
      ["train/a/1.png", "train/b/1.png", "test/c/1.png"],
      "no images of the class c in the train split, only of a, b",
    ],
    ["a class that is spelt otherwise in the test", ["train/a/1.png", "train/b/1.png", "test/B/1.png"], "the classes b and B differ"],
    ["the same split twice", ["train/a/1.png", "Training/b/1.png"], "train and Training mean the same split"],
    [
      "images of a split that belong to no class",
      ["train/a/1.png", "train/b/1.png", "train/1.png"],
      "train: found 1 images (1.png, ...) beside",
    ],
    ["images that belong to no class", ["train/a/1.png", "train/b/1.png", "test/a/1.png", "3.png"], "found 1 images"],
  ])("with %s are refused", (_what, names, message) => {
    make(...names);
    expect(() => listFolder(root)).toThrow(message);
  });
});

describe("images whose class does not matter", () => {
  const names = () => listUnlabelled(root).files.map(({ name }) => name);

  it("may lie anywhere in the folder", () => {
    make("1.png", "a/2.png", "a/b/3.png", "train/4.png", "x.txt");
    expect(names()).toEqual(["1.png", "a/2.png", "a/b/3.png", "train/4.png"]);
    expect(listUnlabelled(root).ignored).toEqual({ ".txt": 1 });
  });

  it("are those of test/ where there is nothing but splits", () => {
    make("train/a/1.png", "test/a/2.png", "test/3.png");
    expect(names()).toEqual(["3.png", "a/2.png"]);
  });

  it("must be there", () => {
    make("a/x.txt");
    expect(names).toThrow(`${root}: no images; passed over: 1 .txt`);
  });
});

describe("isImageFolder", () => {
  it("tells a folder of folders or images from others", () => {
    expect(isImageFolder(root)).toBe(false);
    make("x.txt", ".hidden/");
    expect(isImageFolder(root)).toBe(false);
    expect(isImageFolder(join(root, "x.txt"))).toBe(false);
    expect(isImageFolder(join(root, "none"))).toBe(false);
    make("a/");
    expect(isImageFolder(root)).toBe(true);
    rmSync(join(root, "a"), { recursive: true });
    renameSync(join(root, "x.txt"), join(root, "x.png"));
    expect(isImageFolder(root)).toBe(true);
  });
});
