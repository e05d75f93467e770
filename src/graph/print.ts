import { reachable, type Value } from "./graph.ts";
import { showType } from "./types.ts";

/** One line per node, in order: `%12 = conv2d(%3, %7) {stride: 1, padding: 1} : float32[N, 32, 32, 32]  # encoder.stem`. */
export function print(outputs: readonly Value[]): string {
  return reachable(outputs)
    .map((value) => {
      const { kind, ...attributes } = value.op;
      const shown = Object.entries(attributes).map(([key, attribute]) => `${key}: ${shorten(JSON.stringify(attribute))}`);
      const operands = value.inputs.map((x) => `%${x.id}`).join(", ");
      return `%${value.id} = ${kind}(${operands})${shown.length > 0 ? ` {${shown.join(", ")}}` : ""} : ${showType(value.type)}  # ${value.name}`;
    })
    .join("\n");
}

const shorten = (text: string): string => (text.length > 60 ? `${text.slice(0, 57)}...` : text);
