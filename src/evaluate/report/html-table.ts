import { escapeHtml } from "../../core/markup.ts";
import type { Table } from "./metric-tables.ts";

/** With a header per column and per row. */
export function htmlTable({ caption, columns, rows }: Omit<Table, "caption"> & Partial<Table>): string {
  const head = columns.map((name) => `<th scope="col">${escapeHtml(name)}</th>`).join("");
  const body = rows.map(([name, ...values]) => {
    const cells = values.map((value) => `<td>${escapeHtml(value)}</td>`).join("");
    return `<tr><th scope="row">${escapeHtml(name!)}</th>${cells}</tr>`;
  });
  const title = caption === undefined ? "" : `<caption>${escapeHtml(caption)}</caption>`;
  return `<div class="scroll"><table class="data">${title}<thead><tr>${head}</tr></thead><tbody>${body.join("")}</tbody></table></div>`;
}
