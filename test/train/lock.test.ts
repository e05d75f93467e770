import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Writable } from "node:stream";
import { describe, expect, it } from "vitest";
import { lockFolder, lockHolder, lockPath } from "../../src/train/lock.ts";
import { temporaryFolder } from "../support/digits.ts";

const leave = (out: string, holder: object) => writeFileSync(lockPath(out), JSON.stringify({ host: hostname(), ...holder }));

describe("the lock of a run's folder", () => {
  it("that an earlier process of this one's number left holds nothing; this one's own does", () => {
    const out = temporaryFolder();
    leave(out, { pid: process.pid });
    expect(lockHolder(out)).toBeUndefined();
    const unlock = lockFolder(out);
    expect(lockHolder(out)).toMatchObject({ pid: process.pid, host: hostname() });
    expect(() => lockFolder(join(out, "."))).toThrow(`process ${process.pid}`);
    unlock();
    expect(lockHolder(out)).toBeUndefined();
    expect(readdirSync(out)).toEqual([]);
  });

  it.runIf(existsSync("/proc/self/stat"))("that another process left whose number has a new owner holds nothing", () => {
    const out = temporaryFolder();
    leave(out, { pid: process.ppid, began: "another-boot 1" });
    expect(lockHolder(out)).toBeUndefined();
    lockFolder(out)();
    leave(out, { pid: process.ppid });
    expect(() => lockFolder(out)).toThrow(`process ${process.ppid} on ${hostname()} is training in this folder`);
  });

  it.runIf(existsSync("/proc/self/stat"))("of a killed process that nobody has asked about yet holds nothing", async () => {
    const out = temporaryFolder();
    const child = ["--import", "tsx", "test/support/lock-child.ts", out].map((one) => `'${one}'`).join(" ");
    // The shell turns into one that asks about no child.
    const parent = spawn("sh", ["-c", `'${process.execPath}' ${child} <&3 & exec sleep 60`], {
      stdio: ["ignore", "pipe", "inherit", "pipe"],
    });
    const lines = createInterface({ input: parent.stdout! })[Symbol.asyncIterator]();
    expect((await lines.next()).value).toBe("ready");
    (parent.stdio[3] as Writable).write("go\n");
    expect((await lines.next()).value).toBe("held");
    const { pid } = lockHolder(out)!;
    process.kill(pid, "SIGKILL");
    const state = () => readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]![0];
    await expect.poll(state).toBe("Z");
    expect(lockHolder(out)).toBeUndefined();
    lockFolder(out)();
    parent.kill();
    await once(parent, "exit");
  });

  it("of another machine is left alone, and so is one that has changed hands", () => {
    const out = temporaryFolder();
    leave(out, { pid: 1, host: "elsewhere" });
    expect(() => lockFolder(out)).toThrow("process 1 on elsewhere is training in this folder");
    const mine = temporaryFolder();
    const unlock = lockFolder(mine);
    leave(mine, { pid: 1, host: "elsewhere" });
    unlock();
    expect(JSON.parse(readFileSync(lockPath(mine), "utf8"))).toEqual({ pid: 1, host: "elsewhere" });
  });

  it("is not taken while another process looks at it, and says so where that one was killed meanwhile", () => {
    const out = temporaryFolder();
    const gate = `${lockPath(out)}.gate`;
    mkdirSync(gate);
    expect(() => lockFolder(out)).toThrow(`${gate}: another process is about to take the lock; if there is none, remove ${gate}`);
    expect(readdirSync(out)).toEqual(["training.lock.gate"]);
    rmdirSync(gate);
    lockFolder(out)();
    expect(readdirSync(out)).toEqual([]);
  }, 20_000);

  it("is taken by one of several processes that want it at once, also where one that is gone left its own", async () => {
    const out = temporaryFolder();
    leave(out, { pid: 2 ** 22 + 1 });
    const children = Array.from({ length: 4 }, () =>
      spawn(process.execPath, ["--import", "tsx", "test/support/lock-child.ts", out], { stdio: ["pipe", "pipe", "inherit"] }),
    );
    const lines = children.map(({ stdout }) => createInterface({ input: stdout })[Symbol.asyncIterator]());
    for (const line of lines) expect((await line.next()).value).toBe("ready");
    for (const { stdin } of children) stdin.write("go\n");
    const said: string[] = [];
    for (const line of lines) said.push((await line.next()).value ?? "");
    expect(said.filter((line) => line === "held")).toHaveLength(1);
    for (const line of said.filter((one) => one !== "held")) expect(line).toContain("is training in this folder");
    await Promise.all(
      children.map((child) => {
        child.stdin.end();
        return once(child, "exit");
      }),
    );
    expect(readdirSync(out)).toEqual([]);
  });
});
