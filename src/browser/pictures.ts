import { imageSize } from "image-size";
import { messageOf, UserError } from "../core/errors.ts";
import { longestSide } from "../core/resize.ts";
import { decodeBmp, isBmp } from "../data/bmp.ts";
import { luminance } from "../data/luminance.ts";
import type { Picture } from "../data/picture.ts";

/** What can be classified: a picture file, something a page shows, or pixels. */
export type BrowserImage = Blob | ImageData | HTMLImageElement | HTMLCanvasElement | OffscreenCanvas | ImageBitmap | Picture;

const formats: readonly string[] = ["png", "jpg", "webp", "gif", "bmp"];
const expected = "expected PNG, JPEG, WebP, GIF or BMP";

/** As in Node: 100 megapixels; more is refused before it is unpacked. */
const mostPixels = 100e6;
/** A file that is larger has more pixels or is no picture. */
const mostBytes = 512e6;
/** Pixels that are copied from the browser's picture at a time. */
const stripPixels = 1 << 20;

/**
 * An image as the model takes it, grey (1) or RGB (3), by the rules of `readPicture` in Node: turned upright by its EXIF rotation, what is
 * transparent on black, colour to grey by luminance. docs/browser.md says how far the two may differ.
 * Errors: UserError that names the image (`name`; a File's own where it is not given) and what is wrong with it.
 */
export async function pictureOf(image: BrowserImage, channels: 1 | 3, name?: string): Promise<Picture> {
  if (image instanceof Blob) return pictureOfFile(image, channels, name ?? (image instanceof File ? image.name : "image"));
  const called = name ?? "image";
  if ("pixels" in image) return pictureOfPixels(image, channels, called);
  if (image instanceof ImageData) return converted(image.data, image.width, image.height, channels);
  const [width, height] =
    "naturalWidth" in image ? [image.naturalWidth, image.naturalHeight] : ([image.width, image.height] as [number, number]);
  return drawn(image, width, height, channels, called);
}

async function pictureOfFile(file: Blob, channels: 1 | 3, name: string): Promise<Picture> {
  if (file.size > mostBytes) throw new UserError(`${name}: ${file.size} bytes: more than the ${mostBytes} that are read at most`);
  const bytes = await bytesOf(file, name);
  checkHeader(bytes, name);
  if (isBmp(bytes)) {
    const { pixels, width, height, channels: stored } = decodeBmp(bytes, mostPixels, name);
    return pictureOfPixels({ pixels, width, height, channels: stored }, channels, name);
  }
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch (error) {
    throw new UserError(`${name}: cannot be read as an image: it is damaged or cut short (${messageOf(error)})`, { cause: error });
  }
  try {
    return drawn(bitmap, bitmap.width, bitmap.height, channels, name);
  } finally {
    bitmap.close();
  }
}

async function bytesOf(file: Blob, name: string): Promise<Uint8Array> {
  try {
    return new Uint8Array(await file.arrayBuffer());
  } catch (error) {
    // A folder that was dropped, a file that is gone.
    throw new UserError(`${name}: the browser cannot read it: ${messageOf(error)}`, { cause: error });
  }
}

/** Errors: UserError when the file's first bytes are not those of a picture that is read, or say that it is too large. */
function checkHeader(bytes: Uint8Array, name: string): void {
  let header: ReturnType<typeof imageSize>;
  try {
    header = imageSize(bytes);
  } catch (error) {
    throw new UserError(`${name}: cannot be read as an image: ${expected} (${messageOf(error)})`, { cause: error });
  }
  const { type = "an unknown format", width, height } = header;
  if (!formats.includes(type)) throw new UserError(`${name}: ${expected}, got ${type}`);
  checkSize(width, height, name);
}

function checkSize(width: number, height: number, name: string): void {
  if (!(width > 0 && height > 0)) throw new UserError(`${name}: a picture of ${width} x ${height} pixels: nothing to see`);
  if (width * height > mostPixels) {
    const megapixels = (width * height) / 1e6;
    throw new UserError(
      `${name}: ${width} x ${height} pixels are ${megapixels.toFixed(0)} megapixels, more than the 100 that are read at most`,
    );
  }
  if (Math.max(width, height) > longestSide)
    throw new UserError(`${name}: ${width} x ${height} pixels, more on a side than the ${longestSide} that are read at most`);
}

function pictureOfPixels({ pixels, width, height, channels: stored }: Picture, channels: 1 | 3, name: string): Picture {
  checkSize(width, height, name);
  if (![1, 3, 4].includes(stored) || pixels.length !== width * height * stored) {
    throw new UserError(`${name}: expected ${height} x ${width} pixels of 1, 3 or 4 channels, got ${pixels.length} values in ${stored}`);
  }
  if (stored === channels) return { width, height, channels, pixels };
  const rgba = new Uint8Array(4 * width * height).fill(255);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) rgba[4 * i + c] = pixels[stored * i + (stored === 1 ? 0 : c)]!;
    if (stored === 4) rgba[4 * i + 3] = pixels[4 * i + 3]!;
  }
  return converted(rgba, width, height, channels);
}

/** What the browser shows of `source`, on black; strip by strip, so that a large picture is not held twice. */
function drawn(source: CanvasImageSource, width: number, height: number, channels: 1 | 3, name: string): Picture {
  checkSize(width, height, name);
  const rows = Math.max(1, Math.min(height, Math.floor(stripPixels / width)));
  const canvas = new OffscreenCanvas(width, rows);
  // Without `willReadFrequently` the strip may lie on a GPU, which need not keep values exactly.
  const context = canvas.getContext("2d", { alpha: false, willReadFrequently: true });
  if (!context) throw new UserError(`${name}: the browser gave no canvas of ${width} x ${rows} pixels to read it with`);
  const pixels = new Uint8Array(width * height * channels);
  try {
    for (let y = 0; y < height; y += rows) {
      const count = Math.min(rows, height - y);
      context.fillRect(0, 0, width, rows);
      context.drawImage(source, 0, y, width, count, 0, 0, width, count);
      const strip = converted(context.getImageData(0, 0, width, count).data, width, count, channels);
      pixels.set(strip.pixels, y * width * channels);
    }
  } catch (error) {
    throw new UserError(
      `${name}: the page may not read its pixels; serve it from the page's own origin or with CORS (${messageOf(error)})`,
      {
        cause: error,
      },
    );
  }
  return { width, height, channels, pixels };
}

/** RGBA on black, as grey or RGB. */
function converted(rgba: ArrayLike<number>, width: number, height: number, channels: 1 | 3): Picture {
  const pixels = new Uint8Array(width * height * channels);
  for (let i = 0; i < width * height; i++) {
    const alpha = rgba[4 * i + 3]!;
    // Rounded down, as Node's reader does.
    const red = Math.floor((rgba[4 * i]! * alpha) / 255);
    const green = Math.floor((rgba[4 * i + 1]! * alpha) / 255);
    const blue = Math.floor((rgba[4 * i + 2]! * alpha) / 255);
    if (channels === 1) {
      pixels[i] = luminance(red, green, blue);
    } else {
      pixels[3 * i] = red;
      pixels[3 * i + 1] = green;
      pixels[3 * i + 2] = blue;
    }
  }
  return { width, height, channels, pixels };
}
