import { readFileSync } from "node:fs";
import type { Page } from "playwright-core";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { putInForce } from "../../src/classify/calibrations.ts";
import { type Classification, Classifier, type ImageBatch } from "../../src/classify/classifier.ts";
import { readModelFile, withCard } from "../../src/classify/model-file.ts";
import { readPicture } from "../../src/data/images.ts";
import type { Picture } from "../../src/data/picture.ts";
import { loadDataset } from "../../src/data/registry.ts";
import { EntryPage } from "../support/entry-page.ts";
import { bmp, noise } from "../support/pictures.ts";

const model = "models/mnist/model.onnx";
let entry: EntryPage;
let node: Classifier;

beforeAll(async () => {
  entry = await EntryPage.open();
  node = await Classifier.load(model, { threads: 1 });
});
afterAll(async () => {
  await node?.release();
  await entry?.close();
});

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");

type Plain = Record<"labels" | "accepted" | "classLogLikelihoods" | "thresholds" | "representations", number[]>;

/** What the page says of pictures, each given as its pixels. */
async function inBrowser(
  page: Page,
  { pixels, count, height, width, channels }: ImageBatch,
  options: { device?: "wasm" | "webgpu"; percentile?: number } = {},
): Promise<Plain> {
  return page.evaluate(
    async ({ encoded, count, height, width, channels, device, percentile }) => {
      const bytes = Uint8Array.from(atob(encoded), (c) => c.charCodeAt(0));
      const classifier = await sdim.loadClassifier("./model.onnx", device ? { device } : {});
      const size = bytes.length / count;
      const pictures = Array.from({ length: count }, (_, i) => ({
        height,
        width,
        channels,
        pixels: bytes.subarray(i * size, (i + 1) * size),
      }));
      const result = await classifier.classify(pictures, percentile === undefined ? {} : { percentile });
      await classifier.release();
      return {
        labels: [...result.labels],
        accepted: [...result.accepted],
        classLogLikelihoods: [...result.classLogLikelihoods],
        thresholds: [...result.thresholds],
        representations: [...result.representations],
      };
    },
    { encoded: base64(pixels), count, height, width, channels, ...options },
  );
}

const largestDifference = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  expect(a.length).toBe(b.length);
  return Array.from(a).reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);
};

/** Log-likelihoods are in the hundreds, where float32 resolves some 1e-4: 1e-3 absolute or 2e-6 of the value. */
function expectSameVerdicts(got: Plain, expected: Classification): void {
  expect(got.labels).toEqual([...expected.labels]);
  expect(got.accepted).toEqual([...expected.accepted]);
  expect(got.thresholds).toEqual([...expected.thresholds]);
  expect(got.classLogLikelihoods.length).toBe(expected.classLogLikelihoods.length);
  for (const [i, value] of got.classLogLikelihoods.entries()) {
    const reference = expected.classLogLikelihoods[i]!;
    expect(Math.abs(value - reference)).toBeLessThan(Math.max(1e-3, 2e-6 * Math.abs(reference)));
  }
  expect(largestDifference(got.representations, expected.representations)).toBeLessThan(1e-4);
}

async function mixed(count: number): Promise<ImageBatch> {
  const [digits, garments] = [await loadDataset("mnist", "test"), await loadDataset("fashion-mnist-sample", "test")];
  const pixels = new Uint8Array([...digits.pixels.subarray(0, count * 784), ...garments.pixels.subarray(0, count * 784)]);
  return { pixels, count: 2 * count, height: 28, width: 28, channels: 1 };
}

describe("verdicts are Node's", () => {
  it("on wasm with threads: 60 digits, 60 garments", async () => {
    const images = await mixed(60);
    const expected = await node.classify(images);
    expect(await entry.page.evaluate(() => crossOriginIsolated)).toBe(true);
    expectSameVerdicts(await inBrowser(entry.page, images), expected);
    // Both verdicts occur, or the test says little.
    expect(new Set(expected.accepted)).toEqual(new Set([0, 1]));
  });

  it("at another percentile: as with its thresholds put into the file", async () => {
    const images = await mixed(30);
    const file = readModelFile(model);
    const stricter = await Classifier.load(withCard(file, putInForce(file.card, "training", 10)), { threads: 1 });
    const expected = await stricter.classify(images);
    await stricter.release();
    expectSameVerdicts(await inBrowser(entry.page, images, { percentile: 10 }), expected);
    expect([...expected.accepted]).not.toEqual([...(await node.classify(images)).accepted]);
    await expect(inBrowser(entry.page, images, { percentile: 3 })).rejects.toThrow(
      "percentile 3: the model file has thresholds at 0.5, 1, 2, 5, 10",
    );
  });

  it("on one thread, where the page is not cross-origin isolated", async () => {
    const { page, close } = await entry.openPlain();
    const images = await mixed(3);
    expect(await page.evaluate(() => [crossOriginIsolated, sdim.defaultThreads()])).toEqual([false, 1]);
    expectSameVerdicts(await inBrowser(page, images), await node.classify(images));
    await close();
  });

  it("on WebGPU (a software driver)", async () => {
    const images = await mixed(1);
    const expected = await node.classify(images);
    const got = await inBrowser(entry.page, images, { device: "webgpu" });
    expect([got.labels, got.accepted]).toEqual([[...expected.labels], [...expected.accepted]]);
    expect(largestDifference(got.classLogLikelihoods, expected.classLogLikelihoods)).toBeLessThan(1e-2);
  });
});

/** The picture that the page makes of a file. */
async function pictureInBrowser(bytes: Uint8Array, channels: 1 | 3): Promise<Picture> {
  const { encoded, ...rest } = await entry.page.evaluate(
    async ({ encoded, channels }) => {
      const file = new File([Uint8Array.from(atob(encoded), (c) => c.charCodeAt(0))], "given.file");
      const { pixels, ...rest } = await sdim.pictureOf(file, channels);
      let text = "";
      for (const value of pixels) text += String.fromCharCode(value);
      return { ...rest, encoded: btoa(text) };
    },
    { encoded: base64(bytes), channels },
  );
  return { ...rest, pixels: new Uint8Array(Buffer.from(encoded, "base64")) };
}

const colour = noise(5, 37, 53, 3);
const coloured = () => sharp(colour.pixels, { raw: { width: 53, height: 37, channels: 3 } });
/** Smooth, as photographs are: noise would show a JPEG decoder's rounding at its worst. */
const smooth = () => coloured().resize(120, 80, { kernel: "cubic" });
const translucent = () => {
  const { pixels } = noise(6, 20, 80, 1);
  return sharp(pixels, { raw: { width: 20, height: 20, channels: 4 } });
};

// The most that a value may differ, in steps of 255: rounding of opacity, 16 bits and colour profiles.
describe("files become Node's pixels", () => {
  it.each<readonly [string, () => Promise<Uint8Array>, number]>([
    ["PNG", () => coloured().png().toBuffer(), 0],
    ["grey PNG", () => coloured().toColourspace("b-w").png().toBuffer(), 0],
    ["palette PNG", () => coloured().png({ palette: true, colours: 16 }).toBuffer(), 0],
    ["16-bit PNG", () => coloured().toColourspace("rgb16").png().toBuffer(), 2],
    ["lossless WebP", () => coloured().webp({ lossless: true }).toBuffer(), 0],
    ["GIF", () => coloured().gif().toBuffer(), 0],
    [
      "BMP",
      async () =>
        bmp({
          width: 2,
          height: 2,
          bits: 24,
          rows: [
            [1, 2, 3, 40, 50, 60],
            [7, 80, 9, 100, 11, 12],
          ],
        }),
      0,
    ],
    ["JPEG", () => smooth().jpeg({ quality: 90 }).toBuffer(), 1],
    ["JPEG on its side (EXIF)", () => smooth().jpeg({ quality: 90 }).withMetadata({ orientation: 6 }).toBuffer(), 1],
    ["PNG on its side (EXIF)", () => smooth().png().withMetadata({ orientation: 8 }).toBuffer(), 1],
    ["translucent PNG", () => translucent().png().toBuffer(), 1],
    ["PNG with a colour profile", () => smooth().withIccProfile("p3").png().toBuffer(), 2],
  ])("%s", async (_name, make, most) => {
    const bytes = await make();
    for (const channels of [1, 3] as const) {
      const expected = await readPicture(bytes, channels);
      const got = await pictureInBrowser(bytes, channels);
      expect([got.height, got.width, got.channels]).toEqual([expected.height, expected.width, channels]);
      expect(largestDifference(got.pixels, expected.pixels)).toBeLessThanOrEqual(most);
    }
  });

  it("the shipped pictures, from file to verdict", async () => {
    for (const file of ["samples/images/digit.png", "samples/images/shirt.png"]) {
      const picture = await readPicture(file, 1);
      expect([...(await pictureInBrowser(readFileSync(file), 1)).pixels]).toEqual([...picture.pixels]);
    }
  });

  it("takes what a page shows: ImageData, canvas, img, ImageBitmap", async () => {
    const png = readFileSync("samples/images/digit.png");
    const sums = await entry.page.evaluate(async (encoded) => {
      const blob = new Blob([Uint8Array.from(atob(encoded), (c) => c.charCodeAt(0))]);
      const bitmap = await createImageBitmap(blob);
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [28, 28];
      const context = canvas.getContext("2d")!;
      context.drawImage(bitmap, 0, 0);
      const element = new Image();
      element.src = URL.createObjectURL(blob);
      await element.decode();
      const forms = [blob, bitmap, canvas, context.getImageData(0, 0, 28, 28), element];
      const pictures = await Promise.all(forms.map((form) => sdim.pictureOf(form, 1)));
      return pictures.map(({ pixels }) => pixels.reduce((sum, value, i) => sum + value * i, 0));
    }, base64(png));
    expect(sums[0]).toBeGreaterThan(0);
    expect(new Set(sums).size).toBe(1);
  });
});

/** A PNG's first 33 bytes, which say how large it would be. */
function pngHeader(width: number, height: number): Uint8Array {
  const header = Buffer.from("89504e470d0a1a0a0000000d49484452000000000000000008060000000000000000000000", "hex");
  header.writeUInt32BE(width, 16);
  header.writeUInt32BE(height, 20);
  return header;
}

describe("errors name the file and say what was expected", () => {
  it.each<readonly [string, () => Promise<Uint8Array>, string]>([
    ["a text", async () => Buffer.from("this is no image"), "given.file: cannot be read as an image: expected PNG, JPEG, WebP, GIF or BMP"],
    ["an empty file", async () => new Uint8Array(), "given.file: cannot be read as an image"],
    ["a TIFF", () => coloured().tiff().toBuffer(), "given.file: expected PNG, JPEG, WebP, GIF or BMP, got tiff"],
    ["an SVG", async () => Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'), "got svg"],
    ["a PNG cut short", async () => (await coloured().png().toBuffer()).subarray(0, 60), "it is damaged or cut short"],
    ["a picture of 10,001 x 10,000", async () => pngHeader(10_001, 10_000), "10001 x 10000 pixels are 100 megapixels, more than the 100"],
    ["a picture of 65,536 x 1", async () => pngHeader(65_536, 1), "65536 x 1 pixels, more on a side than the 65535"],
  ])("%s", async (_name, make, message) => {
    await expect(pictureInBrowser(await make(), 1)).rejects.toThrow(message);
  });

  it("models that are not there, not models, not ours; a device that is not there", async () => {
    const failure = (model: string | number[], device?: "webgpu") =>
      entry.page.evaluate(
        async ({ model, device }) => {
          if (device) Object.defineProperty(navigator, "gpu", { value: undefined, configurable: true });
          const error = await sdim
            .loadClassifier(typeof model === "string" ? model : Uint8Array.from(model), device ? { device } : {})
            .then(String, (error: unknown) => error as Error);
          return error instanceof sdim.UserError ? error.message : `not a UserError: ${error}`;
        },
        { model, ...(device ? { device } : {}) },
      );
    expect(await failure("./nothing.onnx")).toContain("nothing.onnx: expected the model file, the server answered 404");
    expect(await failure("http://127.0.0.1:9/model.onnx")).toContain("cannot be fetched");
    expect(await failure([1, 2, 3])).toContain("model: expected an ONNX model file, got one that is damaged");
    expect(await failure("./model.onnx", "webgpu")).toContain('device "webgpu": this browser has no WebGPU');
  });
});
