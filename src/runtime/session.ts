import { availableParallelism } from "node:os";
import * as ort from "onnxruntime-node";
import { InternalError, messageOf, UserError } from "../core/errors.ts";
import { kindOf } from "../core/kinds.ts";
import { oneOf } from "../core/names.ts";
import type { DType } from "../graph/types.ts";

/** `cpu` is the default; `webgpu` runs on a GPU through Vulkan, Metal or Direct3D; `cuda` needs ONNX Runtime's CUDA binaries. */
export type Provider = "cpu" | "webgpu" | "cuda";
export const providers: readonly Provider[] = ["cpu", "webgpu", "cuda"];

export type Tensor = ort.Tensor;
export type TensorData = Float32Array | BigInt64Array | Uint8Array;

export interface SessionOptions {
  readonly provider?: Provider;
  /** Threads of the CPU provider; default: the cores that are there. */
  readonly threads?: number;
  /** Names of outputs that stay on the GPU (webgpu only). */
  readonly keepOnDevice?: readonly string[];
  /** Writes per-node times to `<profilePrefix>_<time>.json`; `endProfiling` gives the file's name. */
  readonly profilePrefix?: string;
}

/** A tensor over `data` (not copied). Lengths are checked by ONNX Runtime. */
export const tensor = (dtype: DType, data: TensorData, shape: readonly number[]): Tensor => new ort.Tensor(dtype, data, shape);

export const runtimeVersion = (): string => ort.env.versions.node ?? ort.env.versions.common;

/** More than a machine has cores; ONNX Runtime would start any number, and take the machine down. */
export const mostThreads = 512;

/** Errors: UserError for a provider that is none of ours, or a number of threads that cannot be. */
export function requireMachine({ provider, threads }: Pick<SessionOptions, "provider" | "threads">): void {
  if (provider !== undefined) oneOf("provider", provider, providers);
  if (threads === undefined || (Number.isInteger(threads) && threads >= 1 && threads <= mostThreads)) return;
  throw new UserError(`threads: expected a whole number from 1 to ${mostThreads}, got ${kindOf(threads)}`);
}

export const defaultThreads = (): number => availableParallelism();

/**
 * Threads that wait busily take the cores from those they wait for: not after a run, when another session may have its turn (without this,
 * taking turns on two cores halves the speed), and within a run no longer than most nodes take, so that on a machine with other work they give way
 * (two trainings on two cores are a fifth faster, one alone is as fast).
 */
const busyWaiting = { force_spinning_stop: "1", intra_op: { spin_duration_us: "200" } };

/** One loaded ONNX model. Calls run one after another; `run` keeps the calling thread busy (a server calls it from a worker). */
export class Session {
  private readonly session: ort.InferenceSession;

  private constructor(session: ort.InferenceSession) {
    this.session = session;
  }

  /** Errors: as `requireMachine`; with ONNX Runtime's reason, InternalError when the model cannot be loaded, UserError when that is on another provider than "cpu", which may not be there. */
  static async create(model: Uint8Array, options: SessionOptions = {}): Promise<Session> {
    requireMachine(options);
    const provider = options.provider ?? "cpu";
    try {
      const session = await ort.InferenceSession.create(model, {
        executionProviders: [provider],
        graphOptimizationLevel: "all",
        intraOpNumThreads: options.threads ?? defaultThreads(),
        interOpNumThreads: 1,
        executionMode: "sequential",
        logSeverityLevel: 3,
        extra: { session: busyWaiting },
        ...(options.keepOnDevice && provider === "webgpu"
          ? { preferredOutputLocation: Object.fromEntries(options.keepOnDevice.map((name) => [name, "gpu-buffer" as const])) }
          : {}),
        ...(options.profilePrefix ? { enableProfiling: true, profileFilePrefix: options.profilePrefix } : {}),
      });
      return new Session(session);
    } catch (error) {
      const Failure = provider === "cpu" ? InternalError : UserError;
      const advice = provider === "cpu" ? "" : "; is there such a device? sdim doctor says what there is";
      throw new Failure(`ONNX Runtime could not load the model on provider "${provider}": ${messageOf(error)}${advice}`, { cause: error });
    }
  }

  get inputNames(): readonly string[] {
    return this.session.inputNames;
  }

  get outputNames(): readonly string[] {
    return this.session.outputNames;
  }

  /** `outputs`: the names wanted (default: all), or tensors to write the results into. */
  async run(
    feeds: Readonly<Record<string, Tensor>>,
    outputs?: readonly string[] | Readonly<Record<string, Tensor>>,
  ): Promise<Readonly<Record<string, Tensor>>> {
    if (!outputs) return this.session.run(feeds);
    return this.session.run(feeds, outputs as readonly string[]);
  }

  endProfiling(): void {
    this.session.endProfiling();
  }

  async release(): Promise<void> {
    await this.session.release();
  }
}
