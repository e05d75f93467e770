import { createHash, randomBytes } from "node:crypto";
import {
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { messageOf, UserError } from "./errors.ts";

export interface WriteOptions {
  /** Where the content that is replaced stays: at every moment one of the two files is whole. */
  readonly keepOldAt?: string;
}

/**
 * Writes a file so that a reader sees the old content or the new one, never a part: a temporary file beside it, fsync, rename. A link stays, and
 * what it points to is replaced. Errors: UserError with the path and the system's reason (no space, no permission), or for what is there and no
 * file; the temporary file is removed.
 */
export function writeFileAtomic(name: string, content: string | Uint8Array, { keepOldAt }: WriteOptions = {}): void {
  const path = destinationOf(name);
  const temporary = temporaryBeside(path);
  try {
    makeFolder(dirname(path));
    const file = openSync(temporary, "w");
    try {
      const bytes = typeof content === "string" ? Buffer.from(content) : content;
      for (let offset = 0; offset < bytes.length; ) offset += writeSync(file, bytes, offset);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    if (keepOldAt !== undefined && existsSync(path)) copyAtomic(path, keepOldAt);
    renameSync(temporary, path);
  } catch (error) {
    try {
      if (existsSync(temporary)) rmSync(temporary);
    } catch {
      // The first error is the one that helps.
    }
    throw new UserError(`cannot write ${path}: ${messageOf(error)}`, { cause: error });
  }
}

/**
 * The same for content that is written bit by bit: `write` fills the temporary file whose path it gets; then fsync and rename.
 * Errors: those of `write`, or a UserError with the path and the system's reason; the temporary file is removed.
 */
export async function replaceAtomic(name: string, write: (temporary: string) => Promise<void>): Promise<void> {
  const path = destinationOf(name);
  const temporary = temporaryBeside(path);
  try {
    makeFolder(dirname(path));
    await write(temporary);
    const file = openSync(temporary, "r+");
    try {
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error instanceof UserError ? error : new UserError(`cannot write ${path}: ${messageOf(error)}`, { cause: error });
  }
}

/** Errors: UserError with the path and the system's reason when no file can be written there. */
export function requireWritable(name: string): void {
  const path = destinationOf(name);
  const trial = temporaryBeside(path);
  try {
    makeFolder(dirname(path));
    closeSync(openSync(trial, "w"));
    rmSync(trial);
  } catch (error) {
    throw new UserError(`cannot write ${path}: ${messageOf(error)}`, { cause: error });
  }
}

/** Errors: UserError when something is there that `isForced` does not give up. */
export function requireNew(path: string, isForced = false): void {
  if (existsSync(path) && !isForced) throw new UserError(`${path}: is there already; --force replaces it`);
}

/** Errors: UserError when `out`, which the option names, is one of the files that are read: it would take that one's place. */
export function requireSpared(option: string, out: string, read: readonly string[]): void {
  const spared = read.find((path) => resolve(path) === resolve(out) || isSameFile(path, out));
  if (spared !== undefined) throw new UserError(`${option} ${out}: would replace ${spared}, which is read; name another file`);
}

function isSameFile(a: string, b: string): boolean {
  const [one, other] = [statIfPossible(a), statIfPossible(b)];
  return one !== undefined && other !== undefined && one.dev === other.dev && one.ino === other.ino;
}

/**
 * Makes a folder and those above it. Not by Node's `recursive`, which never ends where the system says of a folder in one that is there that it
 * cannot be found, as in /proc. Errors: the system's.
 */
export function makeFolder(path: string): void {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return;
  const above = dirname(path);
  if (above !== path) makeFolder(above);
  try {
    mkdirSync(path);
  } catch (error) {
    // Made by another process meanwhile, unless it is a file.
    if ((error as NodeJS.ErrnoException).code !== "EEXIST" || !statSync(path).isDirectory()) throw error;
  }
}

/** The file that a path leads to. Errors: UserError when it is there and something else: a rename would put a file in the place of a device. */
function destinationOf(path: string): string {
  let found: Stats | undefined;
  try {
    found = statSync(path, { throwIfNoEntry: false });
  } catch {
    // Writing says what is wrong on the way there.
  }
  if (!found) return path;
  if (found.isFile()) return realpathSync(path);
  throw new UserError(`cannot write ${path}: it is ${whatIs(found)}; name a file`);
}

/** What is there and no file. */
const whatIs = (found: Stats): string => (found.isDirectory() ? "a folder" : found.isSymbolicLink() ? "a link" : "a device or a pipe");

/**
 * For files that we write in place, under a name of our own. Errors: UserError when something else is there, also a link: what it leads to would
 * be written over, and a pipe may wait for ever.
 */
export function requireOrdinary(path: string): void {
  let found: Stats | undefined;
  try {
    found = lstatSync(path, { throwIfNoEntry: false });
  } catch (error) {
    throw new UserError(`cannot write ${path}: ${messageOf(error)}`, { cause: error });
  }
  if (!found || found.isFile()) return;
  throw new UserError(`cannot write ${path}: expected a file or nothing there, got ${whatIs(found)}; remove it`);
}

/** Of its own for every call: in containers that share a folder process numbers are often the same. */
const temporaryBeside = (path: string): string =>
  join(dirname(path), `.${basename(path)}.${process.pid}-${randomBytes(4).toString("hex")}.part`);

/** Removes what killed processes left of a file they were writing. For files that nobody else may be writing now. */
export function removeTemporaries(path: string): void {
  const [folder, prefix] = [dirname(path), `.${basename(path)}.`];
  if (!existsSync(folder)) return;
  const left = readdirSync(folder).filter((name) => name.startsWith(prefix) && /^\d+-[0-9a-f]{8}\.part$/.test(name.slice(prefix.length)));
  for (const name of left) rmSync(join(folder, name), { force: true });
}

/** Undefined where there is nothing, or nothing that can be looked at: a link to itself, a name that is too long. */
export function statIfPossible(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}

/**
 * To be asked before a file is read that a user names. Errors: the reason, for the caller to say of what, where it is no regular file (reading a
 * pipe may wait for ever, and a device may have no end), or has more than `most` bytes; and the system's.
 */
export function requireRegularFile(path: string, most = Number.POSITIVE_INFINITY): void {
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found) throw new Error("there is no such file");
  if (!found.isFile()) throw new Error(`it is ${whatIs(found)}, not a file`);
  if (found.size > most) throw new Error(`${found.size} bytes, more than the ${most} that are read at most`);
}

/**
 * A file's bytes. Errors: UserError with the path for what is no regular file, for more than `most` bytes, and with the system's reason.
 */
export function readFileAtMost(path: string, most: number): Buffer {
  try {
    requireRegularFile(path, most);
    return readFileSync(path);
  } catch (error) {
    throw new UserError(`cannot read ${path}: ${messageOf(error)}`, { cause: error });
  }
}

/** SHA-256 of a file's bytes, hexadecimal. Errors: UserError with the path and the reason, also for what is no regular file. */
export function fileDigest(path: string): string {
  try {
    requireRegularFile(path);
    return createHash("sha256").update(readFileSync(path)).digest("hex");
  } catch (error) {
    throw new UserError(`cannot read ${path}: ${messageOf(error)}`, { cause: error });
  }
}

/** A copy on write where the file system has it. */
function copyAtomic(from: string, to: string): void {
  const temporary = temporaryBeside(to);
  try {
    copyFileSync(from, temporary, constants.COPYFILE_FICLONE);
    renameSync(temporary, to);
  } finally {
    rmSync(temporary, { force: true });
  }
}
