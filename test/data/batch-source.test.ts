import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, it } from "vitest";
import { InternalError } from "../../src/core/errors.ts";
import { InThreadBatches } from "../../src/data/batch-source.ts";
import { imageSet } from "../../src/data/image-set.ts";
import { WorkerBatches } from "../../src/data/worker-batches.ts";
import { temporaryFolder } from "../support/digits.ts";

const count = 23;
const set = imageSet({
  name: "x",
  split: "train",
  height: 5,
  width: 4,
  channels: 3,
  pixels: Uint8Array.from({ length: count * 60 }, (_, i) => (i * 7 + (i >> 8)) % 256),
  labels: Int32Array.from({ length: count }, (_, i) => i % 3),
  classNames: ["a", "b", "c"],
});
const plan = { batchSize: 4, seed: 9, augmentation: { cropPadding: 2, flip: true, randomErasing: 0.5 } };

async function taken(source: InThreadBatches | WorkerBatches, from: number, to: number) {
  const batches = [];
  for (let step = from; step < to; step++) {
    const { images, labels } = await source.take(step);
    batches.push({ images: [...images], labels: [...labels] });
  }
  await source.close();
  return batches;
}

describe("batches from a thread of their own", () => {
  it("are those of the training thread, byte for byte, over several epochs and from any step", async () => {
    const expected = await taken(new InThreadBatches(set, plan), 0, 16);
    expect(await taken(new WorkerBatches(set, plan, 0), 0, 16)).toEqual(expected);
    expect(await taken(new WorkerBatches(set, plan, 7), 7, 16)).toEqual(expected.slice(7));
    // Crops and flips are there: a batch is not its plain images.
    const plain = await taken(
      new InThreadBatches(set, { ...plan, augmentation: { cropPadding: 0, flip: false, randomErasing: 0 } }),
      0,
      16,
    );
    expect(plain).not.toEqual(expected);
    expect(plain.map(({ labels }) => labels)).toEqual(expected.map(({ labels }) => labels));
  });

  it("are taken in order only", async () => {
    const source = new WorkerBatches(set, plan, 3);
    await expect(source.take(4)).rejects.toThrow("batches: expected step 3, got 4");
    await source.close();
  });

  it.each([
    ["throws", "throw new Error('no memory for it')", "died: no memory for it"],
    ["exits", "process.exit(3)", "died: it exited with code 3"],
  ])("end with an error when the thread %s", async (_what, program, message) => {
    const entry = join(temporaryFolder(), "worker.mjs");
    writeFileSync(entry, `import { parentPort } from "node:worker_threads"; parentPort.on("message", () => { ${program} });`);
    const source = new WorkerBatches(set, plan, 0, pathToFileURL(entry));
    const failed = source.take(0);
    await expect(failed).rejects.toThrow(InternalError);
    await expect(failed).rejects.toThrow(message);
    await expect(source.take(0)).rejects.toThrow(message);
    await source.close();
  });
});
