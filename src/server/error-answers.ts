import { STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import type { FastifyError, FastifyReply, FastifyRequest } from "fastify";
import { UserError } from "../core/errors.ts";
import { errorBody, HttpError } from "./errors.ts";

/** Codes of Fastify and its multipart plugin that have a better name or message here. */
const known: Readonly<Record<string, (error: FastifyError) => HttpError>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: () =>
    new HttpError(
      415,
      "unsupported_media_type",
      "Content-Type: expected multipart/form-data, application/json, image/* or application/octet-stream",
    ),
  FST_ERR_CTP_BODY_TOO_LARGE: () => new HttpError(413, "too_large", "the body is larger than is allowed for its content type"),
  FST_REQ_FILE_TOO_LARGE: () => new HttpError(413, "too_large", "a file is larger than a body may be"),
  FST_FILES_LIMIT: () => new HttpError(413, "too_many_images", "the request has more images than are allowed"),
  FST_PARTS_LIMIT: () => new HttpError(413, "too_many_images", "the request has more parts than are allowed"),
};

/** What is answered to anything thrown. Of our own failures no more is said than that: the log has the rest. */
export function httpErrorOf(error: unknown): HttpError {
  if (error instanceof HttpError) return error;
  if (error instanceof UserError) return new HttpError(400, "bad_request", error.message);
  if (error instanceof Error && "statusCode" in error) {
    const fastifyError = error as FastifyError;
    const status = fastifyError.statusCode ?? 500;
    const named = known[fastifyError.code]?.(fastifyError);
    if (named) return named;
    if (status >= 400 && status < 500) return new HttpError(status, "bad_request", error.message);
  }
  return new HttpError(500, "internal", "this is the server's failure, please report it: its log has the details");
}

/** Answers with an error. Under /v2 its body is `{"error":"message"}`, as the Open Inference Protocol has it. */
export function sendError(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const httpError = httpErrorOf(error);
  if (httpError.status === 500) request.log.error({ err: error }, "failed");
  const { retryAfterSeconds } = httpError.more;
  if (retryAfterSeconds !== undefined) reply.header("retry-after", retryAfterSeconds);
  // What is left of the body is not read.
  if (!request.raw.complete) reply.header("connection", "close");
  return reply
    .code(httpError.status)
    .type("application/json; charset=utf-8")
    .send(isV2(request) ? { error: httpError.message } : errorBody(httpError));
}

const isV2 = ({ url }: FastifyRequest): boolean => /^\/v2(?![^/?#])/.test(url);

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
