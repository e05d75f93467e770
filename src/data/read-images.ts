import pMap from "p-map";
import type { BrokenFile } from "./image-set.ts";
import { readAtOnce, readPicture, readPictureHeader, reasonOf } from "./images.ts";
import type { ListedFile } from "./listing.ts";
import { resizePicture } from "./resize.ts";

export type ReadProgress = (what: string, done: number, total: number) => void;

/** Unpacked images in memory at once: `readAtOnce`, of which one at a time may be larger than this. */
const largePixels = 16e6;

export interface ReadImages {
  /** [images that could be read, size, size, channels] */
  readonly pixels: Uint8Array;
  /** Which of the files they are, ascending. */
  readonly indices: readonly number[];
  readonly broken: readonly BrokenFile[];
  /** Whether one of those is broken by what the system says at the moment (no permission, too many open files), not by what is in it. */
  readonly mayPass: boolean;
}

export interface ReadOptions {
  readonly size: number;
  readonly channels: 1 | 3;
  readonly onProgress?: ReadProgress | undefined;
}

/** Reads files in parallel and brings them to one size. A file that cannot be read does not stop the others. */
export async function readImages(files: readonly ListedFile[], { size, channels, onProgress }: ReadOptions): Promise<ReadImages> {
  const perImage = size * size * channels;
  const pixels = new Uint8Array(files.length * perImage);
  const oneLarge = new Queue();
  let done = 0;
  let mayPass = false;
  const problems = await pMap(
    files,
    async ({ path }, i): Promise<string | undefined> => {
      try {
        const { pixelCount } = await readPictureHeader(path);
        const read = async () => pixels.set(resizePicture(await readPicture(path, channels), size).pixels, i * perImage);
        await (pixelCount > largePixels ? oneLarge.run(read) : read());
        return undefined;
      } catch (error) {
        mayPass ||= isOfSystem(error);
        return reasonOf(error, path);
      } finally {
        onProgress?.("reading images", ++done, files.length);
      }
    },
    { concurrency: readAtOnce },
  );
  const indices: number[] = [];
  const broken: BrokenFile[] = [];
  for (const [i, reason] of problems.entries()) {
    if (reason !== undefined) broken.push({ file: files[i]!.path, reason });
    else {
      pixels.copyWithin(indices.length * perImage, i * perImage, (i + 1) * perImage);
      indices.push(i);
    }
  }
  return { pixels: pixels.subarray(0, indices.length * perImage), indices, broken, mayPass };
}

/** That a file is not there is known by its name alone. */
function isOfSystem(error: unknown): boolean {
  const code = error instanceof Error && error.cause instanceof Error && "code" in error.cause ? error.cause.code : undefined;
  return typeof code === "string" && code !== "ENOENT";
}

/**
 * Whether every file that can be read is grey: stored as such, or in colour with red, green and blue alike everywhere. Stops at the first
 * that is not.
 */
export async function areAllGrey(files: readonly ListedFile[], onProgress?: ReadProgress): Promise<boolean> {
  const oneLarge = new Queue();
  let foundColour = false;
  let done = 0;
  await pMap(
    files,
    async ({ path }) => {
      if (foundColour) return;
      try {
        const { pixelCount, isStoredGrey } = await readPictureHeader(path);
        const look = async () => isGrey((await readPicture(path, 3)).pixels);
        if (!isStoredGrey && !(await (pixelCount > largePixels ? oneLarge.run(look) : look()))) foundColour = true;
      } catch (error) {
        // Broken files are reported where images are read, and say nothing about the others' colour.
        reasonOf(error, path);
      }
      onProgress?.("looking for colour", ++done, files.length);
    },
    { concurrency: readAtOnce },
  );
  return !foundColour;
}

function isGrey(rgb: Uint8Array): boolean {
  for (let i = 0; i < rgb.length; i += 3) if (rgb[i] !== rgb[i + 1] || rgb[i] !== rgb[i + 2]) return false;
  return true;
}

/** One after another. */
class Queue {
  private last: Promise<unknown> = Promise.resolve();

  run<T>(work: () => Promise<T>): Promise<T> {
    const result = this.last.then(work);
    // The next one waits for this one's end, not for its success.
    this.last = result.catch(() => undefined);
    return result;
  }
}
