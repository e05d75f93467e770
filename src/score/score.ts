import { createHash } from "node:crypto";
import { rmSync } from "node:fs";
import type { Readable } from "node:stream";
import type { ModelCard } from "../classify/card.ts";
import { type DecisionOptions, deciding } from "../classify/classification.ts";
import type { ClassifierOptions } from "../classify/classifier.ts";
import { decodeModelFile, readModelBytes } from "../classify/model-file.ts";
import { Interrupted, UserError } from "../core/errors.ts";
import { requireNew } from "../core/files.ts";
import { requireObject } from "../core/kinds.ts";
import type { Picture } from "../data/picture.ts";
import { forModel } from "../data/resize.ts";
import { ClassifyThread } from "./classify-thread.ts";
import { type InputFile, inputFiles } from "./inputs.ts";
import { Journal } from "./journal.ts";
import { chunksOf, type ReadFile, readFiles } from "./pictures.ts";
import { resultFormatOf, writeResults } from "./results.ts";
import { type ClassTally, type Row, Tally } from "./rows.ts";
import { isInShard, type Shard, showShard } from "./shard.ts";

export interface ScoreOptions extends ClassifierOptions, Pick<DecisionOptions, "percentile"> {
  /** Ends in .csv, .jsonl or .parquet. */
  readonly out: string;
  readonly shard?: Shard;
  /** A file that cannot be read ends the scoring, instead of being a row with its error. */
  readonly isStrict?: boolean;
  readonly withClassLogLikelihoods?: boolean;
  /** Replace results that are there. */
  readonly force?: boolean;
  /** Drop the rows kept from an earlier run, instead of going on after them. */
  readonly restart?: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: ScoreProgress) => void;
  /** Where the input `-` is read from. */
  readonly stdin?: Readable;
}

export interface ScoreProgress {
  /** Files done, those of an earlier run included. How many there will be is not known. */
  readonly files: number;
  readonly broken: number;
  readonly filesPerSecond: number;
}

export interface ScoreSummary {
  readonly out: string;
  readonly files: number;
  /** Of these, taken over from an earlier, stopped run. */
  readonly resumed: number;
  readonly broken: number;
  readonly accepted: number;
  /** Of the files that could be read; null: there were none. */
  readonly acceptedShare: number | null;
  readonly classes: readonly Readonly<ClassTally>[];
  /** Files of a folder that are not images, by ending. */
  readonly ignored: Readonly<Record<string, number>>;
  readonly seconds: number;
  /** Of this run alone. */
  readonly filesPerSecond: number;
}

export const journalPath = (out: string): string => `${out}.partial.jsonl`;

/**
 * Classifies the files of `input` (see `inputFiles`) into a results file, in their order. Rows are kept in a journal beside it as they come,
 * so that a run that was stopped or killed goes on after them; the results appear, complete, at the end.
 * Errors: UserError for a mistake in the arguments, a percentile that the model file has no thresholds at, an input that is no longer what the
 * journal was begun with, or (`isStrict`) a file that cannot be read; Interrupted when `signal` is aborted.
 */
export async function score(model: string, input: string, options: ScoreOptions): Promise<ScoreSummary> {
  requireObject("score", "options with out, the file for the results", options);
  const { out, shard = { index: 1, count: 1 }, isStrict = false, withClassLogLikelihoods = false, signal, onProgress } = options;
  resultFormatOf(out);
  requireNew(out, options.force);
  const bytes = readModelBytes(model);
  const { card } = decodeModelFile(bytes, model);
  const decision = options.percentile === undefined ? {} : { percentile: options.percentile };
  // Knows a wrong one before anything is read.
  deciding(card, decision);
  const digest = createHash("sha256").update(bytes).digest("hex");
  const journal = new Journal(journalPath(out), {
    kind: "sdim score",
    format: 1,
    model: digest,
    input,
    shard: showShard(shard),
    classLogLikelihoods: withClassLogLikelihoods,
    ...decision,
  });
  if (options.restart) rmSync(journal.path, { force: true });
  const ignored: Record<string, number> = {};
  const count = (kind: string) => {
    ignored[kind] = (ignored[kind] ?? 0) + 1;
  };
  const ending = new AbortController();
  const end = AbortSignal.any(signal ? [signal, ending.signal] : [ending.signal]);
  const files = ofShard(inputFiles(input, count, end, options.stdin), shard);
  const tally = new Tally(card.classNames);
  let [resumed, startedAt] = [0, performance.now()];
  const seconds = () => (performance.now() - startedAt) / 1000;
  const rate = () => (tally.files - resumed) / Math.max(1e-9, seconds());
  const keep = (rows: readonly Row[]) => {
    journal.append(rows);
    for (const row of rows) tally.add(row);
    onProgress?.({ files: tally.files, broken: tally.broken, filesPerSecond: rate() });
  };
  let thread: ClassifyThread | undefined;
  try {
    await passOver(files, journal, tally, { isStrict, signal });
    [resumed, startedAt] = [tally.files, performance.now()];
    const { provider, threads } = options;
    const classifying = { ...(provider === undefined ? {} : { provider }), ...(threads === undefined ? {} : { threads }) };
    const started = new ClassifyThread({ model: bytes, source: model, options: classifying, decision });
    thread = started;
    journal.open();
    const rowsOfChunk = (chunk: readonly ReadFile[]) => rowsOf(chunk, started, card, { isStrict, withClassLogLikelihoods });
    await keepRows(chunksOf(readFiles(files, card.model.channels)), rowsOfChunk, keep, signal);
  } finally {
    // An input that somebody is still writing would keep the process.
    ending.abort();
    journal.close();
    await thread?.close();
  }
  if (signal?.aborted) {
    throw new Interrupted(`stopped after ${tally.files} files; they are kept in ${journal.path}, and the same command goes on after them`);
  }
  await writeResults(out, journal.rows(), card.classNames, withClassLogLikelihoods);
  journal.remove();
  const read = tally.files - tally.broken;
  return {
    out,
    files: tally.files,
    resumed,
    broken: tally.broken,
    accepted: tally.accepted,
    acceptedShare: read === 0 ? null : tally.accepted / read,
    classes: tally.classes,
    ignored,
    seconds: seconds(),
    filesPerSecond: rate(),
  };
}

async function* ofShard(files: AsyncIterable<InputFile>, shard: Shard): AsyncGenerator<InputFile> {
  for await (const file of files) if (isInShard(file.name, shard)) yield file;
}

/** Takes over the rows of an earlier run, and with them the files they are of. */
async function passOver(
  files: AsyncIterator<InputFile>,
  journal: Journal,
  tally: Tally,
  { isStrict, signal }: { readonly isStrict: boolean; readonly signal: AbortSignal | undefined },
): Promise<void> {
  for await (const row of journal.rows()) {
    const next = await files.next();
    if (signal?.aborted) throw new Interrupted(`stopped; the rows of earlier runs are kept in ${journal.path}`);
    requireSameFile(next, row, journal.path);
    if (isStrict && row.error !== null) {
      const advice = "With --restart it is read anew; without --strict its row stays as it is";
      throw new UserError(`${row.file}: ${row.error} (an earlier run without --strict kept this row in ${journal.path}). ${advice}`);
    }
    tally.add(row);
  }
}

/** Until there are no more chunks, or `signal` is aborted. A chunk is classified while the next one is read. */
async function keepRows(
  chunks: AsyncIterable<readonly ReadFile[]>,
  rowsOfChunk: (chunk: readonly ReadFile[]) => Promise<Row[]>,
  keep: (rows: readonly Row[]) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  let underWay: Promise<void> = Promise.resolve();
  const iterator = chunks[Symbol.asyncIterator]();
  try {
    for (;;) {
      const coming = iterator.next();
      // An error of the classifier does not wait for a chunk that may never come.
      const next = await Promise.race([coming, underWay.then(() => coming)]);
      await underWay;
      if (next.done || signal?.aborted) return;
      const chunk = next.value;
      underWay = rowsOfChunk(chunk)
        // Of one that failed, too: the next chunk may wait for its memory.
        .finally(() => {
          for (const { release } of chunk) release();
        })
        .then(keep);
      // It is awaited when the next chunk is there; until then an error must not end the process.
      underWay.catch(() => undefined);
    }
  } finally {
    void iterator.return?.();
  }
}

function requireSameFile(next: IteratorResult<InputFile>, { file }: Row, journal: string): void {
  if (!next.done && next.value.path === file) return;
  const found = next.done ? "it is at its end" : `it has ${next.value.path}`;
  throw new UserError(`${journal}: the input has changed: where ${file} was, ${found}. Begin anew with --restart`);
}

interface RowOptions {
  readonly isStrict: boolean;
  readonly withClassLogLikelihoods: boolean;
}

/** Pixels in one call of the model, which turns each into floats; a picture that is larger goes alone. */
const pixelsPerCall = 4e6;
const picturesPerCall = 64;

/** The rows of a chunk, in its order. Pictures of one size go through the model together. */
async function rowsOf(
  chunk: readonly ReadFile[],
  thread: ClassifyThread,
  { model: { imageSize }, classNames }: ModelCard,
  options: RowOptions,
): Promise<Row[]> {
  const pictures = new Map<number, Picture>();
  const rows = new Array<Row>(chunk.length);
  const bySize = new Map<string, number[]>();
  for (const [i, { file, outcome }] of chunk.entries()) {
    if ("error" in outcome) {
      if (options.isStrict) throw new UserError(`${file.path}: ${outcome.error}`);
      rows[i] = { file: file.path, error: outcome.error };
    } else {
      const picture = forModel(outcome, imageSize);
      pictures.set(i, picture);
      const size = `${picture.height}x${picture.width}`;
      const others = bySize.get(size);
      if (others) others.push(i);
      else bySize.set(size, [i]);
    }
  }
  for (const indices of bySize.values()) {
    const { height, width, channels } = pictures.get(indices[0]!)!;
    const perCall = Math.max(1, Math.min(picturesPerCall, Math.floor(pixelsPerCall / (height * width))));
    for (let start = 0; start < indices.length; start += perCall) {
      const part = indices.slice(start, start + perCall);
      const pixels = new Uint8Array(part.length * height * width * channels);
      for (const [k, i] of part.entries()) {
        pixels.set(pictures.get(i)!.pixels, k * height * width * channels);
        pictures.delete(i);
        chunk[i]!.release();
      }
      const verdicts = await thread.classify({ pixels, count: part.length, height, width, channels });
      for (const [k, i] of part.entries()) rows[i] = rowOf(chunk[i]!.file.path, verdicts, k, classNames, options);
    }
  }
  return rows;
}

function rowOf(
  file: string,
  { labels, accepted, logLikelihoods, thresholds, classLogLikelihoods }: Awaited<ReturnType<ClassifyThread["classify"]>>,
  k: number,
  classNames: readonly string[],
  { isStrict, withClassLogLikelihoods }: RowOptions,
): Row {
  const classes = Array.from(classLogLikelihoods.subarray(k * classNames.length, (k + 1) * classNames.length));
  if (!classes.every(Number.isFinite)) {
    const error = "the model gives a log-likelihood that is no finite number";
    if (isStrict) throw new UserError(`${file}: ${error}`);
    return { file, error };
  }
  return {
    file,
    label: classNames[labels[k]!]!,
    accepted: accepted[k] === 1,
    logLikelihood: logLikelihoods[k]!,
    threshold: thresholds[k]!,
    ...(withClassLogLikelihoods ? { classLogLikelihoods: classes } : {}),
    error: null,
  };
}
