import * as Plot from "@observablehq/plot";
import { escapeXml } from "../../core/markup.ts";
import { draw } from "../report/draw.ts";
import { standalone } from "./figures.ts";
import { figureEpsilons } from "./paper-attacks.ts";
import type { ReproducedTable } from "./tables.ts";

/** Adversarials of one image, by epsilon. */
export interface PictureRow {
  /** Of the attack. */
  readonly title: string;
  readonly pictures: readonly { readonly epsilon: number; readonly png: string; readonly words: string }[];
}

/** Okabe and Ito's palette, which colour-blind readers tell apart. */
const palette = ["#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7", "#8a6d3b", "#000000"];
const rejectingEnding = ", with rejection";
const chart = { width: 640, height: 380 };
const legendWidth = 520;
const cell = { width: 84, height: 108, picture: 64 };

/** Figures 4 and 5 of the paper as one SVG picture: accuracy against epsilon, and below it the adversarial images. */
export function robustnessFigure(table: ReproducedTable, pictureRows: readonly PictureRow[]): string {
  const isRejecting = (label: string) => label.endsWith(rejectingEnding);
  // A curve and its companion with rejection have one colour.
  const plainName = (label: string) => (isRejecting(label) ? label.slice(0, -rejectingEnding.length) : label);
  const plainNames = [...new Set(table.rows.map(({ label }) => plainName(label)))];
  const curves = table.rows.map(({ label, cells }) => ({
    label,
    colour: palette[plainNames.indexOf(plainName(label)) % palette.length]!,
    isDashed: isRejecting(label),
    points: cells.flatMap(({ ours }, i) => (ours === null ? [] : [{ epsilon: figureEpsilons[i]!, accuracy: ours / 100 }])),
  }));
  const shown = curves.filter(({ points }) => points.length > 0);
  const svg = draw({
    label: table.title,
    options: {
      ...chart,
      marginLeft: 48,
      x: { label: "epsilon, linf, of the [0, 1] pixel range", domain: [0, 0.5] },
      y: { label: "accuracy", tickFormat: "%", domain: [0, 1], grid: true },
      // Dots show where curves lie on each other.
      marks: shown.flatMap(({ points, colour, isDashed }, i) => [
        Plot.line(points, {
          x: "epsilon",
          y: "accuracy",
          stroke: colour,
          strokeWidth: 1.8,
          ...(isDashed ? { strokeDasharray: "5 3" } : {}),
        }),
        Plot.dot(points, { x: "epsilon", y: "accuracy", stroke: colour, r: 2 + 0.8 * (i % 5) }),
      ]),
    },
  });
  const top = 44;
  const text = (x: number, y: number, size: number, content: string) =>
    `<text x="${x}" y="${y}" font-size="${size}" fill="#222">${escapeXml(content)}</text>`;
  const legend = shown.map(({ label, colour, isDashed }, i) => {
    const y = top + 20 + 22 * i;
    const dash = isDashed ? ' stroke-dasharray="5 3"' : "";
    return `<line x1="${chart.width + 16}" x2="${chart.width + 46}" y1="${y - 4}" y2="${y - 4}" stroke="${colour}" stroke-width="2"${dash}/>${text(chart.width + 54, y, 12, label)}`;
  });
  const below = top + Math.max(chart.height, 22 * shown.length + 20) + 24;
  const strips = pictureRows.map(({ title, pictures }, r) => {
    const y = below + r * (cell.height + 24);
    const images = pictures.map(
      ({ epsilon, png, words }, i) =>
        `<image x="${16 + i * cell.width}" y="${y + 8}" width="${cell.picture}" height="${cell.picture}" href="${png}" style="image-rendering:pixelated"/>${text(16 + i * cell.width, y + cell.picture + 22, 10, `epsilon ${epsilon}`)}${text(16 + i * cell.width, y + cell.picture + 35, 10, words)}`,
    );
    return text(16, y, 12, title) + images.join("");
  });
  const width = Math.max(chart.width + legendWidth, 32 + cell.width * figureEpsilons.length);
  const height = below + pictureRows.length * (cell.height + 24) + 8;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" color="#222" font-family="sans-serif"><rect width="100%" height="100%" fill="#fff"/>${text(16, 24, 16, table.title)}<g transform="translate(0 ${top})">${standalone(svg)}</g>${legend.join("")}${strips.join("")}</svg>\n`;
}
