import type * as Ort from "onnxruntime-web";
import { InternalError, messageOf, UserError } from "../core/errors.ts";

/** `wasm` runs everywhere, on as many threads as the page may use; `webgpu` on the GPU, where the browser has WebGPU. */
export type Device = "wasm" | "webgpu";

export interface WebSessionOptions {
  readonly device?: Device;
  /** Of wasm; the first session of a page decides. Default: the cores, at most 4, where the page is cross-origin isolated, else 1. */
  readonly threads?: number;
  /** Folder with onnxruntime-web's .mjs and .wasm files, where the bundler does not bring them along. */
  readonly runtimeUrl?: string;
}

/** One loaded ONNX model in a browser. */
export class WebSession {
  private readonly session: Ort.InferenceSession;
  private readonly ort: typeof Ort;

  private constructor(ort: typeof Ort, session: Ort.InferenceSession) {
    this.ort = ort;
    this.session = session;
  }

  /** Errors: UserError when the device is not there, InternalError with ONNX Runtime's reason when the model cannot be loaded. */
  static async create(model: Uint8Array, { device = "wasm", threads, runtimeUrl }: WebSessionOptions = {}): Promise<WebSession> {
    if (device === "webgpu") await requireWebGpu();
    try {
      const ort = await runtimeFor(device);
      if (runtimeUrl !== undefined) ort.env.wasm.wasmPaths = runtimeUrl;
      ort.env.wasm.numThreads = threads ?? defaultThreads();
      const options = { executionProviders: [device], graphOptimizationLevel: "all", logSeverityLevel: 3 } as const;
      return new WebSession(ort, await ort.InferenceSession.create(model, options));
    } catch (error) {
      throw new InternalError(`ONNX Runtime could not load the model on device "${device}": ${messageOf(error)}`, { cause: error });
    }
  }

  /** uint8 `images` of `shape` [N, H, W, channels] -> the model's outputs. */
  async run(images: Uint8Array, shape: readonly number[]): Promise<Readonly<Record<string, Ort.Tensor>>> {
    return this.session.run({ images: new this.ort.Tensor("uint8", images, shape) });
  }

  async release(): Promise<void> {
    await this.session.release();
  }
}

/** Each build of ONNX Runtime is several megabytes: only the one that is used is loaded. */
const runtimeFor = (device: Device): Promise<typeof Ort> =>
  device === "webgpu" ? import("onnxruntime-web/webgpu") : import("onnxruntime-web/wasm");

/** Threads share memory, which browsers allow in cross-origin isolated pages only. More than 4 do not help networks this small. */
export const defaultThreads = (): number => (globalThis.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency) : 1);

async function requireWebGpu(): Promise<void> {
  const remedy = 'Use device "wasm", which runs everywhere.';
  const { gpu } = navigator as { readonly gpu?: { requestAdapter(): Promise<object | null> } };
  if (!gpu) throw new UserError(`device "webgpu": this browser has no WebGPU, or the page is not served over HTTPS. ${remedy}`);
  if ((await gpu.requestAdapter()) === null) throw new UserError(`device "webgpu": the browser found no GPU it may use. ${remedy}`);
}
