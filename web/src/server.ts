import type { FetchProgress } from "../../src/browser.ts";
import { messageOf } from "./words.ts";

// What the page asks of the server it is from (its content policy lets it ask nobody else), with the API key where there is one.

/** As the user gave it. In memory only: it is gone when the page is closed or loaded anew. */
let apiKey: string | undefined;
const listeners = new Set<() => void>();

/** The server wants an API key, or another one than it was given. */
export class KeyWanted extends Error {}

/** Calls `listener` whenever an answer says that a key is wanted. Returns what ends that. */
export function onKeyWanted(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export const absolute = (url: string): string => new URL(url, document.baseURI).href;

const withKey = (key: string | undefined): HeadersInit => (key === undefined ? {} : { "x-api-key": key });

/** Keeps a key that the server takes. Returns why it does not, for the reader. */
export async function offerKey(given: string): Promise<string | undefined> {
  const key = given.trim();
  if (!/^[\x21-\x7e]+$/.test(key)) return "An API key has no blanks and only ASCII characters.";
  try {
    const { status } = await fetch(absolute("v1/models"), { headers: withKey(key) });
    if (status === 401) return "The server refused this key.";
  } catch (error) {
    return `The server cannot be asked: ${messageOf(error)}`;
  }
  apiKey = key;
  return undefined;
}

/** Errors: KeyWanted, and what to tell the reader where there is no answer. */
async function ask(url: string, signal?: AbortSignal): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(absolute(url), { headers: withKey(apiKey), signal: signal ?? null });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Error(`${url}: cannot be fetched: ${messageOf(error)}`, { cause: error });
  }
  if (response.status !== 401) return response;
  for (const listener of listeners) listener();
  throw new KeyWanted(`${url}: the server asks for its API key`);
}

export type Answer =
  | { readonly kind: "json"; readonly json: unknown }
  /** A static host answers with 404, or with a page; our server with 404 where it has no such thing. */
  | { readonly kind: "nothing" }
  | { readonly kind: "refused"; readonly message: string };

/** Errors: as `ask`. */
export async function askForJson(url: string): Promise<Answer> {
  const response = await ask(url);
  const isJson = (response.headers.get("content-type") ?? "").includes("json");
  if (response.status === 404 || (!isJson && response.status < 500)) return { kind: "nothing" };
  if (response.ok) return { kind: "json", json: await response.json() };
  const error = isJson ? ((await response.json()) as { readonly error?: { readonly message?: string } }).error?.message : undefined;
  return { kind: "refused", message: `The server answered ${response.status}${error === undefined ? "" : `: ${error}`}` };
}

/** A model's file, to be loaded. Errors: as `ask`, and what to tell the reader where it is not there. */
export async function fetchModelFile(url: string, signal: AbortSignal, onProgress: FetchProgress): Promise<File> {
  const response = await ask(url, signal);
  const { body, headers } = response;
  if (!response.ok || !body) throw new Error(`${url}: expected the model file, the server answered ${response.status}`);
  // Of what is unpacked on its way there is no telling beforehand.
  const length = headers.has("content-encoding") ? null : headers.get("content-length");
  let loaded = 0;
  const counted = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
    transform(chunk, controller) {
      loaded += chunk.length;
      onProgress(loaded, length === null ? undefined : Number(length));
      controller.enqueue(chunk);
    },
  });
  return new File([await new Response(body.pipeThrough(counted)).blob()], url);
}
