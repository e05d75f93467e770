// Tables as text.

/** Rows of cells, the first row a header, every column as wide as its widest cell. */
export function alignedColumns(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join("  ")
      .trimEnd(),
  );
}

export interface NamedRow {
  readonly what: string;
  /** One per column, or one for all of them. */
  readonly values: readonly string[];
}

/** Names to the left, values to the right, a rule under the first row. */
export function namedRows(rows: readonly NamedRow[]): string[] {
  const label = Math.max(...rows.map(({ what }) => what.length));
  const cell = Math.max(...rows.flatMap(({ values }) => values.map((value) => value.length)));
  return underlined(
    rows.map(({ what, values }) => [what.padEnd(label), ...values.map((value) => value.padStart(cell))].join("  ").trimEnd()),
  );
}

/** The same, with a rule under the header. */
export const ruledTable = (rows: readonly (readonly string[])[]): string[] => underlined(alignedColumns(rows));

/** Lines with a rule under the first. */
const underlined = ([header, ...rest]: readonly string[]): string[] => [
  header!,
  "-".repeat(Math.max(...[header!, ...rest].map((line) => line.length))),
  ...rest,
];

export function markdownTable(header: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(header), line(header.map(() => "---")), ...rows.map(line)];
}
