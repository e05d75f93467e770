import { type Norm, projectOntoBall } from "./distance.ts";
import type { Problem } from "./problem.ts";
import { indices, row, takeRows } from "./rows.ts";

// What attacks by decisions alone begin with: an adversarial image far away, and the way back from it.

/** Images, one per row named. */
export interface Placed {
  readonly rows: readonly number[];
  readonly x: Float32Array;
}

/** Where a sample's first adversarial image comes from. */
export const startKinds = ["any", "images", "noise"] as const;
export type StartKind = (typeof startKinds)[number];

/**
 * For each sample an image that meets its criterion; samples for which none was found are left out. In this order:
 *   images: the problem's guides of another class or, targeted, of the target class, nearest
 *           first: clean images are accepted by a model that rejects noise
 *   noise:  uniformly random images
 * `tries`: at most so many of either. A try is a query.
 */
export async function startingPoints(problem: Problem, { start, tries }: { start: StartKind; tries: number }): Promise<Placed> {
  const { size } = problem;
  const found = new Map<number, Float32Array>();
  const tryAll = async (proposals: readonly { readonly sample: number; readonly image: Float32Array }[]) => {
    if (proposals.length === 0) return;
    const x = new Float32Array(proposals.length * size);
    for (const [i, { image }] of proposals.entries()) x.set(image, i * size);
    const { isAdversarial } = await problem.score(
      proposals.map(({ sample }) => sample),
      x,
    );
    for (const [i, { sample }] of proposals.entries()) if (isAdversarial[i] === 1) found.set(sample, row(x, size, i).slice());
    problem.progress(problem.count);
  };
  const open = () => indices(problem.count).filter((sample) => !found.has(sample));
  if (start !== "noise") {
    const ranked = indices(problem.count).map((sample) => nearestStarts(problem, sample, tries));
    for (let attempt = 0; attempt < tries; attempt++) {
      await tryAll(open().flatMap((sample) => (ranked[sample]![attempt] ? [{ sample, image: ranked[sample]![attempt]! }] : [])));
    }
  }
  if (start !== "images") {
    const randoms = indices(problem.count).map((sample) => problem.random(sample, "noise to start from"));
    for (let attempt = 0; attempt < tries; attempt++) {
      await tryAll(open().map((sample) => ({ sample, image: Float32Array.from({ length: size }, () => randoms[sample]!.uniform()) })));
    }
  }
  const rows = indices(problem.count).filter((sample) => found.has(sample));
  const x = new Float32Array(rows.length * size);
  for (const [i, sample] of rows.entries()) x.set(found.get(sample)!, i * size);
  return { rows, x };
}

function nearestStarts(problem: Problem, sample: number, most: number): Float32Array[] {
  const { size, guides } = problem;
  const { label, target } = problem.goal(sample);
  const original = row(problem.images, size, sample);
  return indices(guides.labels.length)
    .filter((i) => (target === undefined ? guides.labels[i] !== label : guides.labels[i] === target))
    .map((i) => ({ image: row(guides.images, size, i), distance: distanceBetween(row(guides.images, size, i), original, "l2") }))
    .sort((a, b) => a.distance - b.distance)
    .slice(0, most)
    .map(({ image }) => image);
}

/**
 * Brings adversarial images nearer to their originals, by bisection of the ball that holds them: in l2 along the line to the original, in
 * linf by clipping. `halvings` queries per image; what comes back is adversarial.
 */
export async function approachOriginals(problem: Problem, { rows, x }: Placed, norm: Norm, halvings: number): Promise<Float32Array> {
  const { size } = problem;
  const originals = takeRows(problem.images, size, rows);
  const nearest = x.slice();
  const high = Float64Array.from(rows, (_, i) => distanceBetween(row(x, size, i), row(originals, size, i), norm));
  const low = new Float64Array(rows.length);
  for (let halving = 0; halving < halvings && rows.length > 0; halving++) {
    const middle = high.map((value, i) => (value + low[i]!) / 2);
    const candidates = x.slice();
    for (const i of rows.keys()) projectOntoBall(row(candidates, size, i), row(originals, size, i), norm, middle[i]!);
    const { isAdversarial } = await problem.score(rows, candidates);
    for (const i of rows.keys()) {
      if (isAdversarial[i] === 1) {
        high[i] = middle[i]!;
        nearest.set(row(candidates, size, i), i * size);
      } else low[i] = middle[i]!;
    }
  }
  return nearest;
}

export function distanceBetween(x: Float32Array, original: Float32Array, norm: Norm): number {
  let squares = 0;
  let largest = 0;
  for (let k = 0; k < x.length; k++) {
    const change = Math.abs(x[k]! - original[k]!);
    squares += change * change;
    if (change > largest) largest = change;
  }
  return norm === "l2" ? Math.sqrt(squares) : largest;
}
