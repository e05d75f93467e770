import { crc32 } from "node:zlib";
import { encodePng } from "../../src/data/images.ts";
import { noise } from "./pictures.ts";

/** A small PNG whose header says another size: so many pixels are not there to unpack. */
export async function pngAnnouncing(width: number, height: number): Promise<Buffer> {
  const png = await encodePng(noise(1, 16, 16, 1));
  png.writeUInt32BE(width, 16);
  png.writeUInt32BE(height, 20);
  png.writeUInt32BE(crc32(png.subarray(12, 29)), 29);
  return png;
}
