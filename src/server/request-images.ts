import type { FastifyInstance, FastifyRequest } from "fastify";
import { messageOf } from "../core/errors.ts";
import { problemsIn } from "../core/problems.ts";
import type { EncodedImage } from "./engine/decode.ts";
import { tooManyImages } from "./engine/service.ts";
import { HttpError, noImages } from "./errors.ts";
import type { Limits } from "./options.ts";
import { bodyTooLarge } from "./reserve.ts";
import { jsonImages } from "./schemas.ts";

/** Takes raw images as they are: image/* and application/octet-stream. */
export function acceptRawImages(app: FastifyInstance, { bodyBytes }: Limits): void {
  app.addContentTypeParser(/^(image\/|application\/octet-stream)/, { parseAs: "buffer", bodyLimit: bodyBytes }, (_request, body, done) =>
    done(null, body),
  );
}

/**
 * The images of a request: the files of multipart/form-data, the strings of a JSON body, or the raw body.
 * Errors: HttpError 400 for a body that is not as expected, 413 for one too large or with too many images.
 */
export async function imagesOf(request: FastifyRequest, limits: Limits): Promise<readonly EncodedImage[]> {
  if (request.isMultipart()) return imagesOfForm(request, limits);
  if (Buffer.isBuffer(request.body)) {
    if (request.body.length === 0) throw noImages("an empty body");
    return [{ bytes: request.body }];
  }
  if (request.body === undefined) throw noImages("no body");
  requireFewImages(request.body, limits.imagesPerRequest);
  const parsed = jsonImages.safeParse(request.body);
  if (!parsed.success) throw new HttpError(400, "bad_request", problemsIn("body", parsed.error, request.body));
  return parsed.data.images.map(fromBase64);
}

/** Before the schema looks at each of them: a million that are none would keep everyone waiting. */
function requireFewImages(body: unknown, most: number): void {
  const images = typeof body === "object" && body !== null && "images" in body ? body.images : undefined;
  if (Array.isArray(images) && images.length > most) throw tooManyImages(most);
}

async function imagesOfForm(request: FastifyRequest, limits: Limits): Promise<readonly EncodedImage[]> {
  try {
    return await filesOf(request, limits);
  } catch (error) {
    // What the parser says of a malformed body has neither a code nor a status.
    if (error instanceof HttpError || (error instanceof Error && "statusCode" in error)) throw error;
    throw new HttpError(400, "bad_request", `multipart body: ${messageOf(error)}`);
  }
}

async function filesOf(request: FastifyRequest, limits: Limits): Promise<readonly EncodedImage[]> {
  const { bodyBytes, imagesPerRequest } = limits;
  const images: EncodedImage[] = [];
  let total = 0;
  for await (const part of request.parts()) {
    if (part.type === "field") {
      throw new HttpError(400, "bad_request", `field "${part.fieldname.slice(0, 100)}": expected files only (curl -F image=@digit.png)`);
    }
    if (images.length === imagesPerRequest) throw tooManyImages(imagesPerRequest);
    const bytes = await part.toBuffer();
    total += bytes.length;
    if (total > bodyBytes) throw bodyTooLarge(request, limits);
    images.push({ bytes, file: part.filename.slice(0, 200) });
  }
  if (images.length === 0) throw noImages("a form without files");
  return images;
}

/** As pages have it: `data:image/png;base64,` before the base64. */
const dataUrl = /^data:[^,]{0,200};base64,/i;

/** Node passes over what is not base64; the length tells. */
function fromBase64(text: string): EncodedImage {
  const base64 = text.slice(dataUrl.exec(text.slice(0, 300))?.[0].length ?? 0);
  const bytes = Buffer.from(base64, "base64");
  const digits = base64.endsWith("==") ? base64.length - 2 : base64.endsWith("=") ? base64.length - 1 : base64.length;
  const isBase64 = bytes.length > 0 && bytes.length === Math.floor((digits * 3) / 4) && digits % 4 !== 1;
  return isBase64
    ? { bytes }
    : { problem: 'not in base64: expected a picture file\'s bytes in base64, as they are or after "data:image/png;base64,"' };
}
