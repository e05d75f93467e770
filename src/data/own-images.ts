import { UserError } from "../core/errors.ts";
import { isCsv, listCsv } from "./csv.ts";
import { listFolder, listUnlabelled } from "./folder.ts";
import { defaultCacheDir, ImageCache, stampOf } from "./image-cache.ts";
import { type BrokenFile, type ImageSet, imageSet, type LoadChoices, type Split } from "./image-set.ts";
import { filesOfSplit, type ListedFile, type Listing } from "./listing.ts";
import { areAllGrey, type ReadProgress, readImages } from "./read-images.ts";

/** How a user's own images become an image set. */
export interface OwnImageOptions extends Partial<LoadChoices> {
  /** Height and width that all images are brought to, a multiple of 8; default 32. */
  readonly imageSize?: number;
  /** False for data that is only to be refused: its classes do not matter, and all of it is used where it draws no test split itself. */
  readonly isLabelled?: boolean;
  readonly onProgress?: ReadProgress;
  /** Where images are kept once they are read, or null for nowhere; default ~/.cache/sdim/images. */
  readonly cacheDir?: string | null;
}

/** Files of a split that cannot be read, and were not to be skipped. */
export class BrokenImages extends UserError {}

/** More is not held in memory. */
const mostBytes = 2 ** 30;
const listedAtMost = 10;

/**
 * Loads a folder with a folder per class. Where it holds train/ and test/ (and val/), these are the splits; else a share of every class is
 * set aside for testing. Channels, if not given: grey when all images are, else colour. Images are kept in `cacheDir` for the next time.
 * Errors: UserError for a folder that is no such data set, a split it has not, and files that cannot be read (unless they are skipped).
 */
export async function loadImageFolder(folder: string, split: Split, options: OwnImageOptions = {}): Promise<ImageSet> {
  return load(options.isLabelled === false ? listUnlabelled(folder) : listFolder(folder), split, options);
}

/** The splits that a folder or CSV of images has. Errors: those of its listing. */
export function splitsOfImages(path: string): readonly Split[] {
  const { drawsSplits, files } = isCsv(path) ? listCsv(path) : listFolder(path);
  if (!drawsSplits) return ["train", "test"];
  const there = new Set(files.map(({ split }) => split));
  return (["train", "val", "test"] as const).filter((split) => there.has(split));
}

/** The same from a CSV of `file`, `label` and, if you like, `split`; paths are relative to it. */
export async function loadImageCsv(path: string, split: Split, options: OwnImageOptions = {}): Promise<ImageSet> {
  return load(listCsv(path, options.isLabelled), split, options);
}

async function load(listing: Listing, split: Split, options: OwnImageOptions): Promise<ImageSet> {
  const { imageSize = 32, splitSeed = 1, onBroken = "refuse", onProgress } = options;
  const cache = new ImageCache(options.cacheDir === undefined ? defaultCacheDir() : options.cacheDir);
  const { source, classNames, ignored } = listing;
  if (!Number.isInteger(imageSize) || imageSize < 8 || imageSize % 8 !== 0) {
    throw new UserError(`image size: expected a multiple of 8, got ${imageSize}`);
  }
  const testShare = options.isLabelled === false ? 1 : (options.testShare ?? 0.2);
  const files = filesOfSplit(listing, split, { testShare, splitSeed });
  const channels = options.channels ?? (await channelsOf(listing, cache, onProgress));
  const bytes = files.length * imageSize * imageSize * channels;
  if (bytes > mostBytes) {
    throw new UserError(
      `${source}: ${files.length} images of ${imageSize} x ${imageSize} x ${channels} take ${bytes} bytes, more than the ${mostBytes} that are held in memory: choose a smaller image size`,
    );
  }
  const origin = { choices: { channels, testShare, splitSeed, onBroken }, skipped: [], ignored };
  const known = { name: source, split, height: imageSize, width: imageSize, channels, classNames, origin };
  const key = { files: stampOf(source, files), split, imageSize, channels, classes: classNames.length, onBroken };
  const cached = cache.read(key, known);
  if (cached) return cached;
  const { pixels, indices, broken, mayPass } = await readImages(files, { size: imageSize, channels, onProgress });
  if (broken.length > 0 && onBroken === "refuse") throw new BrokenImages(refusal(source, broken, files.length));
  const labels = Int32Array.from(indices, (index) => files[index]!.label);
  requireAllClasses(listing, files, labels, broken);
  const set = { ...imageSet({ ...known, pixels, labels }), origin: { ...origin, skipped: broken } };
  return mayPass ? set : cache.write(key, set);
}

/** Looked at over all splits, so that they agree. */
async function channelsOf({ source, files }: Listing, cache: ImageCache, onProgress: ReadProgress | undefined): Promise<1 | 3> {
  const key = { files: stampOf(source, files), what: "channels" };
  const noted = cache.readNote(key);
  if (noted === "1" || noted === "3") return noted === "1" ? 1 : 3;
  const channels = (await areAllGrey(files, onProgress)) ? 1 : 3;
  cache.writeNote(key, String(channels));
  return channels;
}

function refusal(source: string, broken: readonly BrokenFile[], count: number): string {
  const lines = broken.slice(0, listedAtMost).map(({ file, reason }) => `  ${file}: ${reason}`);
  const more = broken.length > listedAtMost ? [`  and ${broken.length - listedAtMost} more`] : [];
  return [
    `${source}: ${broken.length} of ${count} images cannot be read:`,
    ...lines,
    ...more,
    "Mend or remove them, or leave them out with --skip-broken",
  ].join("\n");
}

/** A class that the files promised must not vanish because all of its files are broken. */
function requireAllClasses(
  { source, classNames }: Listing,
  files: readonly ListedFile[],
  labels: Int32Array,
  broken: readonly BrokenFile[],
): void {
  const left = new Set(labels);
  const lost = [...new Set(files.map(({ label }) => label))].filter((label) => !left.has(label));
  if (lost.length === 0) return;
  const names = lost.map((label) => classNames[label]).join(", ");
  const paths = new Set(files.filter(({ label }) => lost.includes(label)).map(({ path }) => path));
  const first = broken.find(({ file }) => paths.has(file))!;
  throw new UserError(`${source}: no image of the class ${names} can be read (${first.file}: ${first.reason})`);
}
