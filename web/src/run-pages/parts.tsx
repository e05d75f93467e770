import { plot } from "@observablehq/plot";
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Chart, TitledChart } from "../../../src/evaluate/report/chart.ts";

// What the pages of runs are made of.

/** A chart of the report, drawn in the page. */
export function Figure({ title, chart }: { readonly title: string; readonly chart: Chart }) {
  const holder = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const svg = plot({ ...chart.options, style: { background: "none", color: "inherit", fontFamily: "inherit" } });
    // The page's content policy takes no styles but those of its own files; style.css has what this one says.
    svg.querySelector("style")?.remove();
    // Names of marks, which are no words for a reader: the chart as a whole has some.
    for (const mark of svg.querySelectorAll("[aria-label]")) mark.removeAttribute("aria-label");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", chart.label);
    holder.current!.replaceChildren(svg);
  }, [chart]);
  return (
    <figure class="chart">
      <figcaption>{title}</figcaption>
      <div ref={holder} />
    </figure>
  );
}

/** More would keep the page busy for seconds: the rest are drawn when asked for. */
const mostCharts = 30;

export function Figures({ charts }: { readonly charts: readonly TitledChart[] }) {
  const [isWhole, setWhole] = useState(false);
  const shown = isWhole ? charts : charts.slice(0, mostCharts);
  return (
    <>
      <div class="charts">
        {shown.map((chart) => (
          <Figure key={chart.title} title={chart.title} chart={chart} />
        ))}
      </div>
      {shown.length < charts.length && (
        <button type="button" class="quiet" onClick={() => setWhole(true)}>
          Draw all {charts.length}
        </button>
      )}
    </>
  );
}

interface DataTableProps {
  readonly caption: string;
  readonly columns: readonly string[];
  /** Each starts with its name. */
  readonly rows: readonly (readonly ComponentChildren[])[];
}

/** May be wider than a phone: it then scrolls by itself, also with the keyboard. */
export function DataTable({ caption, columns, rows }: DataTableProps) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached with the keyboard
    <section class="scroll" aria-label={caption} tabIndex={0}>
      <table class="data">
        <caption>{caption}</caption>
        <thead>
          <tr>
            {columns.map((name) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(([name, ...values], r) => (
            <tr key={r}>
              <th scope="row">{name}</th>
              {values.map((value, c) => (
                <td key={columns[c + 1]} {...(values.length < columns.length - 1 ? { colSpan: columns.length - 1 } : {})}>
                  {value}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

/** Takes the focus when it appears: whoever came by keyboard, or hears the page, is at its beginning. */
export function Heading({ id, children }: { readonly id: string; readonly children: ComponentChildren }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current!.focus(), []);
  return (
    <h2 ref={heading} id={id} tabIndex={-1}>
      {children}
    </h2>
  );
}
