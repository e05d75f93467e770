import { escapeXml } from "../../core/markup.ts";
import { classHistograms, type ReportedScores } from "../report/charts.ts";
import { draw } from "../report/draw.ts";

const columns = 5;
const panel = { width: 320, height: 170, title: 22 };
const colours: Readonly<Record<string, string>> = { "var(--inside)": "#3366aa", "var(--outside)": "#cc6622" };

/**
 * Figures 2 and 3 of the paper as one SVG picture: per class the distribution of log p(z|c) over test images of the class (blue) and over
 * out-of-distribution images (orange), with the thresholds.
 */
export function classConditionalsFigure(title: string, report: ReportedScores, outIndex: number): string {
  const panels = classHistograms(report, outIndex);
  const rows = Math.ceil(panels.length / columns);
  const [width, height] = [columns * panel.width, rows * (panel.height + panel.title) + 40];
  const text = (x: number, y: number, size: number, content: string) =>
    `<text x="${x}" y="${y}" font-size="${size}" font-weight="600" fill="#222">${escapeXml(content)}</text>`;
  const drawn = panels.map((chart, i) => {
    const [x, y] = [(i % columns) * panel.width, 40 + Math.floor(i / columns) * (panel.height + panel.title)];
    return `${text(x + 40, y + 16, 13, chart.title)}<g transform="translate(${x} ${y + panel.title})">${standalone(draw(chart))}</g>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" color="#222" font-family="sans-serif"><rect width="100%" height="100%" fill="#fff"/>${text(16, 24, 16, title)}${drawn.join("")}</svg>\n`;
}

/** A picture of its own has no page whose variables it could use, and is XML, where HTML's way with "<" and "&" in attributes is an error. */
export function standalone(svg: string): string {
  return Object.entries(colours)
    .reduce((drawing, [variable, colour]) => drawing.replaceAll(variable, colour), svg)
    .replaceAll("currentColor", "#222")
    .replaceAll(/="[^"]*"/g, (attribute) => attribute.replaceAll(/&(?!\w+;|#)/g, "&amp;").replaceAll("<", "&lt;"));
}
