import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { UserError } from "../../src/core/errors.ts";
import { listCsv, parseLabels } from "../../src/data/csv.ts";
import { removeFolders, temporaryFolder } from "../support/folders.ts";

afterAll(removeFolders);
const folder = temporaryFolder();

const write = (text: string): string => {
  const path = join(folder, "labels.csv");
  writeFileSync(path, text);
  return path;
};

describe("parseLabels", () => {
  it("reads the columns by their names, in any order and case, and passes over others", () => {
    const rows = parseLabels("\ufeffid, Label ,FILE,split\n1,cat,a.png,train\n\n2,dog,b.png,test\n", "f");
    expect(rows).toEqual([
      { line: 2, file: "a.png", label: "cat", split: "train" },
      { line: 4, file: "b.png", label: "dog", split: "test" },
    ]);
  });

  it("reads lines that end as Windows ends them", () => {
    expect(parseLabels("file,label\r\na.png,cat\r\nb.png,dog\r\n", "f").map(({ label, line }) => [label, line])).toEqual([
      ["cat", 2],
      ["dog", 3],
    ]);
  });

  it("reads quoted fields with commas, quotes and line breaks", () => {
    const [row] = parseLabels('file,label\n"a, ""b"".png","two\nlines"\n', "f");
    expect(row).toEqual({ line: 3, file: 'a, "b".png', label: "two\nlines" });
  });

  it.each([
    ["no header", "", 'f: found the columns none. Expected a header with the columns "file" and "label"'],
    ["no label column", "file,class\na,b\n", "f: found the columns file, class. Expected"],
    ["a column twice", "file,label,file\na,b,c\n", 'f: two columns are called "file"'],
    ["an empty file", "file,label\n,b\n", 'f, line 2: "file" is empty'],
    ["an empty label", "file,label\na,b\nc, \n", 'f, line 3: "label" is empty'],
    ["an unknown split", "file,label,split\na,b,tset\n", 'split in f, line 2: "tset": did you mean "test"?'],
    ["a row that is too short", "file,label\na\n", "f: cannot be read as CSV: Invalid Record Length"],
    ["a quote that does not end", 'file,label\n"a,b\n', "f: cannot be read as CSV: Quote Not Closed"],
  ])("refuses %s", (_what, text, message) => {
    expect(() => parseLabels(text, "f")).toThrow(UserError);
    expect(() => parseLabels(text, "f")).toThrow(message);
  });

  it.each([";", "\t"])("reads columns with %j between them, as other languages and programs write them", (between) => {
    const text = [
      ["file", "label", "split"],
      ['"a,1.png"', '"cat"', "train"],
      ["b.png", "dog", "test"],
    ].map((row) => row.join(between));
    expect(parseLabels(text.join("\r\n"), "f").map(({ file, label, split }) => [file, label, split])).toEqual([
      ["a,1.png", "cat", "train"],
      ["b.png", "dog", "test"],
    ]);
  });

  it("calls splits what folders of splits are called", () => {
    const rows = parseLabels("file,label,split\na,b,Training\nc,d,VALID\ne,f,Test\n", "f");
    expect(rows.map(({ split }) => split)).toEqual(["train", "val", "test"]);
  });

  it("gives back whatever was written with quotes", () => {
    const field = fc
      .string({ unit: "grapheme", minLength: 1 })
      .map((text) => text.trim().normalize("NFC"))
      .filter((text) => text !== "");
    const quoted = (text: string) => `"${text.replaceAll('"', '""')}"`;
    fc.assert(
      fc.property(fc.array(fc.tuple(field, field), { minLength: 1 }), (pairs) => {
        const text = ["file,label", ...pairs.map((pair) => pair.map(quoted).join(","))].join("\n");
        expect(parseLabels(text, "f").map(({ file, label }) => [file, label])).toEqual(pairs);
      }),
    );
  });

  it("parses or refuses whatever it is given", () => {
    const part = fc.constantFrom("file", "label", "split", ",", "\n", '"', "\r", "\ufeff", "\0", "a", " ", ";");
    fc.assert(
      fc.property(fc.array(part, { maxLength: 40 }), (parts) => {
        try {
          for (const { file, label } of parseLabels(`file,label\n${parts.join("")}`, "f"))
            expect(file.length * label.length).toBeGreaterThan(0);
        } catch (error) {
          expect(error).toBeInstanceOf(UserError);
        }
      }),
    );
  });
});

describe("listCsv", () => {
  it("takes relative paths from the CSV's folder, and absolute ones as they are", () => {
    const { classNames, files, drawsSplits } = listCsv(write("file,label\nsub/a.png,dog\n./b.png,cat\n/elsewhere/c.png,dog\n"));
    expect(classNames).toEqual(["cat", "dog"]);
    expect(drawsSplits).toBe(false);
    expect(files).toEqual([
      { path: join(folder, "sub/a.png"), name: "sub/a.png", label: 1 },
      { path: join(folder, "b.png"), name: "b.png", label: 0 },
      { path: "/elsewhere/c.png", name: "/elsewhere/c.png", label: 1 },
    ]);
  });

  it("takes the paths of Windows, and a backslash in a name where there is such a file", () => {
    const own = temporaryFolder();
    writeFileSync(join(own, "c\\d.png"), "");
    writeFileSync(join(own, "labels.csv"), "file,label\nsub\\a.png,dog\nc\\d.png,cat\n");
    expect(listCsv(join(own, "labels.csv")).files.map(({ name }) => name)).toEqual(["sub/a.png", "c\\d.png"]);
    expect(() => listCsv(write("file,label\n..\\secret.png,cat\nb.png,dog\n"))).toThrow("../secret.png leads out of");
  });

  it("takes its splits from the column", () => {
    const { files, drawsSplits } = listCsv(write("file,label,split\na.png,dog,train\nb.png,cat,val\nc.png,cat,train\n"));
    expect(drawsSplits).toBe(true);
    expect(files.map(({ split }) => split)).toEqual(["train", "val", "train"]);
  });

  it("without labels is its test split, or all of it", () => {
    expect(listCsv(write("file\na.png\nb.png\n"), false).files.map(({ name }) => name)).toEqual(["a.png", "b.png"]);
    expect(listCsv(write("file,split\na.png,train\nb.png,test\n"), false).files.map(({ name }) => name)).toEqual(["b.png"]);
  });

  it.each([
    ["a path that leaves the folder", "../secret.png", ", line 3: ../secret.png leads out of"],
    ["one that leaves it on a detour", "sub/../../secret.png", ", line 3: sub/../../secret.png leads out of"],
    ["the folder itself", "sub/..", ", line 3: sub/.. leads out of"],
    ["a zero byte", "a\0.png", ", line 3: a path with a zero byte"],
    ["a file named twice", "./x/../a.png", ", line 3: ./x/../a.png was named in line 2 already"],
  ])("refuses %s", (_what, file, message) => {
    const path = write(`file,label\na.png,cat\n${file},dog\n`);
    expect(() => listCsv(path)).toThrow(UserError);
    expect(() => listCsv(path)).toThrow(`${path}${message}`);
  });

  it.each([
    ["one class", "file,label\na.png,cat\nb.png,cat\n", "expected at least two classes, found cat"],
    ["classes that differ in case only", "file,label\na.png,cat\nb.png,Cat\n", "differ in upper and lower case only"],
    ["a header alone", "file,label\n", "no images"],
    [
      "a class that is tested and not learned",
      "file,label,split\na.png,cat,train\nb.png,dog,train\nc.png,owl,test\n",
      "no images of the class owl in the train split",
    ],
  ])("refuses %s", (_what, text, message) => {
    expect(() => listCsv(write(text))).toThrow(message);
  });

  it("refuses labels that are not UTF-8, which would run into one, and reads UTF-16", () => {
    const text = "file,label\na.png,caf\u00e9\nb.png,caf\u00e8\n";
    const path = join(folder, "encoded.csv");
    writeFileSync(path, Buffer.from(text, "latin1"));
    expect(() => listCsv(path)).toThrow(`${path}: cannot be read as CSV: it is not UTF-8`);
    writeFileSync(path, Buffer.from(`\ufeff${text}`, "utf16le"));
    expect(listCsv(path).classNames).toEqual(["caf\u00e9", "caf\u00e8"]);
    writeFileSync(path, `\ufeff${text}`);
    expect(listCsv(path).classNames).toEqual(["caf\u00e9", "caf\u00e8"]);
  });

  it("refuses a CSV that is not there, or a folder of that name", () => {
    expect(() => listCsv(join(folder, "none.csv"))).toThrow(`cannot read ${join(folder, "none.csv")}: there is no such file`);
    mkdirSync(join(folder, "folder.csv"), { recursive: true });
    expect(() => listCsv(join(folder, "folder.csv"))).toThrow(
      new UserError(`cannot read ${join(folder, "folder.csv")}: it is a folder, not a file`),
    );
  });
});
