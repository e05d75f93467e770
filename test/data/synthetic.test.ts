import { mkdirSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Random } from "../../src/core/random.ts";
import { convertChannels } from "../../src/data/channels.ts";
import { type ImageSet, imageSet } from "../../src/data/image-set.ts";
import { encodePng, readPicture } from "../../src/data/images.ts";
import { loadOutOfDistribution } from "../../src/data/out-of-distribution.ts";
import { synthesise, syntheticNames } from "../../src/data/synthetic.ts";

function randomSet(count: number, height: number, width: number, channels: number): ImageSet {
  const random = new Random(1);
  const pixels = Uint8Array.from({ length: count * height * width * channels }, () => random.below(256));
  return imageSet({ name: "given", split: "test", height, width, channels, pixels, labels: new Int32Array(count), classNames: ["a", "b"] });
}

const like = randomSet(30, 8, 12, 3);
const imageOf = ({ pixels, height, width, channels }: ImageSet, i: number) => {
  const size = height * width * channels;
  return pixels.subarray(i * size, (i + 1) * size);
};
const mean = (values: ArrayLike<number>) => Array.from(values).reduce((a, b) => a + b, 0) / values.length;

describe("synthetic sets", () => {
  it.each(syntheticNames)("%s: as many images as asked for, of the given shape, the same for the same seed", (name) => {
    const set = synthesise(name, like, { count: 40, seed: 5 });
    expect(set).toMatchObject({ name, split: "seed 5", count: 40, height: 8, width: 12, channels: 3 });
    expect(synthesise(name, like, { count: 40, seed: 5 })).toEqual(set);
    expect(synthesise(name, like, { count: 40, seed: 6 }).fingerprint).not.toBe(set.fingerprint);
    // More images are the same ones and others.
    expect(synthesise(name, like, { count: 41, seed: 5 }).pixels.subarray(0, set.pixels.length)).toEqual(set.pixels);
    expect(synthesise(name, like)).toMatchObject({ count: 2000, split: "seed 0" });
  });

  it("uniform noise is uniform over all levels", () => {
    const { pixels } = synthesise("uniform-noise", like, { count: 500 });
    const counts = new Float64Array(256);
    for (const value of pixels) counts[value]!++;
    const expected = pixels.length / 256;
    const chiSquared = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
    // 255 degrees of freedom: mean 255, standard deviation 22.6.
    expect(Math.abs(chiSquared - 255)).toBeLessThan(4 * 22.6);
  });

  it("Gaussian noise has mean 0.5 and unit variance before it is clamped", () => {
    const { pixels } = synthesise("gaussian-noise", like, { count: 500 });
    expect(mean(pixels) / 255).toBeCloseTo(0.5, 2);
    // P(N(0.5, 1) < 0) = 0.3085, and half a level more is rounded to 0.
    expect(mean(pixels.map((value) => Number(value === 0)))).toBeCloseTo(0.3092, 2);
    expect(mean(pixels.map((value) => Number(value === 255)))).toBeCloseTo(0.3092, 2);
    // P(N(0.5, 1) < 0.25) = 0.4013.
    expect(mean(pixels.map((value) => Number(value < 64)))).toBeCloseTo(0.4013, 2);
  });

  it("constant images have one colour each, and many colours together", () => {
    const set = synthesise("constant", like, { count: 300 });
    const firsts = Array.from({ length: set.count }, (_, i) => {
      const image = imageOf(set, i);
      image.forEach((value, j) => {
        expect(value).toBe(image[j % 3]);
      });
      return image.slice(0, 3);
    });
    expect(firsts.filter(([r, g, b]) => r === g && g === b).length).toBeLessThan(5);
    for (const c of [0, 1, 2]) expect(Math.abs(mean(firsts.map((colour) => colour[c]!)) - 127.5)).toBeLessThan((3 * 73.9) / Math.sqrt(300));
  });

  it("shuffled patches are the patches of an image, each once, elsewhere", () => {
    // The value of a pixel names its image, patch (2 x 3 pixels) and place in the patch.
    const pixels = Uint8Array.from({ length: 2 * 8 * 12 }, (_, i) => {
      const [image, row, column] = [Math.floor(i / 96), Math.floor((i % 96) / 12), i % 12];
      return 96 * image + 6 * (4 * Math.floor(row / 2) + Math.floor(column / 3)) + 3 * (row % 2) + (column % 3);
    });
    const patches = imageSet({ ...like, channels: 1, pixels, labels: new Int32Array(2) });
    const set = synthesise("shuffled-patches", patches, { count: 5 });
    const places = Array.from({ length: 5 }, (_, i) => {
      const image = imageOf(set, i);
      const whole = Array.from({ length: 16 }, (_, patch) => {
        const corner = 24 * Math.floor(patch / 4) + 3 * (patch % 4);
        const first = image[corner]!;
        expect([0, 1, 2, 12, 13, 14].map((offset) => image[corner + offset])).toEqual([0, 1, 2, 3, 4, 5].map((step) => first + step));
        return first / 6;
      });
      expect(new Set(whole.map((patch) => Math.floor(patch / 16))).size).toBe(1);
      expect(whole.map((patch) => patch % 16).sort((a, b) => a - b)).toEqual([...Array(16).keys()]);
      return whole.join();
    });
    expect(new Set(places).size).toBe(5);
    // Both images once before one comes again.
    expect(imageOf(set, 0)[0]! < 96).not.toBe(imageOf(set, 1)[0]! < 96);
  });

  it("leaves rows and columns beyond a multiple of four where they are", () => {
    const odd = randomSet(1, 7, 9, 1);
    const [before, after] = [imageOf(odd, 0), imageOf(synthesise("shuffled-patches", odd, { count: 1 }), 0)];
    expect(after).not.toEqual(before);
    expect([...after].sort()).toEqual([...before].sort());
    for (let row = 0; row < 7; row++) {
      for (let column = 0; column < 9; column++) {
        if (row >= 4 || column >= 8) expect(after[row * 9 + column]).toBe(before[row * 9 + column]);
      }
    }
  });

  it.each([
    ["uniform-nois", like, {}, 'did you mean "uniform-noise"?'],
    ["constant", like, { count: 0 }, "constant: expected 1 to 3728270 images of 8 x 12 x 3, asked for 0"],
    ["constant", like, { count: 1e9 }, "asked for 1000000000"],
    ["constant", like, { seed: 0.5 }, "seed: expected a whole number from 0 to 4294967295, got 0.5"],
    ["shuffled-patches", randomSet(1, 3, 8, 1), {}, "expected images of at least 4 x 4 pixels, given has 3 x 8"],
  ] as const)("refuses %s, case %#", (name, set, options, message) => {
    expect(() => synthesise(name, set, options)).toThrow(message);
  });
});

describe("loadOutOfDistribution", () => {
  it("takes synthetic names, data sets and folders, and lists all names for an unknown one", async () => {
    expect(await loadOutOfDistribution("constant", like, { count: 3, seed: 2 })).toEqual(
      synthesise("constant", like, { count: 3, seed: 2 }),
    );
    expect(await loadOutOfDistribution("fashion-mnist-sample", like)).toMatchObject({ name: "fashion-mnist-sample", count: 1000 });
    await expect(loadOutOfDistribution("gausian-noise", like)).rejects.toThrow(
      /unknown out-of-distribution set .* "gausian-noise": did you mean "gaussian-noise"\? Known: mnist, .*constant/,
    );
    const folder = join(mkdtempSync(join(tmpdir(), "sdim-test-")), "constant");
    mkdirSync(folder);
    await expect(loadOutOfDistribution(folder, like)).rejects.toThrow("expected t10k-images-idx3-ubyte");
  });
});

describe("convertChannels", () => {
  const pixels = (channels: 1 | 3, values: number[]) =>
    imageSet({ ...like, height: 1, width: values.length / channels, channels, pixels: Uint8Array.from(values), labels: new Int32Array(1) });

  it("repeats grey, takes the luminance of RGB, and says so in the name", () => {
    expect(convertChannels(pixels(1, [7, 200]), 3)).toMatchObject({
      name: "given as RGB",
      channels: 3,
      pixels: Uint8Array.of(7, 7, 7, 200, 200, 200),
    });
    // 0.2126, 0.7152 and 0.0722 of linear light, in sRGB: 1.055 * 0.2126 ** (1 / 2.4) - 0.055 = 0.498.
    const primaries = pixels(3, [255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255]);
    expect(convertChannels(primaries, 1)).toMatchObject({ name: "given as grey", channels: 1, pixels: Uint8Array.of(127, 220, 76, 255) });
    expect(convertChannels(primaries, 3)).toBe(primaries);
  });

  it("makes the grey of a picture that is read in grey, to a step", async () => {
    const colours = Array.from({ length: 3 * 200 }, (_, i) => (i * 37 + 11 * (i % 3)) % 256);
    const file = await encodePng({ height: 1, width: 200, channels: 3, pixels: Uint8Array.from(colours) });
    const { pixels: read } = await readPicture(file, 1);
    const converted = convertChannels(pixels(3, colours), 1).pixels;
    expect(Math.max(...converted.map((value, i) => Math.abs(value - read[i]!)))).toBeLessThanOrEqual(1);
  });

  it("grey to RGB and back is what it was", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 40 }), (values) => {
        const grey = pixels(1, [...values]);
        expect(convertChannels(convertChannels(grey, 3), 1).pixels).toEqual(grey.pixels);
      }),
      { seed: 1 },
    );
  });

  it("knows no other numbers of channels", () => {
    expect(() => convertChannels({ ...like, channels: 4 }, 3)).toThrow("given (test): expected 1 or 3 channels, got 4");
  });
});
