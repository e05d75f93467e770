import sharp from "sharp";
import type { AttackOutcome, AttackResult } from "../../attacks/attack.ts";
import { type ImageShape, sizeOfImage } from "../../attacks/distance.ts";
import { indices, row } from "../../attacks/rows.ts";
import { UserError } from "../../core/errors.ts";
import { escapeXml } from "../../core/markup.ts";

/** A picture is at least so wide and high; smaller images are enlarged by a whole number. */
const cellSide = 96;
const gap = 6;
const textWidth = 250;
const headHeight = 24;
const mostRows = 200;

export interface GridOptions {
  readonly classNames: readonly string[];
  /** Default: 16. */
  readonly count?: number;
}

/** Errors: UserError for a number of rows that is not 1 to 200. */
export function requireRows(count = 1): void {
  if (!Number.isInteger(count) || count < 1 || count > mostRows) throw new UserError(`grid: expected 1 to ${mostRows} rows, got ${count}`);
}

/**
 * A PNG with a row per attacked sample, the first successful ones first: original, adversarial, their difference (amplified; grey: none), and
 * in words what the model says of both. Errors: UserError for a count that is not 1 to 200, or when no sample was attacked.
 */
export async function adversarialGrid(
  result: AttackResult,
  outcome: AttackOutcome,
  originals: Float32Array,
  shape: ImageShape,
  { classNames, count = 16 }: GridOptions,
): Promise<Buffer> {
  requireRows(count);
  const attacked = indices(result.labels.length).filter((i) => result.attacked[i] === 1);
  if (attacked.length === 0) throw new UserError("grid: the model classifies none of these images correctly, so none was attacked");
  const chosen = attacked.sort((a, b) => outcome.success[b]! - outcome.success[a]! || a - b).slice(0, count);
  const size = sizeOfImage(shape);
  const scale = Math.max(1, Math.ceil(cellSide / Math.max(shape.height, shape.width)));
  const cell = { width: shape.width * scale, height: shape.height * scale };
  const width = 3 * (cell.width + gap) + gap + textWidth;
  const height = headHeight + chosen.length * (cell.height + gap) + gap;
  const amplification = amplificationOf(originals, outcome.images, size, chosen);
  const top = (at: number) => headHeight + gap + at * (cell.height + gap);
  const pictures = await Promise.all(
    chosen.flatMap((i, at) => {
      const [before, after] = [row(originals, size, i), row(outcome.images, size, i)];
      const difference = after.map((value, k) => 0.5 + (amplification * (value - before[k]!)) / 2);
      return [before, after, difference].map(async (image, column) => ({
        input: await drawn(image, shape, cell),
        left: gap + column * (cell.width + gap),
        top: top(at),
      }));
    }),
  );
  const text = (x: number, y: number, content: string, colour = "#222") =>
    `<text x="${x}" y="${y}" fill="${colour}">${escapeXml(content)}</text>`;
  const columns = ["original", "adversarial", `difference x${amplification}`];
  const heads = columns.map((title, column) => text(gap + column * (cell.width + gap), 16, title));
  const words = chosen.flatMap((i, at) =>
    wordsOf(result, outcome, i, classNames).map((line, k) =>
      text(3 * (cell.width + gap) + gap, top(at) + 14 + 17 * k, line.text, line.colour),
    ),
  );
  const labels = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="sans-serif" font-size="12">${[...heads, ...words].join("")}</svg>`;
  return sharp({ create: { width, height, channels: 3, background: "#ffffff" } })
    .composite([...pictures, { input: Buffer.from(labels), left: 0, top: 0 }])
    .png()
    .toBuffer();
}

/** What makes the largest change shown nearly black or white: a power of two, at least 1. */
function amplificationOf(originals: Float32Array, images: Float32Array, size: number, rows: readonly number[]): number {
  let largest = 0;
  for (const i of rows) for (let k = i * size; k < (i + 1) * size; k++) largest = Math.max(largest, Math.abs(images[k]! - originals[k]!));
  return largest === 0 ? 1 : Math.max(1, 2 ** Math.floor(Math.log2(1 / largest)));
}

/** Image [channels, height, width] in [0, 1] as a PNG of the cell's size. */
export async function drawn(
  image: Float32Array,
  { channels, height, width }: ImageShape,
  cell: { width: number; height: number },
): Promise<Buffer> {
  const pixels = Buffer.alloc(image.length);
  const plane = height * width;
  for (let c = 0; c < channels; c++) {
    for (let k = 0; k < plane; k++) pixels[k * channels + c] = Math.round(255 * Math.min(1, Math.max(0, image[c * plane + k]!)));
  }
  return sharp(pixels, { raw: { width, height, channels: channels as 1 | 3 } })
    .resize(cell.width, cell.height, { kernel: "nearest", fit: "fill" })
    .toColourspace("srgb")
    .png()
    .toBuffer();
}

function wordsOf(
  { labels, targets, clean, distance, criterion }: AttackResult,
  { scores, success, sizes }: AttackOutcome,
  i: number,
  classNames: readonly string[],
): readonly { readonly text: string; readonly colour: string }[] {
  const said = ({ labels: winners, accepted }: typeof clean) =>
    `${classNames[winners[i]!]}, ${accepted[i] === 1 ? "accepted" : "rejected"}`;
  const wanted = targets ? `, wanted ${classNames[targets[i]!]}` : "";
  const isBad = scores.labels[i] !== labels[i] && scores.accepted[i] === 1;
  return [
    { text: `is ${classNames[labels[i]!]}${wanted}`, colour: "#222" },
    { text: `before: ${said(clean)}`, colour: "#222" },
    { text: `after: ${said(scores)}`, colour: isBad ? "#b00020" : "#222" },
    { text: success[i] === 1 ? `success (${criterion})` : "no success", colour: "#666" },
    { text: `${distance} ${Number(sizes[distance][i]!.toPrecision(3))}`, colour: "#666" },
  ];
}
