/** Log-likelihoods of an image per class: the paper's and ours. */
export interface LogitRow {
  readonly label: string;
  readonly paper: readonly number[] | null;
  /** null in a cell: there is none. */
  readonly ours: readonly (number | null)[] | null;
  /** What the model says of the image. */
  readonly verdict: string | null;
}

export interface LogitTable {
  readonly id: string;
  readonly title: string;
  readonly classNames: readonly string[];
  readonly rows: readonly LogitRow[];
  readonly notes: readonly string[];
}

/** In each cell the paper's number, then ours; the largest of ours in a row of adversarials is what wins. */
export function logitTableMarkdown({ title, classNames, rows, notes }: LogitTable, circumstances: readonly string[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const shown = (value: number | null | undefined) => (value === null || value === undefined ? "-" : value.toFixed(1));
  return [
    `# ${title}`,
    "",
    "Paper / **ours**, nats; a dash where there is no number.",
    "",
    line(["", ...classNames, "what our model says"]),
    line(["---", ...classNames.map(() => "---"), "---"]),
    ...rows.map(({ label, paper, ours, verdict }) =>
      line([label, ...classNames.map((_, c) => `${shown(paper?.[c])} / **${shown(ours?.[c])}**`), verdict ?? "-"]),
    ),
    "",
    ...notes.map((note) => `- ${note}`),
    ...circumstances.map((text) => `- ${text}`),
    "",
  ].join("\n");
}
