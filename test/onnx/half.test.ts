import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fromHalf, halves, toHalf } from "../../src/onnx/half.ts";

describe("half precision", () => {
  it("every half there is comes back as its own bits", () => {
    for (let bits = 0; bits < 0x10000; bits++) {
      const value = fromHalf(bits);
      if (Number.isNaN(value)) expect(Number.isNaN(fromHalf(toHalf(value)))).toBe(true);
      else expect(toHalf(value)).toBe(bits);
    }
  });

  it("some values by the standard", () => {
    expect([1, -2, 65504, 2 ** -24, 2 ** -14, 1 / 3, 0, -0].map(toHalf)).toEqual([
      0x3c00, 0xc000, 0x7bff, 0x0001, 0x0400, 0x3555, 0x0000, 0x8000,
    ]);
    // Half way between two halves: to the even one; between the largest and what would follow: infinity.
    expect([1 + 2 ** -11, 1 + 3 * 2 ** -11, 65519, 65520, 2 ** -25, 1.5 * 2 ** -25].map(toHalf)).toEqual([
      0x3c00, 0x3c02, 0x7bff, 0x7c00, 0x0000, 0x0001,
    ]);
  });

  it("is the nearest half", () => {
    fc.assert(
      fc.property(fc.float({ min: -65000, max: 65000, noNaN: true }), (value) => {
        const bits = toHalf(value);
        const error = Math.abs(fromHalf(bits) - value);
        for (const neighbour of [bits - 1, bits + 1]) {
          if ((neighbour & 0x8000) === (bits & 0x8000) && (neighbour & 0x7fff) < 0x7c00)
            expect(Math.abs(fromHalf(neighbour) - value)).toBeGreaterThanOrEqual(error);
        }
      }),
    );
  });

  it("a weight beyond the range is refused with its name", () => {
    expect(() => halves("conv.weight", Float32Array.of(1, 70_000))).toThrow("conv.weight: 70000 is beyond the range of half precision");
    expect(() => halves("conv.weight", Float32Array.of(Number.NaN))).toThrow("beyond the range");
  });
});
