import { join } from "node:path";
import { Random } from "../../src/core/random.ts";
import { type RawPicture, writePicture } from "./pictures.ts";

/** Pictures of many sizes of two classes that are easily told apart: stripes that lie, and stripes that stand. */
export async function writeStripes(folder: string, perClass: number, channels: 1 | 3, seed = 1): Promise<void> {
  const random = Random.stream(seed, "stripes");
  for (const [label, name] of ["lying", "standing"].entries())
    for (let i = 0; i < perClass; i++) await writePicture(join(folder, name, `${i}.png`), stripes(random, label === 0, channels));
}

function stripes(random: Random, lying: boolean, channels: 1 | 3): RawPicture {
  const [height, width] = [30 + random.below(40), 30 + random.below(40)];
  const phase = random.below(100);
  const colour = [200, 120 + random.below(60), 60 + random.below(60)];
  const pixels = new Uint8Array(height * width * channels);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const along = (lying ? y / height : x / width) * 4 + phase / 100;
      const isLight = Math.floor(along) % 2 === 0;
      for (let c = 0; c < channels; c++) {
        pixels[(y * width + x) * channels + c] = (isLight ? colour[c]! : 20) + random.below(30);
      }
    }
  }
  return { height, width, channels, pixels };
}
