import { messageOf, UserError } from "../core/errors.ts";

/** Bytes so far, and all of them where the server says how many there are. */
export type FetchProgress = (loaded: number, total: number | undefined) => void;

/** Of a model file: an endless answer ends here. */
const mostBytes = 1e9;

/** A model's bytes and what to call it. Errors: UserError with the URL and the server's answer. */
export async function fetchModel(
  model: string | URL | Uint8Array | ArrayBuffer | Blob,
  onProgress?: FetchProgress,
  signal?: AbortSignal,
): Promise<{ readonly bytes: Uint8Array; readonly source: string }> {
  if (model instanceof Uint8Array) return { bytes: model, source: "model" };
  if (model instanceof ArrayBuffer) return { bytes: new Uint8Array(model), source: "model" };
  if (model instanceof Blob)
    return { bytes: new Uint8Array(await model.arrayBuffer()), source: model instanceof File ? model.name : "model" };
  const source = String(model);
  try {
    const response = await fetch(model, { signal: signal ?? null });
    if (!response.ok || !response.body) throw new UserError(`${source}: expected the model file, the server answered ${response.status}`);
    return { bytes: await readAll(response.body, totalOf(response), source, onProgress), source };
  } catch (error) {
    if (error instanceof UserError || signal?.aborted) throw error;
    throw new UserError(`${source}: cannot be fetched: ${messageOf(error)}`, { cause: error });
  }
}

/** Of what is unpacked there is no telling beforehand. */
function totalOf({ headers }: Response): number | undefined {
  const length = headers.get("content-length");
  return length === null || headers.has("content-encoding") ? undefined : Number(length);
}

async function readAll(
  body: ReadableStream<Uint8Array>,
  total: number | undefined,
  source: string,
  onProgress?: FetchProgress,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let loaded = 0;
  const reader = body.getReader();
  for (let read = await reader.read(); !read.done; read = await reader.read()) {
    chunks.push(read.value);
    loaded += read.value.length;
    if (loaded > mostBytes) {
      await reader.cancel();
      throw new UserError(`${source}: more than ${mostBytes} bytes: no model file`);
    }
    onProgress?.(loaded, total);
  }
  const bytes = new Uint8Array(loaded);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}
