import { messageOf, UserError } from "../../core/errors.ts";
import { readPicture, readPictureHeader } from "../../data/images.ts";
import type { Picture } from "../../data/picture.ts";
import { HttpError, type RefusedImage } from "../errors.ts";

/** A picture file as it came. */
export interface EncodedImage {
  readonly bytes: Uint8Array;
  /** As the request calls it. */
  readonly file?: string;
}

/**
 * The pixels of each image, from its header alone.
 * Errors: HttpError 400 that names every image that is none, 413 those that are too large.
 */
export async function pixelCounts(images: readonly EncodedImage[], mostPixels: number): Promise<readonly number[]> {
  const counts = await eachImage(images, async ({ bytes }) => (await readPictureHeader(bytes)).pixelCount);
  const tooLarge = counts.flatMap((count, index) =>
    count > mostPixels ? [refused(images, index, `it has ${count} pixels, more than the ${mostPixels} that are allowed`)] : [],
  );
  if (tooLarge.length > 0) throw new HttpError(413, "image_too_large", listing(tooLarge), { images: tooLarge });
  return counts;
}

/** Decodes as `sdim predict` does, in sharp's threads. Errors: HttpError 400 that names every image that cannot be read. */
export const decode = (images: readonly EncodedImage[], channels: 1 | 3): Promise<readonly Picture[]> =>
  eachImage(images, ({ bytes }) => readPicture(bytes, channels));

async function eachImage<T>(images: readonly EncodedImage[], work: (image: EncodedImage) => Promise<T>): Promise<readonly T[]> {
  const results = await Promise.allSettled(images.map(work));
  const broken = results.flatMap((result, index) => {
    if (result.status === "fulfilled") return [];
    if (!(result.reason instanceof UserError)) throw result.reason;
    return [refused(images, index, messageOf(result.reason).replace(/^image: /, ""))];
  });
  if (broken.length > 0) throw new HttpError(400, "broken_image", listing(broken), { images: broken });
  return results.map((result) => (result as PromiseFulfilledResult<T>).value);
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
