import { type Dirent, readdirSync, realpathSync } from "node:fs";
import { extname, join, sep } from "node:path";
import { messageOf, UserError } from "../core/errors.ts";
import { statIfPossible } from "../core/files.ts";
import { classesOf, type ListedFile, type Listing, naturally, splitOf, unlabelled, withoutEmptyClasses } from "./listing.ts";

const endings: readonly string[] = [".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".dib"];
/** Whether a file is named like a picture that we read. */
export const isImageName = (name: string): boolean => endings.includes(extname(name).toLowerCase());
const layout = "Expected a folder per class with images in it, or train/ and test/ (and val/) with these";

/** What is directly in a folder; links are followed. */
interface Contents {
  readonly folders: readonly string[];
  readonly images: readonly string[];
}

/** Counts what is passed over, by ending. */
class Ignored {
  readonly counts: Record<string, number> = {};

  add(name: string): void {
    const kind = name.startsWith(".") ? "hidden" : extname(name).toLowerCase() || "no ending";
    this.counts[kind] = (this.counts[kind] ?? 0) + 1;
  }

  toString(): string {
    const kinds = Object.entries(this.counts).map(([kind, count]) => `${count} ${kind}`);
    return kinds.length > 0 ? `; passed over: ${kinds.join(", ")}` : "";
  }
}

/** Whether a folder may be a data set of images: it holds folders, or images. */
export function isImageFolder(path: string): boolean {
  if (!statIfPossible(path)?.isDirectory()) return false;
  const { folders, images } = contentsOf(path, new Ignored());
  return folders.length + images.length > 0;
}

/**
 * Lists a folder that holds a folder per class (whose own folders belong to the class too), or train/, test/ and val/ which do.
 * Errors: UserError that says what was found when there are no images, fewer than two classes, a class without images, class names that
 * differ in case only, or splits and classes side by side.
 */
export function listFolder(root: string): Listing {
  const ignored = new Ignored();
  const found = contentsOf(root, ignored);
  // A class may be called "train": a split holds folders.
  const isSplit = (folder: string) => splitOf(folder) !== undefined && contentsOf(join(root, folder), new Ignored()).folders.length > 0;
  const drawn = found.folders.filter(isSplit);
  const beside = found.folders.filter((folder) => !drawn.includes(folder));
  if (drawn.length > 0 && beside.length > 0) {
    throw new UserError(`${root}: found the splits ${drawn.join(", ")} and ${beside.join(", ")} beside them. ${layout}, not both`);
  }
  const twice = drawn.filter((folder) => drawn.some((other) => other !== folder && splitOf(other) === splitOf(folder)));
  if (twice.length > 0) throw new UserError(`${root}: ${twice.join(" and ")} mean the same split: make them one folder`);
  if (drawn.length > 0) requireNoLooseImages(root, found);
  const classFolders = (drawn.length > 0 ? drawn : [undefined]).flatMap((folder) => {
    const base = folder === undefined ? root : join(root, folder);
    const contents = folder === undefined ? found : contentsOf(base, ignored);
    requireNoLooseImages(base, contents);
    const split = folder === undefined ? undefined : splitOf(folder);
    return contents.folders.map((name) => ({ split, base, folder: name, className: name.normalize("NFC") }));
  });
  const filesIn = classFolders.map(({ base, folder }) => ({ base, names: imagesUnder(join(base, folder), `${folder}/`, ignored, base) }));
  if (filesIn.every(({ names }) => names.length === 0)) {
    const names = classFolders.map(({ folder }) => folder).join(", ") || "no folders";
    throw new UserError(`${root}: no images: found ${names}${ignored}. ${layout}`);
  }
  const classNames = classesOf(
    classFolders.map(({ className }) => className),
    root,
    layout,
  );
  const files = classFolders.flatMap(({ split, base, className }, i): ListedFile[] =>
    filesIn[i]!.names.map((name) => {
      const label = classNames.indexOf(className);
      const path = join(base, name);
      return split === undefined ? { path, name, label } : { path, name: `${split}/${name}`, label, split };
    }),
  );
  return withoutEmptyClasses({ source: root, classNames, files, drawsSplits: drawn.length > 0, ignored: ignored.counts }, `${ignored}`);
}

/**
 * Lists every image under `root`, of whatever class: for data that is to be refused. Where `root` holds nothing but splits, its test/.
 * Errors: UserError when there are no images.
 */
export function listUnlabelled(root: string): Listing {
  const ignored = new Ignored();
  const { folders, images } = contentsOf(root, new Ignored());
  const isDivided = images.length === 0 && folders.every((name) => splitOf(name) !== undefined);
  const test = isDivided ? folders.find((name) => splitOf(name) === "test") : undefined;
  const base = test === undefined ? root : join(root, test);
  const names = imagesUnder(base, "", ignored);
  if (names.length === 0) throw new UserError(`${base}: no images${ignored}`);
  const files = names.map((name) => ({ path: join(base, name), name, label: 0 }));
  return { source: root, classNames: [unlabelled], files, drawsSplits: false, ignored: ignored.counts };
}

function requireNoLooseImages(folder: string, { folders, images }: Contents): void {
  if (images.length === 0) return;
  const among = folders.length > 0 ? `beside the folders ${folders.join(", ")}` : "and no folders";
  throw new UserError(`${folder}: found ${images.length} images (${images[0]}, ...) ${among}: of what class are they? ${layout}`);
}

/**
 * Names of all images under a folder, with `prefix` before them; `above`: the folder it is in. Errors: UserError for a link to a folder that
 * holds it, and for one that leads to the same folder as another: such links could go on without end, and images would count twice.
 */
function imagesUnder(folder: string, prefix: string, ignored: Ignored, above?: string): string[] {
  const visited = new Map<string, string>();
  const under = (folder: string, prefix: string, above: string | undefined): string[] => {
    const real = realPathOf(folder);
    if (above !== undefined && holds(real, above)) throw new UserError(`${folder}: a link to a folder that holds it`);
    const before = visited.get(real);
    if (before !== undefined) throw new UserError(`${folder}: the same folder as ${before}: its images would count twice; remove the link`);
    visited.set(real, folder);
    const { folders, images } = contentsOf(folder, ignored);
    return [...images.map((name) => prefix + name), ...folders.flatMap((name) => under(join(folder, name), `${prefix}${name}/`, real))];
  };
  return under(folder, prefix, above === undefined ? undefined : realPathOf(above));
}

/** Whether `folder` is `inner` or above it; both real paths. */
const holds = (folder: string, inner: string): boolean => `${inner}${sep}`.startsWith(folder.endsWith(sep) ? folder : `${folder}${sep}`);

function realPathOf(folder: string): string {
  try {
    return realpathSync(folder);
  } catch (error) {
    const advice = folder.includes(replacement) ? ". Its name is not UTF-8: give it another" : "";
    throw new UserError(`cannot read the folder ${folder}: ${messageOf(error)}${advice}`, { cause: error });
  }
}

/** What stands in a name for bytes that are not UTF-8. */
const replacement = "\ufffd";

function contentsOf(folder: string, ignored: Ignored): Contents {
  let entries: Dirent[];
  try {
    entries = readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    throw new UserError(`cannot read the folder ${folder}: ${messageOf(error)}`, { cause: error });
  }
  const folders: string[] = [];
  const images: string[] = [];
  for (const entry of entries) {
    const { name } = entry;
    const target = entry.isSymbolicLink() ? statIfPossible(join(folder, name)) : entry;
    // A link that leads nowhere and is named like an image is one that cannot be read.
    const isFile = target?.isFile() ?? true;
    if (name.startsWith(".")) ignored.add(name);
    else if (target?.isDirectory()) folders.push(name);
    else if (isFile && isImageName(name)) images.push(name);
    else ignored.add(name);
  }
  return { folders: folders.sort(naturally), images: images.sort(naturally) };
}
