import { type FileHandle, open, stat } from "node:fs/promises";
import { availableParallelism } from "node:os";
import sharp, { type Metadata, type Sharp } from "sharp";
import { messageOf, UserError } from "../core/errors.ts";
import { unexpected } from "../core/kinds.ts";
import { longestSide } from "../core/resize.ts";
import { bmpHeaderBytes, decodeBmp, isBmp, parseBmpHeader } from "./bmp.ts";
import type { Picture } from "./picture.ts";

export type { Picture } from "./picture.ts";

/** Pictures being read at once. */
export const readAtOnce = Math.min(8, Math.max(2, availableParallelism()));

/** What is read, and said to be. sharp would take more (SVG, AVIF, ...), depending on how it was built. */
const formats: readonly string[] = ["png", "jpeg", "webp", "gif", "tiff"];
const depths: readonly string[] = ["uchar", "ushort"];
const accepted = "expected PNG, JPEG, WebP, GIF, TIFF or BMP";

/** 100 megapixels: more is refused before it is unpacked. */
export const mostPixels = 100e6;
/** Of an uncompressed file: 32 bits per pixel and the largest header there is. */
const mostBmpBytes = 4 * mostPixels + 4096;

/**
 * Decodes a picture file (PNG, JPEG, WebP, GIF, TIFF, uncompressed BMP) or its bytes as grey (1) or RGB (3): turned upright by its EXIF
 * rotation, what is transparent on black (the background of digits and garments). Errors: UserError that names the file.
 */
export async function readPicture(
  source: string | Uint8Array,
  channels: 1 | 3,
  name = typeof source === "string" ? source : "image",
): Promise<Picture> {
  if (channels !== 1 && channels !== 3) throw unexpected("channels", "1 (grey) or 3 (RGB)", channels);
  return reading(name, async () => {
    const upright = (await opened(source, name)).rotate().flatten({ background: "#000" });
    const { data, info } = await (channels === 1 ? upright.toColourspace("b-w") : upright.toColourspace("srgb"))
      .raw()
      .toBuffer({ resolveWithObject: true });
    if (info.channels !== channels) throw new UserError(`${name}: expected ${channels} channel(s), got ${info.channels}`);
    return { height: info.height, width: info.width, channels, pixels: new Uint8Array(data.buffer, data.byteOffset, data.length) };
  });
}

/** What a picture's header says, before it is unpacked. */
export interface PictureHeader {
  readonly pixelCount: number;
  /** Whether it is stored without colour. A grey picture may still be stored as colour. */
  readonly isStoredGrey: boolean;
}

/** Of a file or its bytes, also where it has more than `mostPixels`. Errors: UserError that names the file. */
export async function readPictureHeader(
  source: string | Uint8Array,
  name = typeof source === "string" ? source : "image",
): Promise<PictureHeader> {
  return reading(name, async () => {
    const parse = (start: Uint8Array) => parseBmpHeader(start, Number.POSITIVE_INFINITY, name);
    const bmp =
      typeof source === "string" ? await withBmp(source, (_file, start) => parse(start)) : isBmp(source) ? parse(source) : undefined;
    if (bmp) return { pixelCount: bmp.width * bmp.height, isStoredGrey: false };
    const { width, height, space } = await headerOf(source, name);
    return { pixelCount: width * height, isStoredGrey: space === "b-w" || space === "grey16" };
  });
}

/** What is wrong with a picture, without its name. Errors: whatever is not the picture's fault. */
export function reasonOf(error: unknown, name: string): string {
  if (!(error instanceof UserError)) throw error;
  return error.message.replace(`${name}: `, "");
}

/** Decoders say the same several times, in lines. */
const inOneLine = (text: string): string =>
  [...new Set(text.split("\n").map((line) => line.trim()))].filter((line) => line !== "").join("; ");

async function reading<T>(name: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof UserError) throw error;
    if ((error as NodeJS.ErrnoException).code === "ENOENT") throw new UserError(`${name}: there is no such file`, { cause: error });
    throw new UserError(`${name}: cannot be read as an image: ${accepted} (${inOneLine(messageOf(error))})`, {
      cause: error,
    });
  }
}

async function opened(source: string | Uint8Array, name: string): Promise<Sharp> {
  const check = (start: Uint8Array) => checkSize(parseBmpHeader(start, Number.POSITIVE_INFINITY, name), name);
  const readBmp = (file: FileHandle, start: Uint8Array) => {
    check(start);
    return contentOfBmp(file, name);
  };
  const bmp = typeof source === "string" ? await withBmp(source, readBmp) : isBmp(source) ? source : undefined;
  if (bmp) {
    check(bmp);
    const { pixels, width, height, channels } = decodeBmp(bmp, mostPixels, name);
    return sharp(pixels, { raw: { width, height, channels: channels as 3 | 4 } });
  }
  checkSize(await headerOf(source, name), name);
  return sharp(source, { limitInputPixels: mostPixels, failOn: "error" });
}

/** What sharp reads of a file's header; nothing is unpacked, so there is no limit to its size (sharp's own error would not say which it is). */
async function headerOf(source: string | Uint8Array, name: string): Promise<Metadata> {
  const header = await sharp(source, { limitInputPixels: false, failOn: "error" }).metadata();
  if (!formats.includes(header.format)) throw new UserError(`${name}: ${accepted}, got ${header.format}`);
  // Other numbers (of TIFFs: 32 bits, floats) have no range that says what is white; sharp would clip them to bytes.
  if (!depths.includes(header.depth)) throw new UserError(`${name}: expected 8 or 16 bits per value, got ${header.depth}`);
  return header;
}

function checkSize({ width, height }: { readonly width: number; readonly height: number }, name: string): void {
  if (width * height > mostPixels)
    throw new UserError(`${name}: ${width} x ${height} pixels, more than the ${mostPixels.toLocaleString("en")} that are read`);
  if (Math.max(width, height) > longestSide)
    throw new UserError(`${name}: ${width} x ${height} pixels, more on a side than the ${longestSide.toLocaleString("en")} that are read`);
}

/** What `use` makes of a BMP file and its first bytes; undefined for a file of another kind. */
async function withBmp<T>(path: string, use: (file: FileHandle, start: Uint8Array) => T | Promise<T>): Promise<T | undefined> {
  // Opening a pipe would wait for someone to write into it.
  if (!(await stat(path)).isFile()) throw new UserError(`${path}: not a file`);
  const file = await open(path, "r");
  try {
    const { buffer, bytesRead } = await file.read(new Uint8Array(bmpHeaderBytes), 0, bmpHeaderBytes, 0);
    const start = buffer.subarray(0, bytesRead);
    return isBmp(start) ? await use(file, start) : undefined;
  } finally {
    await file.close();
  }
}

async function contentOfBmp(file: FileHandle, name: string): Promise<Uint8Array> {
  const { size } = await file.stat();
  if (size > mostBmpBytes) throw new UserError(`${name}: a BMP of ${size} bytes: more than the ${mostBmpBytes} that are read at most`);
  const content = new Uint8Array(size);
  const { bytesRead } = await file.read(content, 0, size, 0);
  return content.subarray(0, bytesRead);
}

/** A PNG of uint8 pixels [height, width, channels]. */
export async function encodePng({ pixels, height, width, channels }: Picture): Promise<Buffer> {
  return sharp(pixels, { raw: { width, height, channels: channels as 1 | 3 } })
    .png()
    .toBuffer();
}
