import type { PlotOptions } from "@observablehq/plot";

// What a chart shows, drawn nowhere yet: a report makes text of it (draw.ts), the web page a part of its document. Colours are CSS variables
// of either, so that they follow light and dark.

export const inside = "var(--inside)";
export const outside = "var(--outside)";

export interface Chart {
  readonly options: PlotOptions;
  /** What a screen reader says. */
  readonly label: string;
}

export interface TitledChart extends Chart {
  readonly title: string;
}
