import { execFileSync, spawnSync } from "node:child_process";
import * as fs from "node:fs";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { UserError } from "../../src/core/errors.ts";
import { readFileAtMost, replaceAtomic, requireSpared, requireWritable, writeFileAtomic } from "../../src/core/files.ts";

vi.mock("node:fs", async (importOriginal) => {
  const original = await importOriginal<typeof fs>();
  return { ...original, writeSync: vi.fn(original.writeSync) };
});

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sdim-files-"));
});
afterEach(() => {
  vi.mocked(fs.writeSync).mockReset();
  rmSync(folder, { recursive: true });
});

/** Runs as a user to whom permissions apply: the tests may run as root, to whom they do not. */
function asOrdinaryUser(action: () => void): void {
  const isRoot = process.geteuid?.() === 0;
  if (isRoot) process.seteuid?.(65534);
  try {
    action();
  } finally {
    if (isRoot) process.seteuid?.(0);
  }
}

const hasMkfifo = spawnSync("mkfifo", ["--version"]).error === undefined;

describe("readFileAtMost", () => {
  it("reads as many bytes as it may, and refuses one more", () => {
    const path = join(folder, "labels.csv");
    writeFileSync(path, "file");
    expect(readFileAtMost(path, 4).toString()).toBe("file");
    expect(() => readFileAtMost(path, 3)).toThrow(new UserError(`cannot read ${path}: 4 bytes, more than the 3 that are read at most`));
  });

  it("refuses what is not there, and a folder", () => {
    const path = join(folder, "none");
    expect(() => readFileAtMost(path, 4)).toThrow(UserError);
    expect(() => readFileAtMost(path, 4)).toThrow(`cannot read ${path}: there is no such file`);
    expect(() => readFileAtMost(folder, 1e6)).toThrow(new UserError(`cannot read ${folder}: it is a folder, not a file`));
  });

  it.runIf(hasMkfifo)("does not wait for a pipe that nobody writes to", () => {
    const path = join(folder, "labels.csv");
    execFileSync("mkfifo", [path]);
    expect(() => readFileAtMost(path, 4)).toThrow(new UserError(`cannot read ${path}: it is a device or a pipe, not a file`));
  });
});

describe("requireSpared", () => {
  it("refuses to replace what is read, by whatever name, and nothing else", () => {
    const [read, link, other] = ["read", "link", "other"].map((name) => join(folder, name)) as [string, string, string];
    for (const path of [read, other]) writeFileSync(path, "");
    symlinkSync(read, link);
    for (const out of [read, join(folder, "x", "..", "read"), link])
      expect(() => requireSpared("--out", out, ["elsewhere", read])).toThrow(`--out ${out}: would replace ${read}, which is read`);
    requireSpared("--out", other, [read, join(folder, "not-there")]);
    requireSpared("--out", join(folder, "new"), [read]);
  });
});

describe("writeFileAtomic", () => {
  it("keeps what it replaces where it is told to", () => {
    const [path, kept] = [join(folder, "new"), join(folder, "old")];
    writeFileAtomic(path, "1", { keepOldAt: kept });
    expect(readdirSync(folder)).toEqual(["new"]);
    writeFileAtomic(path, "2", { keepOldAt: kept });
    writeFileAtomic(path, "3", { keepOldAt: kept });
    expect([readFileSync(path, "utf8"), readFileSync(kept, "utf8"), readdirSync(folder).length]).toEqual(["3", "2", 2]);
    vi.mocked(fs.writeSync).mockImplementation(() => {
      throw new Error("ENOSPC: no space left on device");
    });
    expect(() => writeFileAtomic(path, "4", { keepOldAt: kept })).toThrow("no space left");
    expect([readFileSync(path, "utf8"), readFileSync(kept, "utf8"), readdirSync(folder).length]).toEqual(["3", "2", 2]);
  });

  it("writes text and bytes, makes missing folders, and leaves nothing else behind", () => {
    writeFileAtomic(join(folder, "runs", "a", "metrics.json"), '{"größe": 1}');
    writeFileAtomic(join(folder, "runs", "a", "weights"), new Uint8Array([0, 255, 7]).subarray(1));
    expect(readFileSync(join(folder, "runs", "a", "metrics.json"), "utf8")).toBe('{"größe": 1}');
    expect([...readFileSync(join(folder, "runs", "a", "weights"))]).toEqual([255, 7]);
    expect(readdirSync(join(folder, "runs", "a")).sort()).toEqual(["metrics.json", "weights"]);
  });

  it("follows a link, and leaves it one", () => {
    const [path, link] = [join(folder, "there", "file"), join(folder, "link")];
    writeFileAtomic(path, "1");
    symlinkSync(path, link);
    writeFileAtomic(link, "2");
    expect(readFileSync(path, "utf8")).toBe("2");
    expect(lstatSync(link).isSymbolicLink()).toBe(true);
    expect(readdirSync(folder).sort()).toEqual(["link", "there"]);
  });

  it("puts no file in the place of a folder or a device", async () => {
    const device = join(folder, "device");
    symlinkSync("/dev/null", device);
    for (const [path, what] of [
      [folder, "a folder"],
      [device, "a device or a pipe"],
    ] as const) {
      expect(() => writeFileAtomic(path, "1")).toThrow(`cannot write ${path}: it is ${what}; name a file`);
      expect(() => requireWritable(path)).toThrow(what);
      await expect(replaceAtomic(path, async () => {})).rejects.toThrow(what);
    }
    expect(statSync("/dev/null").isCharacterDevice()).toBe(true);
  });

  it("says before the work whether a file can be written, and writes none", () => {
    requireWritable(join(folder, "new", "picture.png"));
    expect(readdirSync(join(folder, "new"))).toEqual([]);
    writeFileAtomic(join(folder, "file"), "1");
    expect(() => requireWritable(join(folder, "file", "picture.png"))).toThrow(`cannot write ${join(folder, "file", "picture.png")}`);
  });

  it.runIf(existsSync("/proc/self"))("ends where the system will not make a folder", () => {
    expect(() => requireWritable("/proc/sdim/x.json")).toThrow("cannot write /proc/sdim/x.json: ENOENT");
  });

  it("replaces a longer file wholly", () => {
    const path = join(folder, "log.json");
    writeFileAtomic(path, "a longer content");
    writeFileAtomic(path, "short");
    expect(readFileSync(path, "utf8")).toBe("short");
  });

  it("goes on where the system writes only a part at a time", async () => {
    const { writeSync } = await vi.importActual<typeof fs>("node:fs");
    const oneByte = (file: number, bytes: NodeJS.ArrayBufferView, offset: number) => writeSync(file, bytes, offset, 1);
    vi.mocked(fs.writeSync).mockImplementation(oneByte as typeof fs.writeSync);
    writeFileAtomic(join(folder, "log.json"), "in parts");
    expect(readFileSync(join(folder, "log.json"), "utf8")).toBe("in parts");
    expect(fs.writeSync).toHaveBeenCalledTimes(8);
  });

  it("keeps the old file and removes the part when the disk is full", async () => {
    const path = join(folder, "model.onnx");
    writeFileAtomic(path, "old");
    const { writeSync } = await vi.importActual<typeof fs>("node:fs");
    let calls = 0;
    vi.mocked(fs.writeSync).mockImplementation(((file: number, bytes: NodeJS.ArrayBufferView, offset: number) => {
      if (calls++ > 0) throw new Error("ENOSPC: no space left on device, write");
      return writeSync(file, bytes, offset, 2);
    }) as typeof fs.writeSync);
    expect(() => writeFileAtomic(path, "new content")).toThrow(
      new UserError(`cannot write ${path}: ENOSPC: no space left on device, write`),
    );
    expect(calls).toBe(2);
    expect(readFileSync(path, "utf8")).toBe("old");
    expect(readdirSync(folder)).toEqual(["model.onnx"]);
  });

  it("keeps the old file in a folder that may not be written", () => {
    const path = join(folder, "model.onnx");
    writeFileSync(path, "old");
    chmodSync(folder, 0o555);
    asOrdinaryUser(() => {
      expect(() => writeFileAtomic(path, "new")).toThrow(UserError);
      expect(() => writeFileAtomic(path, "new")).toThrow(`cannot write ${path}: EACCES: permission denied`);
    });
    chmodSync(folder, 0o755);
    expect(readFileSync(path, "utf8")).toBe("old");
    expect(readdirSync(folder)).toEqual(["model.onnx"]);
  });

  it("refuses a path through a file", () => {
    writeFileSync(join(folder, "runs"), "a file");
    const path = join(folder, "runs", "metrics.json");
    expect(() => writeFileAtomic(path, "new")).toThrow(UserError);
    expect(() => writeFileAtomic(path, "new")).toThrow(`cannot write ${path}: `);
    expect(readFileSync(join(folder, "runs"), "utf8")).toBe("a file");
  });

  it("refuses a path that is a folder, and leaves no part beside it", () => {
    const path = join(folder, "metrics");
    mkdirSync(path);
    expect(() => writeFileAtomic(path, "new")).toThrow(`cannot write ${path}: it is a folder`);
    expect(readdirSync(folder)).toEqual(["metrics"]);
  });
});
