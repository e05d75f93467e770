import { InternalError } from "../core/errors.ts";
import type { Op } from "./ops.ts";
import { inferType } from "./shapes.ts";
import { showType, type TensorType } from "./types.ts";

/** One tensor of a graph: the op that makes it, and from what. Made only by `Graph.node`, which checks the shapes. */
export interface Value {
  readonly graph: Graph;
  readonly id: number;
  readonly op: Op;
  readonly inputs: readonly Value[];
  readonly type: TensorType;
  /** The scope it was made in, its kind and number: `encoder.stage1/conv2d_12`; the given name for inputs and parameters. */
  readonly name: string;
}

/**
 * A static tensor graph under construction. Nodes are kept in the order they are made, which is a topological order;
 * a node equal to an earlier one (same op, same inputs) is that earlier one.
 */
export class Graph {
  readonly values: Value[] = [];
  private readonly known = new Map<string, Value>();
  private readonly named = new Map<string, Value>();
  private scopes: string[] = [];

  /** Errors: InternalError that names op, input types and scope when the shapes do not fit. */
  node(op: Op, inputs: readonly Value[]): Value {
    const key = `${JSON.stringify(op, keepNonFinite)}(${inputs.map((input) => input.id).join()})`;
    const earlier = this.known.get(key);
    if (earlier) return earlier;
    for (const input of inputs) {
      if (input.graph !== this) throw new InternalError(`${op.kind}: ${input.name} belongs to another graph`);
    }
    const id = this.values.length;
    const scope = this.scopes.join(".");
    const name = "name" in op ? op.name : `${scope === "" ? "" : `${scope}/`}${op.kind}_${id}`;
    if ("name" in op && this.named.has(name))
      throw new InternalError(`${op.kind} "${name}": the name is taken by another ${this.named.get(name)!.op.kind}`);
    const inputTypes = inputs.map((input) => input.type);
    let type: TensorType;
    try {
      type = inferType(op, inputTypes);
    } catch (error) {
      if (!(error instanceof InternalError)) throw error;
      throw new InternalError(
        `${error.message}; in ${name} of ${inputs.map((input) => `${input.name} ${showType(input.type)}`).join(", ")}`,
      );
    }
    const value: Value = { graph: this, id, op, inputs, type, name };
    this.values.push(value);
    this.known.set(key, value);
    if ("name" in op) this.named.set(name, value);
    return value;
  }

  /** Nodes made inside `build` carry `name` in front of their own names. */
  scope<T>(name: string, build: () => T): T {
    this.scopes.push(name);
    try {
      return build();
    } finally {
      this.scopes.pop();
    }
  }

  /** The scope's dotted path for a parameter: `encoder.stage1.block1` + `conv1.weight`. */
  path(name: string): string {
    return [...this.scopes, name].join(".");
  }

  parameters(): Value[] {
    return this.values.filter((value) => value.op.kind === "parameter");
  }
}

/** JSON has no infinities and no NaN: it would write null for each, and take them for equal. */
const keepNonFinite = (_key: string, value: unknown): unknown =>
  typeof value === "number" && !Number.isFinite(value) ? String(value) : value;

/** The values that `outputs` need, in topological order. */
export function reachable(outputs: readonly Value[]): Value[] {
  const seen = new Set<Value>();
  const open = [...outputs];
  for (let value = open.pop(); value; value = open.pop()) {
    if (seen.has(value)) continue;
    seen.add(value);
    open.push(...value.inputs);
  }
  return [...seen].sort((a, b) => a.id - b.id);
}
