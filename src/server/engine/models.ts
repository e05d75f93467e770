import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { setImmediate } from "node:timers/promises";
import type { ModelCard } from "../../classify/card.ts";
import { readModelBytes } from "../../classify/model-file.ts";
import { InternalError, messageOf, UserError } from "../../core/errors.ts";
import { oneOf } from "../../core/names.ts";
import type { NamedModel } from "../model-names.ts";
import type { ThreadPool } from "./pool.ts";

/** A model file as it is served. A changed file is another one of these. */
export interface ServedModel {
  readonly name: string;
  readonly card: ModelCard;
  readonly bytes: Uint8Array;
  /** Of the bytes, hexadecimal. */
  readonly sha256: string;
  readonly loadedAt: Date;
  readonly generation: number;
}

export interface Reload {
  readonly name: string;
  readonly outcome: "loaded" | "refused";
  readonly error?: unknown;
}

interface Entry {
  readonly name: string;
  readonly path: string;
  current: ServedModel;
  /** What the file's state was when it was last read, and when it was last looked at. */
  readState: string;
  seenState: string;
}

const hashedAtOnce = 4 * 2 ** 20;

/** The models by name. A file that changes on disk is loaded anew; the old one serves until the new one does. */
export class Models {
  private readonly pool: ThreadPool;
  private readonly entries = new Map<string, Entry>();
  /** Requests under way per generation. */
  private readonly uses = new Map<number, number>();
  private readonly outdated = new Set<number>();
  private timer: NodeJS.Timeout | undefined;
  private isClosed = false;

  private constructor(pool: ThreadPool) {
    this.pool = pool;
  }

  /** Errors: UserError when a file cannot be read or is not a model that works. */
  static async open(models: readonly NamedModel[], pool: ThreadPool): Promise<Models> {
    const opened = new Models(pool);
    for (const { name, path } of models) {
      const readState = await stateOf(path);
      opened.entries.set(name, { name, path, current: await opened.load(name, path), readState, seenState: readState });
    }
    return opened;
  }

  all(): readonly ServedModel[] {
    return [...this.entries.values()].map(({ current }) => current);
  }

  /** Errors: UserError that names the nearest ones. */
  get(name: string): ServedModel {
    return this.entries.get(oneOf("model", name, [...this.entries.keys()]))!.current;
  }

  /** `work` with the model as it is now, which stays loaded until the work is done. */
  async using<T>(name: string, work: (model: ServedModel) => Promise<T>): Promise<T> {
    const model = this.get(name);
    const { generation } = model;
    this.uses.set(generation, (this.uses.get(generation) ?? 0) + 1);
    try {
      return await work(model);
    } finally {
      this.uses.set(generation, this.uses.get(generation)! - 1);
      this.dropUnused();
    }
  }

  /** Looks every `everyMs` whether files have changed. */
  watch(everyMs: number, onReload: (reload: Reload) => void): void {
    this.timer = setTimeout(async () => {
      for (const entry of this.entries.values()) await this.refresh(entry, onReload);
      if (!this.isClosed) this.watch(everyMs, onReload);
    }, everyMs);
  }

  close(): void {
    this.isClosed = true;
    clearTimeout(this.timer);
  }

  /** Loads a file whose state has changed and then stood still from one look to the next: half-written ones are left alone. */
  private async refresh(entry: Entry, onReload: (reload: Reload) => void): Promise<void> {
    const { name, path } = entry;
    const state = await stateOf(path).catch(() => "missing");
    const hasSettled = state === entry.seenState;
    entry.seenState = state;
    if (!hasSettled || state === entry.readState || this.isClosed) return;
    try {
      const next = await this.load(name, path);
      this.outdated.add(entry.current.generation);
      entry.current = next;
      entry.readState = state;
      this.dropUnused();
      onReload({ name, outcome: "loaded" });
    } catch (error) {
      if (this.isClosed) return;
      // A bad file stays bad until it changes; our own failure is tried again.
      if (error instanceof UserError) entry.readState = state;
      onReload({ name, outcome: "refused", error });
    }
  }

  private async load(name: string, path: string): Promise<ServedModel> {
    const bytes = readModelBytes(path);
    const { generation, card } = await this.pool.load(bytes, path);
    return { name, card, bytes, sha256: await digest(bytes), loadedAt: new Date(), generation };
  }

  private dropUnused(): void {
    for (const generation of this.outdated) {
      const uses = this.uses.get(generation) ?? 0;
      if (uses < 0) throw new InternalError(`models: generation ${generation} was given back more often than taken`);
      if (uses > 0) continue;
      this.outdated.delete(generation);
      this.uses.delete(generation);
      this.pool.drop(generation);
    }
  }
}

/** Differs when the content may have changed. A file put in place of another has another inode. */
async function stateOf(path: string): Promise<string> {
  try {
    const { mtimeMs, size, ino } = await stat(path);
    return `${mtimeMs} ${size} ${ino}`;
  } catch (error) {
    throw new UserError(`cannot read the model ${path}: ${messageOf(error)}`, { cause: error });
  }
}

/** With pauses, for the event loop. */
async function digest(bytes: Uint8Array): Promise<string> {
  const hash = createHash("sha256");
  for (let start = 0; start < bytes.length; start += hashedAtOnce) {
    hash.update(bytes.subarray(start, start + hashedAtOnce));
    await setImmediate();
  }
  return hash.digest("hex");
}
