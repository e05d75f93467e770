import { UserError } from "../core/errors.ts";
import type { Picture } from "./picture.ts";

// sharp does not read BMP. The MIT readers on npm do not fit: fast-bmp takes only the newest of the headers, bmp-ts allocates what a
// header asks for before it looks whether the file holds it.

/** Numbers that say how the pixels of a BMP are stored. */
export interface BmpHeader {
  readonly width: number;
  readonly height: number;
  /** Rows are stored from the bottom up unless the height is negative. */
  readonly isTopDown: boolean;
  /** Bits per pixel: up to 8 through a palette, 24 and 32 directly. */
  readonly bits: number;
  /** Whether the fourth byte of a pixel is its opacity. */
  readonly hasAlpha: boolean;
  /** Where the palette and the pixels begin. */
  readonly palette: number;
  readonly pixels: number;
}

const fileHeader = 14;
/** BITMAPINFOHEADER, the shortest that is read; its extensions (V2 to V5) begin with the same fields. */
const infoHeader = 40;
export const bmpHeaderBytes = 128;
const compressions = { none: 0, bitFields: 3, alphaBitFields: 6 } as const;
/** Where the masks of 32-bit pixels lie, and those of blue, green, red, opacity in this order of bytes. */
const masks = { at: 54, red: 0x00ff0000, green: 0x0000ff00, blue: 0x000000ff, alpha: 0xff000000 } as const;

export const isBmp = (bytes: Uint8Array): boolean => bytes[0] === 0x42 && bytes[1] === 0x4d;

/**
 * Decodes an uncompressed BMP of 1, 4, 8, 24 or 32 bits per pixel to RGB, or RGBA where its header says that it has opacity. Nothing is
 * allocated before the header's sizes were checked against `mostPixels` and against the bytes that are there.
 * Errors: UserError that names `source` and what is wrong with it.
 */
export function decodeBmp(bytes: Uint8Array, mostPixels: number, source: string): Picture {
  const header = parseBmpHeader(bytes, mostPixels, source);
  const { width, height, bits, isTopDown, hasAlpha } = header;
  const stride = Math.ceil((width * bits) / 32) * 4;
  if (header.pixels + stride * height > bytes.length) {
    const needed = header.pixels + stride * height;
    throw new UserError(`${source}: a truncated BMP: expected ${needed} bytes for ${width} x ${height} pixels, got ${bytes.length}`);
  }
  const channels = hasAlpha ? 4 : 3;
  const pixels = new Uint8Array(width * height * channels);
  const colours = bits > 8 ? undefined : paletteOf(bytes, header);
  for (let y = 0; y < height; y++) {
    const row = header.pixels + (isTopDown ? y : height - 1 - y) * stride;
    for (let x = 0; x < width; x++) {
      const to = (y * width + x) * channels;
      let from = row + (x * bits) / 8;
      let data = bytes;
      if (colours) {
        const inByte = 8 - bits - ((x * bits) % 8);
        from = 4 * ((bytes[Math.floor(from)]! >> inByte) & (2 ** bits - 1));
        data = colours;
      }
      // Stored as blue, green, red (, opacity).
      pixels[to] = data[from + 2]!;
      pixels[to + 1] = data[from + 1]!;
      pixels[to + 2] = data[from]!;
      if (hasAlpha) pixels[to + 3] = data[from + 3]!;
    }
  }
  return { height, width, channels, pixels };
}

/** Reads the header, which is all in the first `bmpHeaderBytes`. Errors: as `decodeBmp`. */
export function parseBmpHeader(bytes: Uint8Array, mostPixels: number, source: string): BmpHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fail = (problem: string): never => {
    throw new UserError(`${source}: ${problem}`);
  };
  if (view.byteLength < fileHeader + infoHeader)
    fail(`a truncated BMP: its header takes ${fileHeader + infoHeader} bytes, got ${view.byteLength}`);
  const size = view.getUint32(14, true);
  if (size < infoHeader || size > 1024) fail(`a BMP with a header of ${size} bytes: expected 40 to 124, as Windows writes it`);
  const width = view.getInt32(18, true);
  const signedHeight = view.getInt32(22, true);
  const height = Math.abs(signedHeight);
  if (width <= 0 || height === 0) fail(`a BMP of ${width} x ${height} pixels: nothing to see`);
  if (width * height > mostPixels) fail(`a BMP of ${width} x ${height} pixels: more than the ${mostPixels} that are read at most`);
  const bits = view.getUint16(28, true);
  if (![1, 4, 8, 24, 32].includes(bits)) fail(`a BMP of ${bits} bits per pixel: expected 1, 4, 8, 24 or 32`);
  const compression = view.getUint32(30, true);
  const hasMasks = compression === compressions.bitFields || compression === compressions.alphaBitFields;
  if (compression !== compressions.none && !(hasMasks && bits === 32))
    fail(`a compressed BMP (kind ${compression}): expected an uncompressed one`);
  const pixels = view.getUint32(10, true);
  // Masks belong to the header from version 2 on and follow the first version's.
  const withAlphaMask = size >= infoHeader + 16 || compression === compressions.alphaBitFields;
  const alphaMask = hasMasks && withAlphaMask && view.byteLength >= masks.at + 16 ? view.getUint32(masks.at + 12, true) : 0;
  if (hasMasks) {
    const isUsual =
      view.byteLength >= masks.at + 12 &&
      [masks.red, masks.green, masks.blue].every((mask, i) => view.getUint32(masks.at + 4 * i, true) === mask) &&
      (alphaMask === 0 || alphaMask === masks.alpha);
    if (!isUsual) fail("a BMP with its colours in unusual bits: expected the bytes blue, green, red, opacity");
  }
  return { width, height, isTopDown: signedHeight < 0, bits, hasAlpha: alphaMask !== 0, palette: fileHeader + size, pixels };
}

/** [2^bits, 4], blue, green, red, 0: what the file has of it, the rest black. */
function paletteOf(bytes: Uint8Array, { bits, palette, pixels }: BmpHeader): Uint8Array {
  const colours = new Uint8Array(4 * 2 ** bits);
  colours.set(bytes.subarray(palette, Math.min(palette + colours.length, Math.max(palette, pixels))));
  return colours;
}
