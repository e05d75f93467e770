import sharp from "sharp";
import { expect, it } from "vitest";
import { luminance } from "../../src/data/luminance.ts";

/** Every 5th value of each channel. */
const values = Array.from({ length: 52 }, (_, i) => 5 * i);

it("is what sharp makes of colours, to a rounding in rare cases", async () => {
  const colours = values.flatMap((r) => values.flatMap((g) => values.map((b) => [r, g, b] as const)));
  const expected = await sharp(Uint8Array.from(colours.flat()), { raw: { width: 52 * 52, height: 52, channels: 3 } })
    .toColourspace("b-w")
    .raw()
    .toBuffer();
  const differences = colours.map(([r, g, b], i) => Math.abs(luminance(r, g, b) - expected[i]!));
  expect(Math.max(...new Set(differences))).toBeLessThanOrEqual(1);
  expect(differences.filter((difference) => difference > 0).length).toBeLessThan(colours.length / 10_000);
});

it("leaves grey as it is", () => {
  for (let grey = 0; grey < 256; grey++) expect(luminance(grey, grey, grey)).toBe(grey);
});
