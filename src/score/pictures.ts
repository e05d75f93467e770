import { pMapIterable } from "p-map";
import { readAtOnce, readPicture, readPictureHeader, reasonOf } from "../data/images.ts";
import type { Picture } from "../data/picture.ts";
import type { InputFile } from "./inputs.ts";

/** A file as it was read, or why it could not be. `release` says that its pixels are no longer needed; it may be called again. */
export interface ReadFile {
  readonly file: InputFile;
  readonly outcome: Picture | { readonly error: string };
  readonly release: () => void;
}

/** Files read ahead of the classifier. */
const backpressure = 64;

/** Unpacked pixels in memory, in bytes; one picture more may be under way. */
const heldAtMost = 256e6;

/** A chunk is classified when it has so many pictures, or so many bytes of pixels. */
const chunkFiles = 128;
const chunkBytes = 64e6;

/** Or when it has one, and no other came for so long: of a list that somebody is still writing. */
const chunkPatienceMs = 1000;

/**
 * Memory for unpacked pictures, given out in the order it is asked for: so what is held always belongs to pictures that come before those
 * that wait, and is given back without them.
 */
class MemoryBudget {
  private readonly limit: number;
  private held = 0;
  private last: Promise<unknown> = Promise.resolve();
  private wake: (() => void) | undefined;

  constructor(limit: number) {
    this.limit = limit;
  }

  /** Waits until less than the limit is held, then takes `bytes`; they are looked at when it is this one's turn. Errors: those of `bytes`. */
  take(bytes: Promise<number>): Promise<number> {
    const turn = this.last.then(async () => {
      const wanted = await bytes;
      while (this.held >= this.limit) {
        await new Promise<void>((resolve) => {
          this.wake = resolve;
        });
      }
      this.held += wanted;
      return wanted;
    });
    this.last = turn.catch(() => undefined);
    // It may fail before its turn.
    bytes.catch(() => undefined);
    return turn;
  }

  giveBack(bytes: number): void {
    this.held -= bytes;
    this.wake?.();
  }
}

/** Reads files in parallel and gives them in their order. A file that cannot be read is an outcome like the others. */
export function readFiles(files: AsyncIterable<InputFile>, channels: 1 | 3): AsyncIterable<ReadFile> {
  const budget = new MemoryBudget(heldAtMost);
  return pMapIterable(files, (file) => readOne(file, channels, budget), { concurrency: readAtOnce, backpressure });
}

async function readOne(file: InputFile, channels: 1 | 3, budget: MemoryBudget): Promise<ReadFile> {
  const size = readPictureHeader(file.path).then(({ pixelCount }) => pixelCount * channels);
  let held = 0;
  try {
    held = await budget.take(size);
    const picture = await readPicture(file.path, channels);
    const release = (): void => {
      budget.giveBack(held);
      held = 0;
    };
    return { file, outcome: picture, release };
  } catch (error) {
    budget.giveBack(held);
    return { file, outcome: { error: reasonOf(error, file.path) }, release: () => undefined };
  }
}

/** In groups to classify together. */
export async function* chunksOf(files: AsyncIterable<ReadFile>): AsyncGenerator<ReadFile[]> {
  const iterator = files[Symbol.asyncIterator]();
  let [chunk, bytes]: [ReadFile[], number] = [[], 0];
  let next = iterator.next();
  try {
    for (;;) {
      const found = await (chunk.length === 0 ? next : soon(next));
      if (found !== "late") {
        if (found.done) break;
        const { outcome } = found.value;
        chunk.push(found.value);
        if (!("error" in outcome)) bytes += outcome.pixels.length;
        next = iterator.next();
        // It is awaited later; until then an error must not end the process.
        next.catch(() => undefined);
        if (chunk.length < chunkFiles && bytes < chunkBytes) continue;
      }
      yield chunk;
      [chunk, bytes] = [[], 0];
    }
    if (chunk.length > 0) yield chunk;
  } finally {
    // Not awaited: it may wait for a line that never comes.
    void iterator.return?.();
  }
}

/** The result, if it comes within the patience of a chunk. */
async function soon<T>(next: Promise<T>): Promise<T | "late"> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<"late">((resolve) => {
    timer = setTimeout(resolve, chunkPatienceMs, "late");
  });
  try {
    return await Promise.race([next, late]);
  } finally {
    clearTimeout(timer);
  }
}
