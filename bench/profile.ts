import { readdirSync, readFileSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";

interface ProfileEvent {
  readonly cat: string;
  readonly name: string;
  readonly dur: number;
  readonly args: { readonly op_name?: string; readonly input_type_shape?: readonly Readonly<Record<string, readonly number[]>>[] };
}

export interface ProfileRow {
  readonly op: string;
  /** Input shapes; none in the summary by op type. */
  readonly shapes?: string;
  readonly milliseconds: number;
  readonly share: number;
}

/** Reads ONNX Runtime's profile written under `prefix` (and deletes it): time per op type, and per op type with its shapes. */
export function readProfile(prefix: string): { readonly byType: ProfileRow[]; readonly byShape: ProfileRow[] } {
  const folder = dirname(prefix);
  const file = readdirSync(folder).find((name) => name.startsWith(basename(prefix)) && name.endsWith(".json"))!;
  const events = JSON.parse(readFileSync(join(folder, file), "utf8")) as ProfileEvent[];
  rmSync(join(folder, file));
  const nodes = events.filter(({ cat, name }) => cat === "Node" && name.endsWith("kernel_time"));
  const total = nodes.reduce((sum, { dur }) => sum + dur, 0);
  const grouped = (key: (event: ProfileEvent) => string): [string, number][] => {
    const sums = new Map<string, number>();
    for (const event of nodes) sums.set(key(event), (sums.get(key(event)) ?? 0) + event.dur);
    return [...sums].sort((a, b) => b[1] - a[1]);
  };
  const shapesOf = ({ args }: ProfileEvent) => (args.input_type_shape ?? []).map((input) => Object.values(input)[0]!.join("x")).join(" ");
  const row = (dur: number) => ({ milliseconds: dur / 1000, share: dur / total });
  return {
    byType: grouped((event) => event.args.op_name ?? "?").map(([op, dur]) => ({ op, ...row(dur) })),
    byShape: grouped((event) => `${event.args.op_name}|${shapesOf(event)}`).map(([key, dur]) => {
      const [op, shapes] = key.split("|") as [string, string];
      return { op, shapes, ...row(dur) };
    }),
  };
}
