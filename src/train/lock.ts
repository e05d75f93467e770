import { existsSync, readFileSync, rmSync } from "node:fs";
import { hostname } from "node:os";
import { join, resolve } from "node:path";
import { z } from "zod";
import { UserError } from "../core/errors.ts";
import { writeFileAtomic } from "../core/files.ts";

// One training per folder: who is at work in it, in `<out>/training.lock`.

const holderSchema = z.strictObject({ pid: z.int(), host: z.string() });
export type LockHolder = z.infer<typeof holderSchema>;

/** Folders that this process itself holds. */
const ours = new Set<string>();

export const lockPath = (out: string): string => join(out, "training.lock");

/**
 * The process that trains in the folder. One of this machine that was killed holds nothing any more, whoever has its number now, as the first process of a container
 * always has; of another machine we cannot know.
 */
export function lockHolder(out: string): LockHolder | undefined {
  if (!existsSync(lockPath(out))) return undefined;
  const holder = readHolder(lockPath(out));
  if (!holder || holder.host !== hostname()) return holder;
  const isHeld = holder.pid === process.pid ? ours.has(resolve(out)) : isAlive(holder.pid);
  return isHeld ? holder : undefined;
}

/** Takes the folder; the result gives it back. Errors: UserError when another process trains in it. */
export function lockFolder(out: string): () => void {
  const holder = lockHolder(out);
  if (holder) {
    throw new UserError(
      `${out}: process ${holder.pid} on ${holder.host} is training in this folder; wait for it, stop it, or remove ${lockPath(out)} if it is gone`,
    );
  }
  const own: LockHolder = { pid: process.pid, host: hostname() };
  writeFileAtomic(lockPath(out), `${JSON.stringify(own)}\n`);
  ours.add(resolve(out));
  return () => {
    rmSync(lockPath(out), { force: true });
    ours.delete(resolve(out));
  };
}

function readHolder(path: string): LockHolder | undefined {
  try {
    return holderSchema.safeParse(JSON.parse(readFileSync(path, "utf8"))).data;
  } catch {
    // Cut off by a kill, or just removed: nobody's.
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Not ours to signal is alive all the same.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
