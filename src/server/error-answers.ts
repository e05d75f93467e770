import { STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import type { FastifyError, FastifyReply, FastifyRequest } from "fastify";
import { UserError } from "../core/errors.ts";
import { errorBody, HttpError, noImages } from "./errors.ts";
import type { Limits } from "./options.ts";
import { bodyTooLarge, isV2 } from "./reserve.ts";

/** Codes of Fastify and its plugins that have a better name or message here. */
const known: Readonly<Record<string, (request: FastifyRequest, limits: Limits) => HttpError>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: (request) => {
    const types = isV2(request) ? "application/json" : "multipart/form-data, application/json, image/*";
    return new HttpError(415, "unsupported_media_type", `Content-Type: expected ${types} or application/octet-stream`);
  },
  FST_ERR_CTP_BODY_TOO_LARGE: bodyTooLarge,
  FST_REQ_FILE_TOO_LARGE: bodyTooLarge,
  // Of the requests that are parsed by Fastify as JSON, all are for images.
  FST_ERR_CTP_EMPTY_JSON_BODY: () => noImages("an empty body"),
  // No file has such a name: too long, with a null character, out of the folder.
  FST_STATIC_FORBIDDEN_PATH: (request) => notFound(request),
  FST_FILES_LIMIT: () => new HttpError(413, "too_many_images", "the request has more images than are allowed"),
  FST_PARTS_LIMIT: () => new HttpError(413, "too_many_images", "the request has more parts than are allowed"),
};

/** 404, or 405 where the path is asked with other methods. */
export function notFound({ method, url, server }: FastifyRequest): HttpError {
  const path = url.split("?")[0]!;
  const shown = path.length > 200 ? `${path.slice(0, 200)}...` : path;
  const methods = server.methodsOf(path);
  if (methods.length > 0 && !methods.includes(method)) {
    const allow = methods.join(", ");
    return new HttpError(405, "method_not_allowed", `${shown}: expected ${allow}, got ${method}`, { headers: { allow } });
  }
  return new HttpError(404, "not_found", `no ${method} ${shown} here: /docs lists what there is`);
}

/** What is answered to anything thrown. Of our own failures no more is said than that: the log has the rest. */
function httpErrorOf(error: unknown, request: FastifyRequest, limits: Limits): HttpError {
  if (error instanceof HttpError) return error;
  if (error instanceof UserError) return new HttpError(400, "bad_request", error.message);
  if (error instanceof Error && "statusCode" in error) {
    const fastifyError = error as FastifyError;
    const status = fastifyError.statusCode ?? 500;
    // Of a body that was sent to nowhere, it matters only that there is nothing.
    if (request.is404 && String(fastifyError.code).startsWith("FST_ERR_CTP_")) return notFound(request);
    const named = known[fastifyError.code]?.(request, limits);
    if (named) return named;
    if (status >= 400 && status < 500) return new HttpError(status, "bad_request", error.message);
  }
  return new HttpError(500, "internal", "this is the server's failure, please report it: its log has the details");
}

/** Answers with an error. Under /v2 its body is `{"error":"message"}`, as the Open Inference Protocol has it. */
export function sendError(error: unknown, request: FastifyRequest, reply: FastifyReply, limits: Limits): FastifyReply {
  const httpError = httpErrorOf(error, request, limits);
  if (httpError.status === 500) request.log.error({ err: error }, "failed");
  if (httpError.more.headers) reply.headers(httpError.more.headers);
  // What is left of the body is not read.
  if (!request.raw.complete) reply.header("connection", "close");
  return reply
    .code(httpError.status)
    .type("application/json; charset=utf-8")
    .send(isV2(request) ? { error: httpError.message } : errorBody(httpError));
}

/** Answers what is not HTTP, or did not come in time, and hangs up. */
export function answerBrokenRequest(error: NodeJS.ErrnoException, socket: Socket): void {
  // The client hung up.
  if (error.code === "ECONNRESET" || !socket.writable) return void socket.destroy();
  const { status, code, message } =
    error.code === "ERR_HTTP_REQUEST_TIMEOUT"
      ? new HttpError(408, "request_timeout", "the request did not arrive in time")
      : error.code === "HPE_HEADER_OVERFLOW"
        ? new HttpError(431, "headers_too_large", "the headers are too large")
        : new HttpError(400, "bad_request", "this is not a HTTP request");
  const body = JSON.stringify({ error: { code, message } });
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}
