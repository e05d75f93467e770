import { mkdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { dirname, resolve } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { messageOf, UserError } from "./errors.ts";
import { makeFolder } from "./files.ts";

// Files that say which process has something for itself.

const holderSchema = z.strictObject({
  pid: z.int(),
  host: z.string(),
  /** When the process began, as its system counts, where that says: another process may have its number by now. */
  began: z.string().optional(),
});
export type LockHolder = z.infer<typeof holderSchema>;

/** Locks that this process itself holds. */
const ours = new Set<string>();

/** The process that holds the lock at `path`. One of this machine that is gone holds nothing any more; of another machine we cannot know. */
export function holderOf(path: string): LockHolder | undefined {
  const holder = readHolder(path);
  return holder && isHeld(holder, path) ? holder : undefined;
}

/**
 * Takes the lock at `path`, whose folder is made if it is not there; the result gives it back. `about`, `doing`: what is locked, and what whoever has it
 * does, as an error is to say. Errors: UserError when another process has it, or nothing can be written there.
 */
export function takeLock(path: string, about: string, doing: string): () => void {
  const began = beginOf(process.pid);
  const own: LockHolder = { pid: process.pid, host: hostname(), ...(began === undefined ? {} : { began }) };
  try {
    makeFolder(dirname(path));
    alone(`${path}.gate`, () => {
      const holder = holderOf(path);
      if (holder) throw takenBy(holder, path, about, doing);
      writeFileSync(path, `${JSON.stringify(own)}\n`);
    });
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`cannot write ${path}: ${messageOf(error)}`, { cause: error });
  }
  ours.add(resolve(path));
  return () => {
    ours.delete(resolve(path));
    if (isDeepStrictEqual(readHolder(path), own)) rmSync(path, { force: true });
  };
}

const takenBy = ({ pid, host }: LockHolder, path: string, about: string, doing: string): UserError =>
  new UserError(`${about}: process ${pid} on ${host} is ${doing}; wait for it, stop it, or remove ${path} if it is gone`);

/** Milliseconds between two looks at a gate, and looks: what is done behind one takes a few of them. */
const [pause, looks] = [10, 500];

/**
 * Does it while no other process does: two that looked at a lock which a third has left would both take its place. The gate is a folder, which only one can
 * make. Errors: UserError when it stays shut, because a process was killed behind it.
 */
function alone(gate: string, act: () => void): void {
  for (let look = 0; !madeFolder(gate); look++) {
    if (look === looks) throw new UserError(`${gate}: another process is about to take the lock; if there is none, remove ${gate}`);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pause);
  }
  try {
    act();
  } finally {
    rmdirSync(gate);
  }
}

/** Whether it was us who made it. */
function madeFolder(path: string): boolean {
  try {
    mkdirSync(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

function readHolder(path: string): LockHolder | undefined {
  try {
    return holderSchema.safeParse(JSON.parse(readFileSync(path, "utf8"))).data;
  } catch {
    // Not there, or cut off by a kill: nobody's.
    return undefined;
  }
}

function isHeld({ pid, host, began }: LockHolder, path: string): boolean {
  if (host !== hostname()) return true;
  if (pid === process.pid) return ours.has(resolve(path));
  try {
    process.kill(pid, 0);
  } catch (error) {
    // Not ours to signal is running all the same.
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return false;
  }
  return began === undefined || began === beginOf(pid);
}

/** States of a process that has ended, which its parent has not asked about yet: signals still reach it. */
const ended = ["Z", "X"];

/** The boot and the tick of it at which the process began, from Linux's /proc; undefined where there is none such, and of one that has ended. */
function beginOf(pid: number): string | undefined {
  try {
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // Those after the name, which may hold spaces and brackets, begin with the third: the state. The tick is the 22nd.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return ended.includes(fields[0]!) ? undefined : `${boot} ${fields[19]}`;
  } catch {
    return undefined;
  }
}
