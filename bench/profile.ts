import { readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { median } from "./measure.ts";

type TensorShapes = readonly Readonly<Record<string, readonly number[]>>[];

interface ProfileEvent {
  readonly cat: string;
  readonly name: string;
  readonly ts: number;
  /** Microseconds. */
  readonly dur: number;
  readonly args: {
    readonly op_name?: string;
    readonly input_type_shape?: TensorShapes;
    readonly output_type_shape?: TensorShapes;
    /** Bytes, as text. */
    readonly activation_size?: string;
    readonly parameter_size?: string;
    readonly output_size?: string;
  };
}

export interface ProfileRow {
  readonly op: string;
  /** Input and output shapes; none in the summary by op type. */
  readonly shapes?: string;
  /** Nodes of this row in one run. */
  readonly nodes: number;
  /** Of one run: the median over all runs of the sum over the row's nodes. */
  readonly milliseconds: number;
  readonly share: number;
  /** Multiplications and additions of convolutions and matrix products; absent where there are none. */
  readonly gigaflopsPerSecond?: number;
  /** Inputs read once and outputs written once. */
  readonly gigabytesPerSecond: number;
}

const product = (shape: readonly number[]): number => shape.reduce((total, dim) => total * dim, 1);
const shapesOf = (tensors: TensorShapes = []): (readonly number[])[] => tensors.map((tensor) => Object.values(tensor)[0]!);

/**
 * Two per multiplication and addition. A convolution does (numbers of one filter) of them per output, a transposed one per input; a matrix product
 * [.., I, J] x [.., J, K] does J per output.
 */
function flopsOf({ args }: ProfileEvent): number {
  const [inputs, [output]] = [shapesOf(args.input_type_shape), shapesOf(args.output_type_shape)];
  const [a, b] = inputs;
  if (!a || !b || !output) return 0;
  switch (args.op_name) {
    case "Conv":
      return 2 * product(output) * product(b.slice(1));
    case "ConvTranspose":
      return 2 * product(a) * product(b.slice(1));
    case "MatMul":
    case "FusedMatMul":
    case "Gemm":
    case "FusedGemm":
      // sqrt((I J) (J K) / (I K)) = J, whichever operand is transposed.
      return 2 * product(output) * Math.sqrt((product(a) * product(b)) / product(output) / (product(output) / product(output.slice(-2))));
    default:
      return 0;
  }
}

const bytesOf = ({ args }: ProfileEvent): number =>
  Number(args.activation_size ?? 0) + Number(args.parameter_size ?? 0) + Number(args.output_size ?? 0);

/** The nodes of one kind in each run. */
interface Group {
  readonly op: string;
  readonly shapes?: string;
  readonly runs: ProfileEvent[][];
}

function group(runs: readonly (readonly ProfileEvent[])[], byShape: boolean): Group[] {
  const groups = new Map<string, Group>();
  runs.forEach((events, run) => {
    for (const event of events) {
      const op = event.args.op_name ?? "?";
      const [from, to] = [event.args.input_type_shape, event.args.output_type_shape].map((tensors) =>
        shapesOf(tensors)
          .map((shape) => shape.join("x"))
          .join(" "),
      );
      const shapes = `${from} -> ${to}`;
      const key = byShape ? `${op} ${shapes}` : op;
      const known = groups.get(key) ?? { op, ...(byShape ? { shapes } : {}), runs: runs.map(() => []) };
      known.runs[run]!.push(event);
      groups.set(key, known);
    }
  });
  return [...groups.values()];
}

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
const microseconds = (events: readonly ProfileEvent[]): number => sum(events.map(({ dur }) => dur));

/**
 * Reads ONNX Runtime's profile written under `prefix`: time per op type, and per op type with its shapes, the longest first.
 * The first `warmUpRuns` do not count.
 */
export function readProfile(prefix: string, warmUpRuns: number): { readonly byType: ProfileRow[]; readonly byShape: ProfileRow[] } {
  const folder = dirname(prefix);
  const file = readdirSync(folder).find((name) => name.startsWith(basename(prefix)) && name.endsWith(".json"))!;
  const events = JSON.parse(readFileSync(join(folder, file), "utf8")) as ProfileEvent[];
  const kernels = events.filter(({ cat, name }) => cat === "Node" && name.endsWith("kernel_time"));
  const runs = events
    .filter(({ name }) => name === "model_run")
    .slice(warmUpRuns)
    .map(({ ts, dur }) => kernels.filter((event) => event.ts >= ts && event.ts < ts + dur));
  const total = median(runs.map(microseconds));
  const rows = (byShape: boolean): ProfileRow[] =>
    group(runs, byShape)
      .map(({ runs: groupRuns, ...names }) => {
        const time = median(groupRuns.map(microseconds));
        const [nodes] = groupRuns as [ProfileEvent[]];
        const flops = sum(nodes.map(flopsOf));
        return {
          ...names,
          nodes: nodes.length,
          milliseconds: time / 1000,
          share: time / total,
          ...(flops > 0 ? { gigaflopsPerSecond: flops / time / 1000 } : {}),
          gigabytesPerSecond: sum(nodes.map(bytesOf)) / time / 1000,
        };
      })
      .sort((a, b) => b.milliseconds - a.milliseconds);
  return { byType: rows(false), byShape: rows(true) };
}
