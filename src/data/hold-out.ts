import { UserError } from "../core/errors.ts";
import { Random } from "../core/random.ts";
import { type ImageSet, subset } from "./image-set.ts";

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
