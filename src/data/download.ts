import { existsSync, statSync } from "node:fs";
import { open, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { Interrupted, messageOf, UserError } from "../core/errors.ts";
import { makeFolder, requireOrdinary } from "../core/files.ts";

export interface DownloadOptions {
  readonly signal?: AbortSignal;
  /** Bytes that are there, of how many (undefined where the server does not say). */
  readonly onProgress?: (received: number, total: number | undefined) => void;
  /** Attempts in a row that brought nothing before it is given up. */
  readonly attempts?: number;
  /** Before the second attempt; doubled before each further one. */
  readonly retryDelayMs?: number;
  /** Silence after which a connection counts as broken. */
  readonly stallMs?: number;
}

/** No download of ours is larger; a server that goes on sending is stopped. */
const largestDownload = 2 ** 30;

/** An attempt that failed in a way that another one may not. */
class Transient extends Error {}

/**
 * Downloads `url` into the file `part`. What is there already from an earlier attempt is kept and asked for no more (Range); a server that
 * cannot do that sends all again. Broken connections and the server's own failures are tried again; what will not pass is not.
 * Errors: UserError with the address and the reason; `part` then stays, for a later call to go on from. Interrupted when `signal` says so.
 */
export async function download(url: string, part: string, options: DownloadOptions = {}): Promise<void> {
  const { attempts = 5, retryDelayMs = 1000, signal } = options;
  try {
    makeFolder(dirname(part));
  } catch (error) {
    throw new UserError(`cannot write ${part}: ${messageOf(error)}`, { cause: error });
  }
  let most = sizeOf(part);
  for (let failures = 0; ; ) {
    try {
      return await attempt(url, part, options);
    } catch (error) {
      if (signal?.aborted) throw new Interrupted(`stopped; what came is kept in ${part}: the same command goes on from there`);
      if (!(error instanceof Transient)) throw error;
      // Of a server that begins anew each time, what was there before brings nothing.
      failures = sizeOf(part) > most ? 1 : failures + 1;
      most = Math.max(most, sizeOf(part));
      if (failures >= attempts) {
        const kept = sizeOf(part) > 0 ? ` What came is kept in ${part}: the same command goes on from there.` : "";
        throw new UserError(`${url}: cannot be downloaded: ${error.message} (${attempts} attempts).${kept}`, { cause: error });
      }
      // Stopped meanwhile: the next attempt says so.
      await wait(retryDelayMs * 2 ** (failures - 1), undefined, signal === undefined ? {} : { signal }).catch(() => {});
    }
  }
}

const sizeOf = (path: string): number => (existsSync(path) ? statSync(path).size : 0);

async function attempt(url: string, part: string, { signal, stallMs = 30_000, onProgress }: DownloadOptions): Promise<void> {
  const stalled = new AbortController();
  const timer = setTimeout(() => stalled.abort(new Transient(`nothing came for ${stallMs / 1000} s`)), stallMs);
  try {
    requireOrdinary(part);
    const offset = sizeOf(part);
    const response = await fetch(url, {
      // Without this, a server may pack what is packed already, and its lengths then mean something else.
      headers: { "accept-encoding": "identity", ...(offset > 0 ? { range: `bytes=${offset}-` } : {}) },
      signal: AbortSignal.any([stalled.signal, ...(signal === undefined ? [] : [signal])]),
    });
    const plan = planOf(response, url, offset);
    if (plan === "complete") return;
    if (plan === "anew") {
      await rm(part, { force: true });
      throw new Transient("the server has another file than the one that was begun");
    }
    const { start, total } = plan;
    if (total !== undefined && total > largestDownload) throw tooLarge(url, total);
    let received = start;
    const file = await open(part, start > 0 ? "a" : "w").catch((error: unknown) => {
      throw cannotWrite(part, error);
    });
    try {
      for await (const chunk of response.body ?? []) {
        timer.refresh();
        received += chunk.length;
        if (received > largestDownload) throw tooLarge(url, received);
        await file.appendFile(chunk).catch((error: unknown) => {
          throw cannotWrite(part, error);
        });
        onProgress?.(received, total);
      }
    } finally {
      await file.close();
    }
    if (total !== undefined && received !== total) throw new Transient(`the server sent ${received} of ${total} bytes`);
  } catch (error) {
    if (error instanceof UserError || error instanceof Transient || signal?.aborted) throw error;
    if (mayPass(error)) throw new Transient(reasonOf(error), { cause: error });
    throw new UserError(`${url}: cannot be downloaded: ${reasonOf(error)}. ${otherSources}`, { cause: error });
  } finally {
    clearTimeout(timer);
    // Ends a connection whose answer was not read to its end: it would keep the process alive.
    stalled.abort();
  }
}

const otherSources = "Name a mirror with --base-url, or files you have with --from.";

/** What a network says that is down, overloaded or gone for a while. */
const passing: readonly string[] = [
  "EAI_AGAIN",
  "ECONNABORTED",
  "ECONNREFUSED",
  "ECONNRESET",
  "EHOSTDOWN",
  "EHOSTUNREACH",
  "ENETDOWN",
  "ENETRESET",
  "ENETUNREACH",
  "ENOTFOUND",
  "EPIPE",
  "ETIMEDOUT",
];

/** Whether a failure is the network's, and not a certificate's, a redirect without an end or the like, which stay as they are. */
function mayPass(error: unknown): boolean {
  const cause = error instanceof Error ? (error.cause ?? error) : error;
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  // UND_ERR: timeouts and broken connections, as fetch's own library calls them.
  return passing.includes(code) || code.startsWith("UND_ERR_");
}

/** Where the response's bytes belong, and how many there will be in all. */
interface Plan {
  readonly start: number;
  readonly total: number | undefined;
}

function planOf({ status, headers }: Response, url: string, offset: number): Plan | "complete" | "anew" {
  const range = /^bytes (?:(\d+)-\d+|\*)\/(\d+|\*)$/.exec(headers.get("content-range") ?? "");
  const total = range?.[2] === undefined || range[2] === "*" ? undefined : Number(range[2]);
  if (status === 416 && offset > 0) return total === offset ? "complete" : "anew";
  if (status === 206) return Number(range?.[1]) === offset ? { start: offset, total } : "anew";
  if (status === 200) {
    const length = headers.get("content-length");
    return { start: 0, total: length === null || headers.has("content-encoding") ? undefined : Number(length) };
  }
  if (status >= 500 || status === 408 || status === 429) throw new Transient(`the server answered ${status}`);
  const reason = status === 404 ? "not found (404)" : `the server answered ${status}`;
  throw new UserError(`${url}: ${reason}. ${otherSources}`);
}

const tooLarge = (url: string, bytes: number): UserError => new UserError(`${url}: ${bytes} bytes: expected at most ${largestDownload}`);

function cannotWrite(path: string, error: unknown): UserError {
  const full = error instanceof Error && "code" in error && error.code === "ENOSPC";
  const advice = full ? " The disk is full: make room and run the same command again, or choose another place with --to." : "";
  return new UserError(`cannot write ${path}: ${messageOf(error)}.${advice}`, { cause: error });
}

/** fetch hides the reason in the cause of its error. */
const reasonOf = (error: unknown): string =>
  error instanceof Error && error.cause !== undefined ? `${error.message} (${messageOf(error.cause).trim()})` : messageOf(error);
