import * as Plot from "@observablehq/plot";
import { escapeXml } from "../core/markup.ts";
import { standalone } from "../evaluate/protocols/figures.ts";
import { draw } from "../evaluate/report/draw.ts";
import type { StudyResult } from "./ablate.ts";
import type { Mark, Merits } from "./marks.ts";

/** Of Okabe and Ito's palette, which colour-blind readers tell apart. */
const colours: Readonly<Record<Mark, string>> = { better: "#009e73", "trade-off": "#e69f00", "within noise": "#777777", worse: "#d55e00" };
/** Where the base has too few seeds to say. */
const unmarked = "#0072b2";
const panel = { width: 520, row: 20, margins: 70 };
const names = 150;

const panels: readonly { readonly metric: keyof Merits; readonly title: string }[] = [
  { metric: "accuracy", title: "accuracy on validation images, minus the base's, percentage points" },
  { metric: "auroc", title: "mean AUROC against the outliers, minus the base's, hundredths" },
];

/** How many spreads from 0 are drawn: one variant that collapses must not squeeze the others into a line. */
const mostSpreads = 10;

/** What lies beyond is drawn at the edge, with its number. */
function drawnUpTo(sizes: readonly number[], spread: number | null): number {
  const largest = Math.max(...sizes, spread ?? 0);
  if (largest === 0) return 1;
  return spread ? Math.min(1.05 * largest, mostSpreads * spread) : 1.05 * largest;
}

/** Every variant's difference from the base, with the spread of the base's seeds in grey, as one SVG picture that stands on its own. */
export function studyFigure({ study, comparison }: StudyResult): string {
  const { spread, variants } = comparison;
  const rows = variants.flatMap(({ id, difference, mark }) => (difference ? [{ id, difference, mark }] : []));
  const height = panel.margins + panel.row * Math.max(1, rows.length);
  const drawn = panels.map(({ metric, title }, i) => {
    const points = rows.map(({ id, difference, mark }) => ({ id, x: 100 * difference[metric], colour: mark ? colours[mark] : unmarked }));
    const limit = drawnUpTo(
      points.map(({ x }) => Math.abs(x)),
      spread && 100 * spread[metric],
    );
    const beyond = points.filter(({ x }) => Math.abs(x) > limit);
    const band = spread ? [{ from: -100 * spread[metric], to: 100 * spread[metric] }] : [];
    const svg = draw({
      options: {
        width: panel.width,
        height,
        marginLeft: names,
        marginTop: 10,
        marginBottom: 40,
        x: { label: title, grid: true, domain: [-limit, limit], clamp: true, tickFormat: "+~r" },
        y: { domain: rows.map(({ id }) => id), label: null, type: "point", padding: 0.6 },
        marks: [
          Plot.rectX(band, { x1: "from", x2: "to", fill: "#999999", fillOpacity: 0.25 }),
          Plot.ruleX([0], { stroke: "#222222" }),
          Plot.ruleY(points, { x1: 0, x2: "x", y: "id", stroke: "colour" }),
          Plot.dot(points, { x: "x", y: "id", fill: "colour", r: 4 }),
          ...[-1, 1].map((side) =>
            Plot.text(
              beyond.filter(({ x }) => Math.sign(x) === side),
              {
                x: "x",
                y: "id",
                text: ({ x }: { x: number }) => x.toFixed(1),
                fill: "#222222",
                stroke: "#ffffff",
                textAnchor: side < 0 ? "start" : "end",
                dx: -8 * side,
              },
            ),
          ),
        ],
      },
      label: `${title}: ${points.map(({ id, x }) => `${id} ${x.toFixed(2)}`).join(", ")}`,
    });
    return `<g transform="translate(${i * (panel.width + 16)} 66)">${standalone(svg)}</g>`;
  });
  const text = (x: number, y: number, size: number, content: string) =>
    `<text x="${x}" y="${y}" font-size="${size}" fill="#222">${escapeXml(content)}</text>`;
  const legend = Object.entries(colours).map(
    ([mark, colour], i) => `<circle cx="${24 + 130 * i}" cy="46" r="4" fill="${colour}"/>${text(34 + 130 * i, 50, 12, mark)}`,
  );
  const seeds = comparison.base.measured.length;
  const band = spread
    ? `grey: spread of the base's ${seeds} seeds`
    : "the base has not been measured with two seeds: there is no spread to compare with";
  const [width, whole] = [panels.length * (panel.width + 16), height + 76];
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${whole}" width="${width}" height="${whole}" color="#222" font-family="sans-serif"><rect width="100%" height="100%" fill="#fff"/>${text(16, 24, 16, `Ablation study ${study.name}: ${rows.length} of ${variants.length} variants measured`)}${legend.join("")}${text(34 + 130 * legend.length, 50, 12, band)}${drawn.join("")}</svg>\n`;
}
