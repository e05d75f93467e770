import { UserError } from "../core/errors.ts";
import { Random } from "../core/random.ts";
import { type ImageSet, imageSet, subset } from "./image-set.ts";

export interface HeldOut {
  readonly training: ImageSet;
  readonly validation: ImageSet;
}

/**
 * Splits off `share` (in (0, 1)) of every class, rounded, at least one image: which ones depends on `seed` and the labels alone. Both parts
 * keep the order of the whole; the part held out has the split name "validation".
 * Errors: UserError when a class has a single image, which cannot be on both sides.
 */
export function holdOut(set: ImageSet, share: number, seed: number): HeldOut {
  const random = Random.stream(seed, "validation split");
  const isHeldOut = new Uint8Array(set.count);
  const perClass: number[][] = set.classNames.map(() => []);
  set.labels.forEach((label, i) => {
    perClass[label]!.push(i);
  });
  for (const [c, members] of perClass.entries()) {
    if (members.length === 0) continue;
    if (members.length === 1) {
      throw new UserError(
        `validation: class "${set.classNames[c]}" of ${set.name} (${set.split}) has a single image, expected at least 2 to split`,
      );
    }
    const wanted = Math.min(members.length - 1, Math.max(1, Math.round(share * members.length)));
    for (const place of random.permutation(members.length).subarray(0, wanted)) isHeldOut[members[place]!] = 1;
  }
  const part = (held: number) => Array.from(isHeldOut.keys()).filter((i) => isHeldOut[i] === held);
  return { training: subset(set, part(0)), validation: { ...subset(set, part(1)), split: "validation" } };
}

/** At most `count` images, spread evenly over the set: the same ones every time. */
export function spread(set: ImageSet, count: number): ImageSet {
  if (count >= set.count) return set;
  return subset(
    set,
    Array.from({ length: count }, (_, i) => Math.floor((i * set.count) / count)),
  );
}

/**
 * `count` images, the first of every class: as many of each, and one more of the first classes where it does not come out even. In the
 * order of the set, which is itself the result when it has no more images. Errors: UserError when a class has too few, or would get none.
 */
export function balanced(set: ImageSet, count: number): ImageSet {
  if (count >= set.count) return set;
  const { classNames, labels } = set;
  if (count < classNames.length) {
    throw new UserError(`${set.name} (${set.split}): expected at least an image for each of ${classNames.length} classes, got ${count}`);
  }
  const wanted = classNames.map((_, c) => Math.floor(count / classNames.length) + Number(c < count % classNames.length));
  const taken = classNames.map(() => 0);
  const chosen: number[] = [];
  labels.forEach((label, i) => {
    if (taken[label]! === wanted[label]!) return;
    taken[label]!++;
    chosen.push(i);
  });
  const short = classNames.findIndex((_, c) => taken[c]! < wanted[c]!);
  if (short < 0) return subset(set, chosen);
  throw new UserError(
    `${set.name} (${set.split}): ${count} images, as many of each class, take ${wanted[short]} of class "${classNames[short]}", which has ${taken[short]}: ask for fewer`,
  );
}

/** A set without some of its classes, and the images that are then unknown. */
export interface ClassSplit {
  /** The classes that stay, in their old order, numbered anew. */
  readonly known: ImageSet;
  /** One class, whose name says that it is none. */
  readonly unknown: ImageSet;
}

/**
 * Takes `classes` (numbers of distinct classes, at least one) out of a set. Both parts keep the order of the whole and have a name that says
 * what they are. Errors: UserError when fewer than two classes stay, or one part has no images.
 */
export function withoutClasses(set: ImageSet, classes: readonly number[]): ClassSplit {
  const { name, split, labels, classNames } = set;
  const staying = Array.from(classNames.keys()).filter((c) => !classes.includes(c));
  if (staying.length < 2) {
    throw new UserError(`${name} (${split}): of ${classNames.length} classes ${classes.length} are held out, expected at least 2 to stay`);
  }
  const held = classes.map((c) => classNames[c]).join(", ");
  const part = (isKnown: boolean) =>
    subset(
      set,
      Array.from(labels.keys()).filter((i) => classes.includes(labels[i]!) !== isKnown),
    );
  const [known, unknown] = [part(true), part(false)];
  return {
    known: imageSet({
      ...known,
      name: `${name} without ${held}`,
      labels: known.labels.map((label) => staying.indexOf(label)),
      classNames: staying.map((c) => classNames[c]!),
    }),
    unknown: imageSet({ ...unknown, name: `${held} of ${name}`, labels: new Int32Array(unknown.count), classNames: ["none"] }),
  };
}
