import { InternalError } from "../core/errors.ts";
import { reachable, type Value } from "./graph.ts";
import { inferType } from "./shapes.ts";
import { sameShape, showType } from "./types.ts";

/**
 * Checks everything the outputs need: one graph, inputs made before their users, types as the shape rules give them, input and
 * parameter names unique. Errors: InternalError that lists every violation.
 */
export function verify(outputs: readonly Value[]): void {
  const problems: string[] = [];
  const names = new Set<string>();
  for (const value of reachable(outputs)) {
    if (value.graph !== outputs[0]!.graph) problems.push(`${value.name}: belongs to another graph`);
    for (const x of value.inputs) if (x.id >= value.id) problems.push(`${value.name}: uses ${x.name}, which is made later`);
    const expected = inferType(
      value.op,
      value.inputs.map((x) => x.type),
    );
    if (expected.dtype !== value.type.dtype || !sameShape(expected.shape, value.type.shape)) {
      problems.push(`${value.name}: is ${showType(value.type)}, its op gives ${showType(expected)}`);
    }
    if ("name" in value.op) {
      if (names.has(value.op.name)) problems.push(`${value.op.name}: the name is used twice`);
      names.add(value.op.name);
    }
  }
  if (problems.length > 0) throw new InternalError(`the graph is not sound:\n${problems.join("\n")}`);
}
