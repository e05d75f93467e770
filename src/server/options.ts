import { availableParallelism } from "node:os";
import { UserError } from "../core/errors.ts";
import { mostPixels } from "../data/images.ts";

/** What one request, and all of them together, may take. */
export interface Limits {
  readonly bodyBytes: number;
  /** Of JSON bodies, which are parsed on the event loop. */
  readonly jsonBytes: number;
  readonly imagesPerRequest: number;
  readonly pixelsPerImage: number;
  /** From a request's arrival to its answer. */
  readonly requestMs: number;
  /** Images of all requests that are being decoded, wait or are classified. */
  readonly queuedImages: number;
  /** Bodies and unpacked pixels of all requests under way. */
  readonly pendingBytes: number;
}

/** Of a body that is all JSON. */
export const mostJsonBytes = ({ bodyBytes, jsonBytes }: Limits): number => Math.min(bodyBytes, jsonBytes);

export interface ServerOptions {
  readonly workers: number;
  readonly maxBatch: number;
  readonly maxWaitMs: number;
  readonly limits: Limits;
  /** Between two looks at the model files, 0 for never. */
  readonly reloadMs: number;
  /** Asked of every request but those for health and the page. */
  readonly apiKey?: string;
  /** Origins whose pages may ask, `*` for any; default: none but the server's own. */
  readonly corsOrigins?: readonly string[];
  /** Folder of training runs to show. */
  readonly runsFolder?: string;
  /** The web page, if another folder than the one beside the built code. */
  readonly webFolder?: string;
}

const megabyte = 2 ** 20;

export const defaultLimits: Limits = {
  bodyBytes: 32 * megabyte,
  jsonBytes: 8 * megabyte,
  imagesPerRequest: 256,
  pixelsPerImage: mostPixels,
  requestMs: 30_000,
  queuedImages: 1024,
  pendingBytes: 1024 * megabyte,
};

export const defaultOptions: ServerOptions = {
  workers: availableParallelism(),
  maxBatch: 32,
  maxWaitMs: 2,
  limits: defaultLimits,
  reloadMs: 1000,
};

/** What Node's timers hold, 24.8 days: a longer one would end at once. */
export const longestTimerMs = 2 ** 31 - 1;

/** Errors: UserError when a limit makes another one unreachable, or a time is none that can be waited for. */
export function checkLimits({ limits, maxWaitMs, reloadMs }: Pick<ServerOptions, "limits" | "maxWaitMs" | "reloadMs">): void {
  const { bodyBytes, imagesPerRequest, pixelsPerImage, requestMs, queuedImages, pendingBytes } = limits;
  checkTime("--timeout-ms", requestMs, 1);
  checkTime("--max-wait-ms", maxWaitMs);
  checkTime("--reload-ms", reloadMs);
  if (imagesPerRequest > queuedImages) {
    throw new UserError(`a request may have ${imagesPerRequest} images, but only ${queuedImages} may be queued: raise --max-queue`);
  }
  if (pixelsPerImage > mostPixels) throw new UserError(`images of ${pixelsPerImage} pixels: at most ${mostPixels} are read`);
  if (bodyBytes > pendingBytes) {
    throw new UserError(`a body may have ${bodyBytes} bytes, but all of them only ${pendingBytes}: raise --max-pending-mb`);
  }
}

/** Errors: UserError. */
export function checkTime(option: string, ms: number, least = 0): void {
  if (ms >= least && ms <= longestTimerMs) return;
  throw new UserError(`${option}: expected ${least} to ${longestTimerMs} ms (24.8 days), got ${ms}`);
}
