import type { FastifyInstance } from "fastify";
import { UserError } from "../core/errors.ts";

/** Any origin. */
const any = "*";

/** Headers that a page of another origin needs leave to send, and to read. */
const sent = "authorization, content-type, if-none-match, inference-header-content-length, x-api-key";
const read = "allow, etag, inference-header-content-length, retry-after, www-authenticate";

/** For so long browsers need not ask again; none of them keeps it longer. */
const preflightSeconds = 7200;

/** Errors: UserError for what is no origin as browsers write it. */
export function requireOrigins(origins: readonly string[]): void {
  for (const origin of origins) {
    const written = URL.canParse(origin) ? originOf(new URL(origin)) : undefined;
    if (origin === any || origin === written) continue;
    const advice = written === undefined ? "" : `; did you mean ${written}?`;
    throw new UserError(
      `--cors: expected origins such as https://example.com or http://localhost:5173 (scheme, host, port, nothing after it), or *, got "${origin}"${advice}`,
    );
  }
}

/** Undefined where there is no host, as in `localhost:5173`. Not `origin`, which is "null" of schemes that only some programs have. */
const originOf = ({ protocol, host }: URL): string | undefined => (host === "" ? undefined : `${protocol}//${host}`);

/**
 * Lets pages of these origins ask and read the answers (CORS). Browsers ask first whether they may (a preflight), without the API key: that is
 * answered here, before the key is asked for. No cookie is taken, so any origin may be allowed.
 */
export function allowOrigins(app: FastifyInstance, origins: readonly string[]): void {
  const isAny = origins.includes(any);
  app.addHook("onRequest", async (request, reply) => {
    if (!isAny) reply.header("vary", "Origin");
    const { origin, "access-control-request-method": wanted } = request.headers;
    if (origin === undefined || !(isAny || origins.includes(origin))) return;
    reply.header("access-control-allow-origin", isAny ? any : origin).header("access-control-expose-headers", read);
    const methods = app.methodsOf(request.url.split("?")[0]!);
    if (request.method !== "OPTIONS" || wanted === undefined || methods.length === 0) return;
    return reply
      .code(204)
      .headers({
        "access-control-allow-methods": methods.join(", "),
        "access-control-allow-headers": sent,
        "access-control-max-age": preflightSeconds,
      })
      .send();
  });
}
