import { assertInternal } from "../../core/errors.ts";
import type { Value } from "../../graph/graph.ts";
import { type StaticShape, sizeOf } from "../../graph/types.ts";
import { type Emitter, int } from "../emitter.ts";

/** What a model is lowered for. Every choice of formulation hangs on this and on shapes alone. */
export interface Target {
  readonly provider: "cpu" | "webgpu" | "cuda";
  /**
   * Channels per block of the CPU's blocked layout (domain com.microsoft.nchwc: [N, C/block, H, W, block]), as probed by the runtime;
   * 0: do not use it (other providers, model files for any runtime, CPUs without it).
   */
  readonly block: number;
}

/** For any ONNX runtime: standard operators only. */
export const portable: Target = { provider: "cpu", block: 0 };

const nchwc = "com.microsoft.nchwc" as const;

/**
 * The state of one lowering: which ONNX tensor holds which value. A value may be held in the plain layout [N, C, H, W], in the blocked
 * one [N, C/block, H, W, block] (under the same logical shape), or both; a reorder is emitted once, when the missing one is asked for.
 */
export class Lowering {
  readonly emitter: Emitter;
  readonly target: Target;
  private readonly plainNames = new Map<Value, string>();
  private readonly blockedNames = new Map<Value, string>();
  private readonly shared = new Map<string, string>();

  private readonly fixedParameters: ReadonlySet<string>;

  /** `fixedParameters`: names of those that become initializers of the model. */
  constructor(emitter: Emitter, target: Target, fixedParameters: ReadonlySet<string> = new Set()) {
    this.emitter = emitter;
    this.target = target;
    this.fixedParameters = fixedParameters;
  }

  /** Whether a value is the same at each run, so that the runtime works out once, when it loads the model, what is made of it in standard operators. */
  isFixed({ op }: Value): boolean {
    return op.kind === "parameter" && this.fixedParameters.has(op.name);
  }

  plain(value: Value): string {
    const known = this.plainNames.get(value);
    if (known) return known;
    const blocked = this.blockedNames.get(value);
    assertInternal(blocked, `lowering: ${value.name} is used before it is lowered`);
    const name = this.emitter.node("ReorderOutput", [blocked], { channels: int(value.type.shape[1] as number) }, nchwc);
    this.plainNames.set(value, name);
    return name;
  }

  blocked(value: Value): string {
    const known = this.blockedNames.get(value);
    if (known) return known;
    assertInternal(this.canBlock(value), `lowering: ${value.name} has no blocked layout`);
    const name = this.emitter.node("ReorderInput", [this.plain(value)], {}, nchwc);
    this.blockedNames.set(value, name);
    return name;
  }

  setPlain(value: Value, name: string): void {
    this.plainNames.set(value, name);
  }

  setBlocked(value: Value, name: string): void {
    this.blockedNames.set(value, name);
  }

  isBlocked(value: Value): boolean {
    return this.blockedNames.has(value);
  }

  /** Whether a value can be held in the blocked layout: a static [N, C, H, W] of floats whose channels fill whole blocks. */
  canBlock(value: Value): boolean {
    const { dtype, shape } = value.type;
    const [, channels] = shape;
    return (
      this.target.block > 0 &&
      dtype === "float32" &&
      shape.length === 4 &&
      shape.every((dim) => typeof dim === "number") &&
      this.fillsBlocks(channels as number)
    );
  }

  fillsBlocks(channels: number): boolean {
    return this.target.block > 0 && channels % this.target.block === 0;
  }

  /** Emits once what several nodes share, such as a weight in another arrangement. */
  once(key: string, emit: () => string): string {
    const known = this.shared.get(key);
    if (known) return known;
    const name = emit();
    this.shared.set(key, name);
    return name;
  }

  reshape(name: string, shape: StaticShape): string {
    return this.emitter.node("Reshape", [name, this.emitter.indices(shape)]);
  }

  zeros(shape: StaticShape): string {
    return this.emitter.constant("float32", shape, new Array(sizeOf(shape)).fill(0));
  }
}
