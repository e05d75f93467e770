import { existsSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { lockFolder, lockHolder, lockPath } from "../../src/train/lock.ts";
import { temporaryFolder } from "../support/digits.ts";

describe("the lock of a run's folder", () => {
  it("that an earlier process of this one's number left holds nothing; this one's own does", () => {
    const out = temporaryFolder();
    const left = JSON.stringify({ pid: process.pid, host: hostname() });
    writeFileSync(lockPath(out), left);
    expect(lockHolder(out)).toBeUndefined();
    const unlock = lockFolder(out);
    expect(lockHolder(out)).toEqual({ pid: process.pid, host: hostname() });
    expect(() => lockFolder(join(out, "."))).toThrow(`process ${process.pid}`);
    unlock();
    expect(lockHolder(out)).toBeUndefined();
    expect(existsSync(lockPath(out))).toBe(false);
  });
});
