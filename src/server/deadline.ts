import { setMaxListeners } from "node:events";
import type { FastifyReply, FastifyRequest } from "fastify";
import { HttpError } from "./errors.ts";

/** The client has hung up: nobody reads the answer. nginx's number for it, seen in logs and metrics alone. */
const clientGone = new HttpError(499, "client_gone", "the client closed the connection before it had its answer");

/**
 * Runs `work` until the request's time is up or its client is gone; the signal tells the work so. (Fastify's handlerTimeout stops counting as
 * soon as the body has been read, on Node 20.) Errors: HttpError 504, and what the work throws.
 */
export async function withDeadline<T>(
  request: FastifyRequest,
  reply: FastifyReply,
  requestMs: number,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const { signal } = controller;
  // One of each image: Node warns of more than ten.
  setMaxListeners(0, signal);
  const late = () => controller.abort(new HttpError(504, "timeout", `the request took longer than ${requestMs} ms`));
  const timer = setTimeout(late, Math.max(0, requestMs - reply.elapsedTime));
  const onClose = () => {
    if (!reply.raw.writableFinished) controller.abort(clientGone);
  };
  reply.raw.once("close", onClose);
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
  try {
    return await Promise.race([work(signal), aborted]);
  } catch (error) {
    if (signal.aborted) request.log.debug({ reason: signal.reason.code }, "gave up");
    throw error;
  } finally {
    clearTimeout(timer);
    reply.raw.off("close", onClose);
  }
}
