import { InternalError } from "../core/errors.ts";
import { parameter } from "../graph/build.ts";
import { Graph } from "../graph/graph.ts";
import type { ModelProto } from "../onnx/generated/onnx_pb.ts";
import { lower } from "../onnx/lower.ts";
import { encodeModel } from "../onnx/model-file.ts";
import { Session, type SessionOptions, type Tensor, tensor } from "./session.ts";

export interface StateTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

export const nextName = (name: string): string => `next.${name}`;

/**
 * A model that is run again and again, each time on the state that the last run made: output `next.X` becomes input `X`. On the CPU two sets of
 * buffers take turns, so that no step allocates; on the GPU the outputs stay there.
 */
export class FeedbackSession {
  private readonly session: Session;
  private readonly metricNames: readonly string[];
  private current: Map<string, Tensor>;
  /** Where the next run writes its state; none on a GPU, which makes its own. */
  private spare: Map<string, Tensor> | undefined;

  private constructor(session: Session, metricNames: readonly string[], current: Map<string, Tensor>, onDevice: boolean) {
    this.session = session;
    this.metricNames = metricNames;
    this.current = current;
    this.spare = onDevice
      ? undefined
      : new Map([...current].map(([name, { dims, size }]) => [name, tensor("float32", new Float32Array(size), dims)]));
  }

  /** `state`: the first value of every input that has a `next.` output. The arrays are copied. */
  static async create(model: ModelProto, state: ReadonlyMap<string, StateTensor>, options: SessionOptions = {}): Promise<FeedbackSession> {
    const outputs = model.graph!.output.map((output) => output.name);
    const expected = [...state.keys()].map(nextName);
    const missing = expected.filter((name) => !outputs.includes(name));
    if (missing.length > 0) throw new InternalError(`training step: no output ${missing.join(", ")}`);
    const onDevice = options.provider === "webgpu";
    const session = await Session.create(encodeModel(model), { ...options, ...(onDevice ? { keepOnDevice: expected } : {}) });
    const tensors = new Map([...state].map(([name, { shape, data }]) => [name, tensor("float32", data.slice(), shape)]));
    return new FeedbackSession(
      session,
      outputs.filter((name) => !expected.includes(name)),
      tensors,
      onDevice,
    );
  }

  /** One run: feeds the rest of the inputs, keeps the new state, and returns the scalar outputs. */
  async step(feeds: Readonly<Record<string, Tensor>>): Promise<Record<string, number>> {
    const { spare } = this;
    const inputs = { ...feeds, ...Object.fromEntries(this.current) };
    const metrics = Object.fromEntries(this.metricNames.map((name) => [name, tensor("float32", new Float32Array(1), [])]));
    const results = spare
      ? await this.session.run(inputs, { ...metrics, ...Object.fromEntries([...spare].map(([name, to]) => [nextName(name), to])) })
      : await this.session.run(inputs);
    const used = this.current;
    this.current = new Map([...used.keys()].map((name) => [name, results[nextName(name)]!]));
    if (spare) this.spare = used;
    else for (const old of used.values()) if (old.location === "gpu-buffer") old.dispose();
    return Object.fromEntries(this.metricNames.map((name) => [name, (results[name]!.data as Float32Array)[0]!]));
  }

  /** A copy of the state as it is now. */
  async state(): Promise<Map<string, StateTensor>> {
    const held = this.spare ? this.current : await this.fetchFromDevice();
    return new Map([...held].map(([name, { dims, data }]) => [name, { shape: dims, data: (data as Float32Array).slice() }]));
  }

  /** By a model that passes its inputs through to the host: reading a GPU tensor by itself ends the process in ONNX Runtime 1.30 for Node. */
  private async fetchFromDevice(): Promise<Map<string, Tensor>> {
    const graph = new Graph();
    const copies = [...this.current].map(([name, { dims }]) => [nextName(name), parameter(graph, name, dims)] as const);
    const model = lower(Object.fromEntries(copies), { target: { provider: "webgpu", block: 0 } });
    const session = await Session.create(encodeModel(model), { provider: "webgpu" });
    const results = await session.run(Object.fromEntries(this.current));
    await session.release();
    return new Map([...this.current.keys()].map((name) => [name, results[nextName(name)]!]));
  }

  endProfiling(): void {
    this.session.endProfiling();
  }

  async release(): Promise<void> {
    await this.session.release();
  }
}
