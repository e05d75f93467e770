import { UserError } from "../../core/errors.ts";
import { Random, requireSeed } from "../../core/random.ts";

/** An interval of confidence; a value it is of may lie outside where the statistic is biased under resampling (docs/evaluation.md). */
export interface Interval {
  readonly low: number;
  readonly high: number;
}

export interface BootstrapOptions {
  /** Default 1,000; 0: no intervals. */
  readonly resamples?: number;
  readonly seed?: number;
  /** Default 0.95. */
  readonly level?: number;
}

/** Most resamples: more would only use memory. */
const mostResamples = 100_000;

/** The options with their defaults. Errors: UserError for a number of resamples, a seed or a level out of range. */
export function resolveBootstrap({ resamples = 1000, seed = 0, level = 0.95 }: BootstrapOptions = {}): Required<BootstrapOptions> {
  if (!Number.isInteger(resamples) || resamples < 0 || resamples > mostResamples) {
    throw new UserError(`resamples: expected a whole number from 0 to ${mostResamples}, got ${resamples}`);
  }
  if (!(level > 0 && level < 1)) throw new UserError(`level: expected a number between 0 and 1, got ${level}`);
  return { resamples, seed: requireSeed(seed), level };
}

/** Named statistics of a resample; null where one is not defined for it. */
export type Statistics = Readonly<Record<string, number | null>>;

/**
 * Percentile bootstrap of several statistics at once (Efron and Tibshirani, 1993, chapter 13). Each resample draws, from every group of
 * `sizes` on its own (stratified), as many samples as it has, with replacement; `statistics` gets how often each sample was drawn, one array
 * per group, which it must not keep. The interval's ends are the (1 - level) / 2 and (1 + level) / 2 quantiles over the resamples in which the
 * statistic is defined, linearly interpolated; null where there are none. Same seed, same intervals.
 * Errors: as `resolveBootstrap`.
 */
export function bootstrap<S extends Statistics>(
  sizes: readonly number[],
  statistics: (counts: readonly Uint32Array[]) => S,
  options: BootstrapOptions = {},
): { readonly [K in keyof S]: Interval | null } {
  const { resamples, seed, level } = resolveBootstrap(options);
  const random = Random.stream(seed, "bootstrap");
  const counts = sizes.map((size) => new Uint32Array(size));
  // Of the samples as they are, for the names alone.
  const names = Object.keys(statistics(sizes.map((size) => new Uint32Array(size).fill(1)))) as (keyof S & string)[];
  const drawn = new Map(names.map((name) => [name, [] as number[]]));
  for (let r = 0; r < resamples; r++) {
    for (const group of counts) draw(group, random);
    const values = statistics(counts);
    for (const name of names) {
      const value = values[name];
      if (value !== null && value !== undefined) drawn.get(name)!.push(value);
    }
  }
  const tail = (1 - level) / 2;
  const interval = (values: number[]): Interval | null => {
    if (values.length === 0) return null;
    const sorted = Float64Array.from(values).sort();
    return { low: quantile(sorted, tail), high: quantile(sorted, 1 - tail) };
  };
  return Object.fromEntries(names.map((name) => [name, interval(drawn.get(name)!)])) as { [K in keyof S]: Interval | null };
}

/** Fills `counts` with how often each of its samples comes up in as many draws with replacement; without bias, as `Random.below`, but faster. */
function draw(counts: Uint32Array, random: Random): void {
  counts.fill(0);
  const width = Math.floor(2 ** 32 / counts.length);
  for (let drawn = 0; drawn < counts.length; ) {
    const sample = Math.floor(random.uint32() / width);
    if (sample >= counts.length) continue;
    counts[sample]!++;
    drawn++;
  }
}

/** Of at least one value, ascending: linear between neighbours, as NumPy's default. */
function quantile(sorted: Float64Array, fraction: number): number {
  const at = fraction * (sorted.length - 1);
  const below = Math.floor(at);
  const above = Math.min(sorted.length - 1, below + 1);
  return sorted[below]! + (at - below) * (sorted[above]! - sorted[below]!);
}
