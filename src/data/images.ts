import sharp from "sharp";
import { messageOf, UserError } from "../core/errors.ts";

/** One picture: uint8 [height, width, channels]. */
export interface Picture {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  readonly pixels: Uint8Array;
}

/** What is read, and said to be. sharp would take more (SVG, AVIF, ...), depending on how it was built. */
const formats: readonly string[] = ["png", "jpeg", "webp", "gif", "tiff"];
const accepted = "expected PNG, JPEG, WebP, GIF or TIFF";

/** 100 megapixels: more is refused before it is unpacked. */
const mostPixels = 100e6;

/**
 * Decodes a picture file (PNG, JPEG, WebP, GIF, TIFF) or its bytes as grey (1) or RGB (3): turned upright by its EXIF rotation, what is
 * transparent on black (the background of digits and garments). Errors: UserError that names the file.
 */
export async function readPicture(
  source: string | Uint8Array,
  channels: 1 | 3,
  name = typeof source === "string" ? source : "image",
): Promise<Picture> {
  try {
    const image = sharp(source, { limitInputPixels: mostPixels, failOn: "error" });
    const { format } = await image.metadata();
    if (!formats.includes(format)) throw new UserError(`${name}: ${accepted}, got ${format}`);
    const upright = image.rotate().flatten({ background: "#000" });
    const { data, info } = await (channels === 1 ? upright.toColourspace("b-w") : upright.toColourspace("srgb"))
      .raw()
      .toBuffer({ resolveWithObject: true });
    if (info.channels !== channels) throw new UserError(`${name}: expected ${channels} channel(s), got ${info.channels}`);
    return { height: info.height, width: info.width, channels, pixels: new Uint8Array(data) };
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`${name}: cannot be read as an image: ${accepted} (${messageOf(error)})`, {
      cause: error,
    });
  }
}

/** A PNG of uint8 pixels [height, width, channels]. */
export async function encodePng({ pixels, height, width, channels }: Picture): Promise<Buffer> {
  return sharp(pixels, { raw: { width, height, channels: channels as 1 | 3 } })
    .png()
    .toBuffer();
}
