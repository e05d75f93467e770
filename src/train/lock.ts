import { randomUUID } from "node:crypto";
import { existsSync, readdirSync, readFileSync, renameSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join, resolve } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { messageOf, UserError } from "../core/errors.ts";
import { makeFolder } from "../core/files.ts";

// One training per folder: who is at work in it, in `<out>/training.lock`.

const holderSchema = z.strictObject({
  pid: z.int(),
  host: z.string(),
  /** When the process began, as its system counts, where that says: another process may have its number by now. */
  began: z.string().optional(),
});
export type LockHolder = z.infer<typeof holderSchema>;

/** Folders that this process itself holds. */
const ours = new Set<string>();

export const lockPath = (out: string): string => join(out, "training.lock");

/** The process that trains in the folder. One of this machine that is gone holds nothing any more; of another machine we cannot know. */
export function lockHolder(out: string): LockHolder | undefined {
  const holder = readHolder(lockPath(out));
  return holder && isHeld(holder, out) ? holder : undefined;
}

/** Takes the folder; the result gives it back. Errors: UserError when another process trains in it, or nothing can be written there. */
export function lockFolder(out: string): () => void {
  const [path, folder] = [lockPath(out), resolve(out)];
  const began = beginOf(process.pid);
  const isNew = !existsSync(out);
  const own: LockHolder = { pid: process.pid, host: hostname(), ...(began === undefined ? {} : { began }) };
  try {
    makeFolder(out);
    if (!lockHolder(out)) clearLeftBehind(path, out);
    writeFileSync(path, `${JSON.stringify(own)}\n`, { flag: "wx" });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") throw takenBy(readHolder(path), out);
    throw new UserError(`cannot write ${path}: ${messageOf(error)}`, { cause: error });
  }
  ours.add(folder);
  return () => {
    ours.delete(folder);
    if (isDeepStrictEqual(readHolder(path), own)) rmSync(path, { force: true });
    // Nothing came of it.
    if (isNew && existsSync(out) && readdirSync(out).length === 0) rmdirSync(out);
  };
}

/** Moved away before it is looked at again: where two clear at once, the slower may have hold of the quicker's new lock, and gives it back. */
function clearLeftBehind(path: string, out: string): void {
  const aside = `${path}.${randomUUID()}`;
  try {
    renameSync(path, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  const holder = readHolder(aside);
  if (holder && isHeld(holder, out)) renameSync(aside, path);
  else rmSync(aside, { force: true });
}

const takenBy = (holder: LockHolder | undefined, out: string): UserError =>
  new UserError(
    `${out}: ${holder ? `process ${holder.pid} on ${holder.host}` : "another process"} is training in this folder; wait for it, stop it, or remove ${lockPath(out)} if it is gone`,
  );

function readHolder(path: string): LockHolder | undefined {
  try {
    return holderSchema.safeParse(JSON.parse(readFileSync(path, "utf8"))).data;
  } catch {
    // Not there, or cut off by a kill: nobody's.
    return undefined;
  }
}

function isHeld({ pid, host, began }: LockHolder, out: string): boolean {
  if (host !== hostname()) return true;
  if (pid === process.pid) return ours.has(resolve(out));
  try {
    process.kill(pid, 0);
  } catch (error) {
    // Not ours to signal is running all the same.
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return false;
  }
  return began === undefined || began === beginOf(pid);
}

/** The boot and the tick of it at which the process began, from Linux's /proc; undefined where there is none such. */
function beginOf(pid: number): string | undefined {
  try {
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // Field 22; those after the name, which may hold spaces and brackets, begin with the third.
    return `${boot} ${stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]}`;
  } catch {
    return undefined;
  }
}
