import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";

// Charts as SVG text, drawn without a browser. Colours are CSS variables of the page, so that they follow light and dark.

export const inside = "var(--inside)";
export const outside = "var(--outside)";

/** `label` is what a screen reader says. */
export function draw(options: Plot.PlotOptions, label: string): string {
  const { document } = parseHTML("<!doctype html><html><body></body></html>");
  const svg = Plot.plot({ ...options, document, style: { background: "none", color: "inherit", fontFamily: "inherit" } });
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", label);
  return svg.outerHTML;
}
