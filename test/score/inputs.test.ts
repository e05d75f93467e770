import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { inputFiles, linesOf } from "../../src/score/inputs.ts";
import { isInShard, parseShard } from "../../src/score/shard.ts";
import { removeFolders, temporaryFolder } from "../support/folders.ts";

afterAll(removeFolders);

const never = new AbortController().signal;

const pathsOf = async (source: string, ignored: string[] = []): Promise<string[]> => {
  const paths: string[] = [];
  for await (const { path } of inputFiles(source, (kind) => ignored.push(kind), never)) paths.push(path);
  return paths;
};

const touch = (folder: string, ...names: readonly string[]): void => {
  for (const name of names) {
    mkdirSync(join(folder, name, ".."), { recursive: true });
    writeFileSync(join(folder, name), "");
  }
};

describe("a folder", () => {
  it("gives the images of all levels in the order of their names, and counts the rest", async () => {
    const folder = temporaryFolder();
    touch(folder, "b/2.PNG", "b/10.jpg", "a.webp", "c.txt", ".hidden.png", "README", "z/y/x.bmp");
    symlinkSync(join(folder, "nowhere"), join(folder, "dangling.png"));
    const ignored: string[] = [];
    const expected = ["a.webp", "b/10.jpg", "b/2.PNG", "dangling.png", "z/y/x.bmp"].map((name) => join(folder, name));
    expect(await pathsOf(folder, ignored)).toEqual(expected);
    expect(ignored.sort()).toEqual([".txt", "hidden", "no ending"]);
  });

  it("with links that lead to one folder twice is refused, which in each of many folders would be walked 2^depth times", async () => {
    const folder = temporaryFolder();
    for (let i = 0; i < 40; i++) {
      mkdirSync(join(folder, `${i}`));
      for (const name of ["a", "b"]) symlinkSync(join(folder, `${i + 1}`), join(folder, `${i}`, name));
    }
    mkdirSync(join(folder, "40"));
    await expect(pathsOf(join(folder, "0"))).rejects.toThrow(/the same folder as .*: its images would be scored twice; remove the link/);
  });

  it("that holds a link to itself is refused instead of walked for ever", async () => {
    const folder = temporaryFolder();
    symlinkSync(folder, join(folder, "loop"));
    await expect(pathsOf(folder)).rejects.toThrow("a link to a folder that holds it");
  });
});

describe("a list", () => {
  it("gives its lines; empty ones, ends of lines and a byte order mark are no part of them", async () => {
    const folder = temporaryFolder();
    const list = join(folder, "files.txt");
    writeFileSync(list, "\ufeffa b.png\r\n\n\u00e9.jpg\n  \n/c.png");
    expect(await pathsOf(list)).toEqual(["a b.png", "\u00e9.jpg", "/c.png"]);
  });

  it("comes from standard input as well", async () => {
    const paths: string[] = [];
    for await (const { path } of inputFiles("-", () => undefined, never, Readable.from([Buffer.from("a.png\nb"), Buffer.from(".png\n")])))
      paths.push(path);
    expect(paths).toEqual(["a.png", "b.png"]);
  });

  it("whose next line does not come ends when it is stopped", async () => {
    const [stdin, stop] = [new PassThrough(), new AbortController()];
    stdin.write("a.png\nb.p");
    const files = inputFiles("-", () => undefined, stop.signal, stdin);
    expect(await files.next()).toMatchObject({ value: { path: "a.png" } });
    const next = files.next();
    stop.abort();
    expect(await next).toEqual({ value: undefined, done: true });
    expect(stdin.destroyed).toBe(true);
  });

  it("without ends of lines is refused before it fills the memory", async () => {
    let given = 0;
    const endless = Readable.from(
      (function* () {
        while (given < 1e9) {
          given += 65_536;
          yield Buffer.alloc(65_536, 97);
        }
      })(),
    );
    const read = async () => {
      for await (const _ of linesOf(endless, "zeros")) throw new Error("no line was expected");
    };
    await expect(read()).rejects.toThrow("zeros, line 1: longer than 65536 characters");
    expect(given).toBeLessThan(10e6);
  });

  it("gives the same lines however the bytes are cut", async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: "grapheme" }), fc.array(fc.nat({ max: 40 })), async (text, cuts) => {
        const bytes = Buffer.from(text);
        const at = [0, ...cuts.map((cut) => Math.min(cut, bytes.length)).sort((a, b) => a - b), bytes.length];
        const pieces = at.slice(1).map((end, i) => bytes.subarray(at[i], end));
        const lines: string[] = [];
        for await (const line of linesOf(Readable.from(pieces), "text", { raw: true })) lines.push(line);
        expect(lines).toEqual(
          bytes
            .toString()
            .replace(/^\ufeff/, "")
            .split("\n"),
        );
      }),
    );
  });
});

describe("a CSV", () => {
  it("gives its column file, relative to its folder, whatever else it has", async () => {
    const folder = temporaryFolder();
    const csv = join(folder, "labels.csv");
    writeFileSync(csv, '\ufefflabel,File\ncat,"a, b.png"\ndog,sub/c.png\nx,/tmp/d.png\n');
    expect(await pathsOf(csv)).toEqual([join(folder, "a, b.png"), join(folder, "sub/c.png"), "/tmp/d.png"]);
  });

  it("may have semicolons for commas", async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "labels.csv"), 'label;file\ncat;"a;b.png"\n');
    expect(await pathsOf(join(folder, "labels.csv"))).toEqual([join(folder, "a;b.png")]);
  });

  it.each([
    ["path,label\na.png,1\n", 'found the columns path, label. Expected a header with one column "file"'],
    ["file,label\n../../etc/passwd,1\n", "line 2: ../../etc/passwd leads out of"],
    ["file,label\n ,1\n", 'line 2: "file" is empty'],
    ['file\n"a.png\n', "cannot be read as CSV"],
    [`file\n${"a".repeat(70_000)}\n`, "cannot be read as CSV"],
  ])("%j is refused", async (text, message) => {
    const csv = join(temporaryFolder(), "labels.csv");
    writeFileSync(csv, text.slice(0, 80_000));
    await expect(pathsOf(csv)).rejects.toThrow(message);
  });
});

it("nothing there, and a picture, are refused", () => {
  expect(() => inputFiles("no-such-thing", () => undefined, never)).toThrow("there is no such thing");
  expect(() => inputFiles("samples/images/digit.png", () => undefined, never)).toThrow("sdim predict takes these");
});

describe("shards", () => {
  it("every file is in exactly one, and they are about as large", () => {
    const names = Array.from({ length: 2000 }, (_, i) => `folder/${i}.png`);
    const counts = [1, 2, 3, 4].map((index) => names.filter((name) => isInShard(name, { index, count: 4 })).length);
    expect(names.every((name) => [1, 2, 3, 4].filter((index) => isInShard(name, { index, count: 4 })).length === 1)).toBe(true);
    expect(Math.min(...counts)).toBeGreaterThan(400);
    // The same on every machine and in every version: a run may be spread over both.
    expect(names.slice(0, 12).map((name) => [1, 2, 3].find((index) => isInShard(name, { index, count: 3 })))).toMatchInlineSnapshot(`
      [
        1,
        1,
        3,
        3,
        1,
        3,
        1,
        3,
        1,
        2,
        3,
        1,
      ]
    `);
  });

  it.each(["0/4", "5/4", "1", "1/0", "-1/2", "1/2/3", "a/b", ""])("%j is refused", (text) => {
    expect(() => parseShard(text)).toThrow("expected i/n");
  });
});
