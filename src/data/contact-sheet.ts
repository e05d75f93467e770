import sharp from "sharp";
import { UserError } from "../core/errors.ts";
import { escapeXml } from "../core/markup.ts";
import type { ImageSet } from "./image-set.ts";

/** Pixels a cell's image is at most wide and high; smaller ones are enlarged by a whole number. */
const cellSide = 64;
const labelHeight = 16;
const gap = 4;
const mostOnSheet = 2500;

interface Grid {
  readonly count: number;
  readonly columns: number;
  /** Of an image as it is drawn. */
  readonly width: number;
  readonly height: number;
  readonly cellWidth: number;
  readonly cellHeight: number;
}

/**
 * A PNG with the first `count` images of a set in rows, each with the name of its class below.
 * Errors: UserError for a count that is not 1 to 2,500.
 */
export async function contactSheet(set: ImageSet, count: number): Promise<Buffer> {
  if (!Number.isInteger(count) || count < 1 || count > mostOnSheet) {
    throw new UserError(`count: expected 1 to ${mostOnSheet} images on a sheet, got ${count}`);
  }
  const grid = gridOf(set, Math.min(count, set.count));
  const { columns, cellWidth, cellHeight } = grid;
  const [sheetWidth, sheetHeight] = [columns * cellWidth + gap, Math.ceil(grid.count / columns) * cellHeight + gap];
  const sheet = Buffer.alloc(sheetWidth * sheetHeight * 3, 255);
  for (let i = 0; i < grid.count; i++) {
    const image = await drawn(set, i, grid);
    const corner = (gap + Math.floor(i / columns) * cellHeight) * sheetWidth + gap + (i % columns) * cellWidth;
    for (let y = 0; y < grid.height; y++) {
      sheet.set(image.subarray(3 * y * grid.width, 3 * (y + 1) * grid.width), 3 * (corner + y * sheetWidth));
    }
  }
  return sharp(sheet, { raw: { width: sheetWidth, height: sheetHeight, channels: 3 } })
    .composite([{ input: Buffer.from(labelsAsSvg(set, grid, sheetWidth, sheetHeight)) }])
    .png()
    .toBuffer();
}

function gridOf({ height, width }: ImageSet, count: number): Grid {
  const fit = cellSide / Math.max(height, width);
  const scale = fit >= 1 ? Math.floor(fit) : fit;
  const side = { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
  return {
    count,
    columns: Math.ceil(Math.sqrt(count)),
    ...side,
    // As wide as the largest image even where images are narrow: the label needs it.
    cellWidth: cellSide + gap,
    cellHeight: side.height + labelHeight + gap,
  };
}

/** Image `index` as RGB bytes in the size it has on the sheet. */
async function drawn(set: ImageSet, index: number, { width, height }: Grid): Promise<Buffer> {
  const perImage = set.height * set.width * set.channels;
  const pixels = set.pixels.subarray(index * perImage, (index + 1) * perImage);
  const isEnlarged = width >= set.width;
  return sharp(pixels, { raw: { width: set.width, height: set.height, channels: set.channels as 1 | 3 } })
    .resize(width, height, { fit: "fill", kernel: isEnlarged ? "nearest" : "lanczos3" })
    .toColourspace("srgb")
    .raw()
    .toBuffer();
}

function labelsAsSvg({ labels, classNames }: ImageSet, grid: Grid, width: number, height: number): string {
  const texts = Array.from({ length: grid.count }, (_, i) => {
    const x = gap + (i % grid.columns) * grid.cellWidth;
    const y = gap + Math.floor(i / grid.columns) * grid.cellHeight + grid.height + labelHeight - 4;
    return `<text x="${x}" y="${y}">${escapeXml(shortened(classNames[labels[i]!]!))}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="sans-serif" font-size="11">${texts.join("")}</svg>`;
}

/** As many characters as a cell is wide. */
const shortened = (name: string): string => (name.length > 11 ? `${name.slice(0, 10)}…` : name);
