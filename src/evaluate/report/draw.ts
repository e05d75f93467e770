import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import type { Chart } from "./chart.ts";

/** The chart as SVG text, drawn without a browser. */
export function draw({ options, label }: Chart): string {
  const { document } = parseHTML("<!doctype html><html><body></body></html>");
  const svg = Plot.plot({ ...options, document, style: { background: "none", color: "inherit", fontFamily: "inherit" } });
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", label);
  return svg.outerHTML;
}
