import { existsSync, readdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { holderOf, type LockHolder, takeLock } from "../core/lock.ts";

// One training per folder: who is at work in it, in `<out>/training.lock`.

export const lockName = "training.lock";
export const lockPath = (out: string): string => join(out, lockName);

/** The process that trains in the folder, as `holderOf` says. */
export const lockHolder = (out: string): LockHolder | undefined => holderOf(lockPath(out));

/** Takes the folder; the result gives it back. Errors: UserError when another process trains in it, or nothing can be written there. */
export function lockFolder(out: string): () => void {
  const isNew = !existsSync(out);
  const unlock = takeLock(lockPath(out), out, "training in this folder");
  return () => {
    unlock();
    // Nothing came of it.
    if (isNew && existsSync(out) && readdirSync(out).length === 0) rmdirSync(out);
  };
}
