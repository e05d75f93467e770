import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import sharp from "sharp";
import { Random } from "../../src/core/random.ts";

/** [height, width, channels] */
export interface RawPicture {
  readonly height: number;
  readonly width: number;
  readonly channels: 1 | 3;
  readonly pixels: Uint8Array;
}

export function noise(seed: number, height: number, width: number, channels: 1 | 3): RawPicture {
  const random = Random.stream(seed, "noise");
  return { height, width, channels, pixels: Uint8Array.from({ length: height * width * channels }, () => random.below(256)) };
}

/** Writes a picture in the format of the path's ending. */
export async function writePicture(path: string, { height, width, channels, pixels }: RawPicture): Promise<void> {
  mkdirSync(dirname(path), { recursive: true });
  const image = sharp(pixels, { raw: { width, height, channels } });
  await (channels === 1 ? image.toColourspace("b-w") : image).toFile(path);
}

/** Writes small noise pictures, each of other pixels. */
export async function writeNoise(paths: readonly string[], channels: 1 | 3 = 1): Promise<void> {
  for (const [i, path] of paths.entries()) await writePicture(path, noise(i, 9, 12, channels));
}

/** A BMP with a header of 40 bytes; `rows` of stored bytes from the top down, padded to 4 here. */
export function bmp(options: {
  readonly width: number;
  readonly height: number;
  readonly bits: number;
  readonly rows: readonly (readonly number[])[];
  readonly palette?: readonly number[];
  readonly topDown?: boolean;
  readonly compression?: number;
  /** Bytes that follow the first 40 of the header, as later versions have them. */
  readonly extension?: readonly number[];
}): Uint8Array {
  const { width, height, bits, rows, palette = [], topDown = false, compression = 0, extension = [] } = options;
  const stored = (topDown ? rows : [...rows].reverse()).flatMap((row) => [
    ...row,
    ...new Array<number>((4 - (row.length % 4)) % 4).fill(0),
  ]);
  const header = Buffer.alloc(54);
  header.write("BM");
  const start = 54 + extension.length + palette.length;
  header.writeUInt32LE(start + stored.length, 2);
  header.writeUInt32LE(start, 10);
  header.writeUInt32LE(40 + extension.length, 14);
  header.writeInt32LE(width, 18);
  header.writeInt32LE(topDown ? -height : height, 22);
  header.writeUInt16LE(1, 26);
  header.writeUInt16LE(bits, 28);
  header.writeUInt32LE(compression, 30);
  return Uint8Array.from([...header, ...extension, ...palette, ...stored]);
}
