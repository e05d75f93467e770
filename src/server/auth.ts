import { createHash, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { messageOf, UserError } from "../core/errors.ts";
import { HttpError } from "./errors.ts";

/** Shorter keys can be guessed. */
const shortestKey = 16;

/** The key of a file or, without one, of the environment; undefined where there is neither. Errors: UserError. */
export function readApiKey(file: string | undefined, environment: string | undefined): string | undefined {
  if (file === undefined && environment === undefined) return undefined;
  const [key, where] = file === undefined ? [environment!, "SDIM_API_KEY"] : [readKeyFile(file), file];
  const trimmed = key.trim();
  if (trimmed.length < shortestKey) throw new UserError(`${where}: expected an API key of at least ${shortestKey} characters`);
  if (!/^[\x21-\x7e]+$/.test(trimmed)) throw new UserError(`${where}: an API key has no blanks and only ASCII characters`);
  return trimmed;
}

function readKeyFile(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new UserError(`cannot read the API key ${file}: ${messageOf(error)}`, { cause: error });
  }
}

const digest = (text: string): Buffer => createHash("sha256").update(text).digest();

/** Asks for the key on every route of `app`: `Authorization: Bearer KEY` or `X-API-Key: KEY`, compared in constant time. */
export function requireApiKey(app: FastifyInstance, key: string): void {
  const expected = digest(key);
  app.addHook("onRequest", async (request) => {
    const given = keyOf(request);
    if (given !== undefined && timingSafeEqual(digest(given), expected)) return;
    throw new HttpError(401, "unauthorized", "expected the API key, as `Authorization: Bearer KEY` or `X-API-Key: KEY`", {
      headers: { "www-authenticate": 'Bearer realm="sdim"' },
    });
  });
}

function keyOf({ headers }: FastifyRequest): string | undefined {
  const own = headers["x-api-key"];
  if (typeof own === "string") return own;
  return /^Bearer +(\S+)$/i.exec(headers.authorization ?? "")?.[1];
}
