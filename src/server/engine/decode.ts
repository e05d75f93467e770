import { messageOf, UserError } from "../../core/errors.ts";
import { readPicture, readPictureHeader } from "../../data/images.ts";
import type { Picture } from "../../data/picture.ts";
import { HttpError, type RefusedImage } from "../errors.ts";

/** A picture file as it came, or why it could not be taken out of the request. */
export type EncodedImage = {
  /** As the request calls it. */
  readonly file?: string;
} & ({ readonly bytes: Uint8Array } | { readonly problem: string });

interface Broken {
  readonly kind: "broken";
  readonly reason: string;
}

/** What an image's header says of it. */
export type Header = { readonly kind: "good" | "too-large"; readonly pixelCount: number } | Broken;

/**
 * Of each image, from its header alone; nothing is unpacked. Errors: HttpError 413 that names those with more than `mostPixels`, where no
 * image is broken; which are is not known before `decode`.
 */
export async function readHeaders(images: readonly EncodedImage[], mostPixels: number): Promise<readonly Header[]> {
  const headers = await eachImage(images, async (image): Promise<Header> => {
    const { pixelCount } = await readPictureHeader(bytesOf(image));
    return { kind: pixelCount > mostPixels ? "too-large" : "good", pixelCount };
  });
  if (headers.some(({ kind }) => kind === "broken")) return headers;
  const tooLarge = headers.flatMap((header, index) =>
    header.kind === "too-large"
      ? [refused(images, index, `it has ${header.pixelCount} pixels, more than the ${mostPixels} that are allowed`)]
      : [],
  );
  if (tooLarge.length > 0) throw new HttpError(413, "image_too_large", listing(tooLarge), { images: tooLarge });
  return headers;
}

/** So much is unpacked by `decode`. */
export const unpackedPixels = (headers: readonly Header[]): number =>
  headers.reduce((total, header) => total + (header.kind === "good" ? header.pixelCount : 0), 0);

/**
 * Decodes as `sdim predict` does, in sharp's threads. Where a header is broken, the images with a good one are still decoded, so that the
 * sender learns at once of all that are broken. Errors: HttpError 400 that names each, whether its header or its body is.
 */
export async function decode(images: readonly EncodedImage[], headers: readonly Header[], channels: 1 | 3): Promise<readonly Picture[]> {
  const outcomes = await eachImage(images, async (image, index) => {
    const header = headers[index]!;
    return header.kind === "good" ? ({ kind: "decoded", picture: await readPicture(bytesOf(image), channels) } as const) : header;
  });
  const broken = outcomes.flatMap((outcome, index) => (outcome.kind === "broken" ? [refused(images, index, outcome.reason)] : []));
  if (broken.length > 0) throw new HttpError(400, "broken_image", listing(broken), { images: broken });
  return outcomes.flatMap((outcome) => (outcome.kind === "decoded" ? [outcome.picture] : []));
}

/** Errors: UserError where the request held none. */
function bytesOf(image: EncodedImage): Uint8Array {
  if ("problem" in image) throw new UserError(image.problem);
  return image.bytes;
}

/** `work` on each; what is the image's fault is an outcome. Errors: any other, once all have ended. */
async function eachImage<T>(
  images: readonly EncodedImage[],
  work: (image: EncodedImage, index: number) => Promise<T>,
): Promise<readonly (T | Broken)[]> {
  const results = await Promise.allSettled(images.map(work));
  return results.map((result) => {
    if (result.status === "fulfilled") return result.value;
    if (!(result.reason instanceof UserError)) throw result.reason;
    return { kind: "broken", reason: messageOf(result.reason).replace(/^image: /, "") };
  });
}

function refused(images: readonly EncodedImage[], index: number, reason: string): RefusedImage {
  const { file } = images[index]!;
  return { index, ...(file === undefined ? {} : { file }), reason };
}

/** Of many, the message names the first; the body's list has them all. */
function listing(images: readonly RefusedImage[]): string {
  const { index, file, reason } = images[0]!;
  const rest = images.length > 1 ? ` (and ${images.length - 1} more)` : "";
  return `image ${index}${file === undefined ? "" : ` (${file})`}: ${reason}${rest}`;
}
