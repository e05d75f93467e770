const blocks = "▁▂▃▄▅▆▇█";

/** Means of `count` stretches of equal length, or the values themselves where there are fewer. */
export function bin(values: readonly number[], count: number): number[] {
  if (values.length <= count) return [...values];
  return Array.from({ length: count }, (_, i) => {
    const [from, to] = [Math.floor((i * values.length) / count), Math.floor(((i + 1) * values.length) / count)];
    return values.slice(from, to).reduce((sum, value) => sum + value, 0) / (to - from);
  });
}

/** A line of blocks from the lowest value to the highest. */
export function sparkline(values: readonly number[], width: number): string {
  const columns = bin(values, width);
  const [low, high] = [Math.min(...columns), Math.max(...columns)];
  return columns.map((value) => blocks[high === low ? 0 : Math.round(((value - low) / (high - low)) * (blocks.length - 1))]).join("");
}

/** `52%` of `width`. */
export function bar(fraction: number, width: number): string {
  const filled = Math.round(Math.min(1, Math.max(0, fraction)) * width);
  return `${"█".repeat(filled)}${"░".repeat(width - filled)}`;
}

/** A curve in ASCII: `height` rows with the values at their left, `labels` under its two ends. */
export function plot(values: readonly number[], width: number, height: number, labels: readonly [string, string]): string[] {
  const columns =
    values.length >= width ? bin(values, width) : Array.from({ length: width }, (_, i) => values[Math.floor((i * values.length) / width)]!);
  const [low, high] = [Math.min(...columns), Math.max(...columns)];
  const rowOf = (value: number) => (high === low ? height - 1 : Math.round(((high - value) / (high - low)) * (height - 1)));
  const levels = Array.from({ length: height }, (_, row) => (high - ((high - low) * row) / Math.max(1, height - 1)).toPrecision(4));
  const margin = Math.max(...levels.map((level) => level.length));
  const rows = levels.map((level, row) => {
    const line = columns.map((value) => (rowOf(value) === row ? "*" : " ")).join("");
    return `${level.padStart(margin)} |${line}`.trimEnd();
  });
  const gap = Math.max(1, columns.length - labels[0].length - labels[1].length);
  return [
    ...rows,
    `${" ".repeat(margin)} +${"-".repeat(columns.length)}`,
    `${" ".repeat(margin + 2)}${labels[0]}${" ".repeat(gap)}${labels[1]}`,
  ];
}
