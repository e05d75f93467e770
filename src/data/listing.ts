import { createHash } from "node:crypto";
import { UserError } from "../core/errors.ts";
import type { Split } from "./image-set.ts";

/** One image file of a user's own data set, before it is read. */
export interface ListedFile {
  readonly path: string;
  /** Its name within the data set, with / between folders: what splits and order depend on. */
  readonly name: string;
  /** Index of its class. */
  readonly label: number;
  /** The split it is in, where the data set draws splits itself. */
  readonly split?: Split;
}

/** A user's own data set, before its images are read. */
export interface Listing {
  /** As the user named it. */
  readonly source: string;
  readonly classNames: readonly string[];
  /** Of all splits. */
  readonly files: readonly ListedFile[];
  /** Whether the data set says itself which file is in which split; else we divide it. */
  readonly drawsSplits: boolean;
  /** Files that are not images, by ending, and hidden ones: how many of each were passed over. */
  readonly ignored: Readonly<Record<string, number>>;
}

/** What splits are called, in upper or lower case. */
const splitNames: Readonly<Record<Split, readonly string[]>> = {
  train: ["train", "training"],
  val: ["val", "valid", "validation"],
  test: ["test", "testing"],
};
export const splits = Object.keys(splitNames) as Split[];

/** The split that is called so. */
export const splitOf = (name: string): Split | undefined => splits.find((split) => splitNames[split].includes(name.toLowerCase()));

/** The one class of images whose class does not matter. */
export const unlabelled = "unlabelled";

const collator = new Intl.Collator("en", { numeric: true });

/** As people sort: 2 before 10. The same on every machine. */
export const naturally = (a: string, b: string): number => collator.compare(a, b) || (a < b ? -1 : a > b ? 1 : 0);

/**
 * The classes of `names`, each once, sorted naturally.
 * Errors: UserError when there are fewer than two, or two differ in upper and lower case only.
 */
export function classesOf(names: Iterable<string>, source: string, howToFix: string): string[] {
  const classes = [...new Set(names)].sort(naturally);
  const alike = grouped(classes, (name) => name.toLowerCase()).find((group) => group.length > 1);
  if (alike) throw new UserError(`${source}: the classes ${alike.join(" and ")} differ in upper and lower case only: give them one name`);
  if (classes.length < 2)
    throw new UserError(`${source}: expected at least two classes, found ${classes.join(", ") || "none"}. ${howToFix}`);
  return classes;
}

/**
 * The listing as it is. A class may be missing where it is tested, not where it is learned.
 * Errors: UserError that names the classes without images; `hint` says what else was there.
 */
export function withoutEmptyClasses(listing: Listing, hint = ""): Listing {
  const { source, classNames, files } = listing;
  const drawn = files.filter(({ split }) => split === "train");
  const learned = new Set((drawn.length > 0 ? drawn : files).map(({ label }) => label));
  const empty = classNames.filter((_, label) => !learned.has(label));
  if (empty.length === 0) return listing;
  const where = drawn.length > 0 ? " in the train split" : "";
  throw new UserError(
    `${source}: no images of the class ${empty.join(", ")}${where}, only of ${classNames.filter((name) => !empty.includes(name)).join(", ")}${hint}`,
  );
}

export interface SplitChoice {
  /** Share of each class that is set aside as the test split where the data set draws no splits itself. */
  readonly testShare: number;
  readonly splitSeed: number;
}

/**
 * The files of one split, in an order that mixes the classes. Where the data set draws no splits itself, `testShare` of every class is set
 * aside for testing: those that come first by SHA-256 of seed and name, at least one and never all (0: none, 1: all of them). So which
 * side a file is on depends on the seed and the names alone.
 * Errors: UserError when the data set has no such split.
 */
export function filesOfSplit({ source, files, drawsSplits }: Listing, split: Split, choice: SplitChoice): ListedFile[] {
  const { testShare, splitSeed } = choice;
  if (!(testShare >= 0 && testShare <= 1)) throw new UserError(`test share: expected a number from 0 to 1, got ${testShare}`);
  const ranked = files
    .map((file) => ({ file, rank: createHash("sha256").update(`${splitSeed}\n${file.name}`).digest("hex") }))
    .sort((a, b) => (a.rank < b.rank ? -1 : 1))
    .map(({ file }) => file);
  if (drawsSplits) {
    const drawn = ranked.filter((file) => file.split === split);
    if (drawn.length > 0) return drawn;
    const known = [...new Set(files.map((file) => file.split))].sort().join(", ");
    throw new UserError(`${source} has no ${split} split, only ${known}`);
  }
  if (split === "val") throw new UserError(`${source} has no val split: it draws no splits itself, and is divided into train and test`);
  const tests = new Set(grouped(ranked, ({ label }) => label).flatMap((ofClass) => ofClass.slice(0, testCount(ofClass.length, testShare))));
  const chosen = ranked.filter((file) => tests.has(file) === (split === "test"));
  if (chosen.length === 0) throw new UserError(`${source}: a test share of ${testShare} leaves no image for the ${split} split`);
  return chosen;
}

function testCount(count: number, share: number): number {
  if (share === 0 || share === 1) return count * share;
  return Math.min(count - 1, Math.max(1, Math.round(count * share)));
}

function grouped<T, K>(items: readonly T[], keyOf: (item: T) => K): T[][] {
  const groups = new Map<K, T[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group) group.push(item);
    else groups.set(keyOf(item), [item]);
  }
  return [...groups.values()];
}
