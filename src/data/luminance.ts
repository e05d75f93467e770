/**
 * Colour to grey, wherever we do it: as the picture reader does in Node (libvips' sRGB to b-w, 8 bits). The luminance 0.2126 R + 0.7152 G +
 * 0.0722 B of linear light (ITU-R BT.709), back to sRGB through a table of 256 steps between which it goes straight. Grey stays what it is.
 */
export function luminance(red: number, green: number, blue: number): number {
  const at = Math.min(1, 0.2126 * linear[red]! + 0.7152 * linear[green]! + 0.0722 * linear[blue]!) * 255;
  const below = Math.floor(at);
  const start = encoded[below]!;
  return Math.round(start + (encoded[Math.min(255, below + 1)]! - start) * (at - below));
}

const steps = Array.from({ length: 256 }, (_, i) => i / 255);
const linear = /* @__PURE__ */ Float32Array.from(steps, (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
const encoded = /* @__PURE__ */ Uint8Array.from(steps, (y) =>
  Math.round(255 * (y <= 0.0031308 ? 12.92 * y : 1.055 * y ** (1 / 2.4) - 0.055)),
);
