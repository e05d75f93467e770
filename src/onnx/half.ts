import { UserError } from "../core/errors.ts";

// IEEE 754 binary16: 1 sign bit, 5 exponent bits (bias 15), 10 fraction bits. Node 20 has no Float16Array.

const largestHalf = 65_504;
const view = new DataView(new ArrayBuffer(4));

/** The bits of the half nearest to a float32, ties to even; beyond the range, infinity. */
export function toHalf(value: number): number {
  view.setFloat32(0, value);
  const bits = view.getUint32(0);
  const sign = (bits >>> 16) & 0x8000;
  const exponent = (bits >>> 23) & 0xff;
  const fraction = bits & 0x7fffff;
  if (exponent === 0xff) return sign | 0x7c00 | (fraction === 0 ? 0 : 0x200);
  const shifted = exponent - 127 + 15;
  if (shifted >= 0x1f) return sign | 0x7c00;
  if (shifted < -10) return sign;
  // A subnormal half has the hidden bit written out, and its exponent is 0.
  const [mantissa, drop] = shifted > 0 ? [(shifted << 23) | fraction, 13] : [fraction | 0x800000, 14 - shifted];
  const half = mantissa >>> drop;
  const rest = mantissa & ((1 << drop) - 1);
  const tie = 1 << (drop - 1);
  // Rounding up may carry into the exponent, and into infinity: both are right.
  return sign | (half + Number(rest > tie || (rest === tie && (half & 1) === 1)));
}

export function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const [exponent, fraction] = [(bits >>> 10) & 0x1f, bits & 0x3ff];
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** Errors: UserError when a weight is beyond a half's range. */
export function halves(name: string, data: Float32Array): Uint16Array {
  const beyond = data.find((value) => !(Math.abs(value) <= largestHalf));
  if (beyond !== undefined) throw new UserError(`${name}: ${beyond} is beyond the range of half precision, ${largestHalf}`);
  return Uint16Array.from(data, toHalf);
}
