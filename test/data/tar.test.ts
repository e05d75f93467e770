import { execFileSync } from "node:child_process";
import { createWriteStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip, gunzipSync, gzipSync } from "node:zlib";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { UserError } from "../../src/core/errors.ts";
import { readTarGz } from "../../src/data/tar.ts";
import { type ArchiveEntry, writeArchive } from "../support/archive.ts";

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sdim-tar-"));
  path = join(folder, "a.tar.gz");
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

const one = Buffer.from("first");
const two = Buffer.alloc(100_000, 7);

describe("readTarGz", () => {
  it("gives what was asked for, from whatever folder, and passes over the rest", async () => {
    await writeArchive(path, [
      { name: "batches/", type: "directory" },
      { name: "batches/one.bin", content: one },
      { name: "batches/readme.html", content: Buffer.alloc(70_000, 1) },
      { name: "two.bin", content: two },
      { name: `batches/${"long".repeat(40)}.bin`, content: one },
    ]);
    const found = await readTarGz(path, ["one.bin", "two.bin", "three.bin"]);
    expect([...found]).toEqual([
      ["one.bin", one],
      ["two.bin", two],
    ]);
  });

  it.each<[string, ArchiveEntry[], string]>([
    [
      "a link",
      [{ name: "one.bin", type: "symlink", linkname: "/etc/passwd" }],
      'the entry "one.bin" is a symlink: expected files and folders',
    ],
    ["a hard link", [{ name: "one.bin", type: "link", linkname: "two.bin" }], 'the entry "one.bin" is a link'],
    ["a device", [{ name: "null", type: "character-device" }], 'the entry "null" is a character-device'],
    ["a path upwards", [{ name: "a/../../one.bin", content: one }], 'the entry "a/../../one.bin" leads out of the archive'],
    ["a path upwards, the other way", [{ name: "a\\..\\one.bin", content: one }], "leads out of the archive"],
    ["a path from the root", [{ name: "/tmp/one.bin", content: one }], 'the entry "/tmp/one.bin" leads out of the archive'],
    ["a path from a drive", [{ name: "C:one.bin", content: one }], "leads out of the archive"],
    [
      "the same entry twice",
      [
        { name: "x", content: one },
        { name: "x", content: one },
      ],
      'the entry "x" is there twice',
    ],
    [
      "a wanted file twice",
      [
        { name: "one.bin", content: one },
        { name: "a/one.bin", content: one },
      ],
      "one.bin is there twice",
    ],
    ["far too many entries", Array.from({ length: 1001 }, (_, i) => ({ name: `f${i}`, content: one })), "it has more than 1000 entries"],
  ])("refuses %s", async (_what, entries, message) => {
    await writeArchive(path, entries);
    await expect(readTarGz(path, ["one.bin"])).rejects.toThrow(UserError);
    await expect(readTarGz(path, ["one.bin"])).rejects.toThrow(message);
  });

  it("refuses an entry that announces too much, before reading it", async () => {
    await writeArchive(path, [{ name: "one.bin", content: one }]);
    const tar = gunzipSync(readFileSync(path));
    // The size field is octal; the checksum is the sum of the header's bytes, its own field as spaces.
    tar.write("77777777777", 124, "latin1");
    tar.fill(" ", 148, 156);
    tar.write(
      `${tar
        .subarray(0, 512)
        .reduce((a, b) => a + b, 0)
        .toString(8)
        .padStart(6, "0")}\0 `,
      148,
      "latin1",
    );
    writeFileSync(path, gzipSync(tar));
    await expect(readTarGz(path, ["one.bin"])).rejects.toThrow('the entry "one.bin" announces 8589934591 bytes');
  });

  it("stops an archive that unpacks to far more, without keeping it", async () => {
    async function* zeros() {
      for (let i = 0; i < 280; i++) yield Buffer.alloc(1e6);
    }
    await pipeline(Readable.from(zeros()), createGzip({ level: 1 }), createWriteStream(path));
    const before = process.resourceUsage().maxRSS;
    await expect(readTarGz(path, ["one.bin"])).rejects.toThrow("unpacks to more than 268435456 bytes");
    expect(process.resourceUsage().maxRSS - before).toBeLessThan(80 * 1024);
  });

  it.each([
    ["no gzip", Buffer.from("something else")],
    ["an empty file", Buffer.alloc(0)],
    ["gzip of something else", gzipSync(Buffer.alloc(2000, 65))],
  ])("refuses %s", async (_what, bytes) => {
    writeFileSync(path, bytes);
    await expect(readTarGz(path, ["one.bin"])).rejects.toThrow(UserError);
  });

  it("says so when it is cut short, not there, or no file", async () => {
    await writeArchive(path, [{ name: "two.bin", content: Buffer.from(Array.from({ length: 50_000 }, (_, i) => (i * i) % 251)) }]);
    writeFileSync(path, readFileSync(path).subarray(0, 300));
    await expect(readTarGz(path, ["two.bin"])).rejects.toThrow(`${path}: cannot be read as a gzipped tar archive: unexpected end of file`);
    await expect(readTarGz(join(folder, "none"), ["two.bin"])).rejects.toThrow("there is no such file");
    const pipe = join(folder, "pipe");
    execFileSync("mkfifo", [pipe]);
    await expect(readTarGz(pipe, ["two.bin"])).rejects.toThrow(
      new UserError(`${pipe}: cannot be read as a gzipped tar archive: it is a device or a pipe, not a file`),
    );
  });

  it("answers any archive with the files or a UserError", async () => {
    await writeArchive(path, [
      { name: "d/one.bin", content: one },
      { name: "n".repeat(120), content: one },
      { name: "two.bin", content: two.subarray(0, 3000) },
    ]);
    const packed = readFileSync(path);
    const plain = gunzipSync(packed);
    const edits = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 3 });
    await fc.assert(
      fc.asyncProperty(fc.boolean(), edits, fc.option(fc.nat(plain.length)), async (inside, changes, cut) => {
        const bytes = Buffer.from(inside ? plain : packed).subarray(0, cut ?? plain.length);
        if (bytes.length > 0) for (const [at, byte] of changes) bytes[at % bytes.length] = byte;
        writeFileSync(path, inside ? gzipSync(bytes, { level: 1 }) : bytes);
        try {
          for (const [name, content] of await readTarGz(path, ["one.bin", "two.bin"])) {
            expect(["one.bin", "two.bin"]).toContain(name);
            expect(content.length).toBeLessThanOrEqual(plain.length);
          }
        } catch (error) {
          expect(error).toBeInstanceOf(UserError);
        }
      }),
      { seed: 1, numRuns: 400 },
    );
  });
});
