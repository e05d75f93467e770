import type { Worker } from "node:worker_threads";
import type { ModelCard } from "../../classify/card.ts";
import type { ImageBatch } from "../../classify/classifier.ts";
import { InternalError, messageOf } from "../../core/errors.ts";
import { closeBeforeExit } from "../../core/exit.ts";
import { entryBeside, errorOf, startWorker } from "../../core/worker.ts";
import type { Answer, Inferred, NumberedRequest, Request, Value } from "./messages.ts";

interface Pending {
  readonly resolve: (value: Value) => void;
  readonly reject: (error: Error) => void;
}

/** The server's end of one inference thread. What is asked after its death fails with an InternalError. */
export class InferenceThread {
  private readonly worker: Worker;
  private readonly pending = new Map<number, Pending>();
  private nextId = 0;
  private death: InternalError | undefined;
  private isClosing = false;
  private readonly ended: Promise<void>;

  /** `onDeath`: called once when the thread ends without having been closed. `entry`: its program, ours unless told. */
  constructor(onDeath: (error: InternalError) => void, entry: URL = entryBeside(import.meta.url, "thread")) {
    this.worker = startWorker(entry, {});
    this.ended = new Promise((resolve) => this.worker.once("exit", () => resolve()));
    this.worker.on("message", (answer: Answer) => this.settle(answer));
    const die = (reason: string) => {
      if (this.death) return;
      this.death = new InternalError(`an inference thread died: ${reason}`);
      for (const { reject } of this.pending.values()) reject(this.death);
      this.pending.clear();
      if (!this.isClosing) onDeath(this.death);
    };
    this.worker.on("error", (error) => die(messageOf(error)));
    this.worker.on("exit", (code) => die(`it exited with code ${code}`));
    this.worker.once(
      "exit",
      closeBeforeExit(() => this.close()),
    );
  }

  /** Errors: UserError when the bytes are not a model that works. */
  async load(generation: number, bytes: Uint8Array, source: string): Promise<ModelCard> {
    return (await this.ask({ kind: "load", generation, bytes, source })) as ModelCard;
  }

  async drop(generation: number): Promise<void> {
    await this.ask({ kind: "drop", generation });
  }

  /** The pixels are handed over: they must be the whole of their buffer, and are gone afterwards. */
  async classify(generation: number, images: ImageBatch): Promise<Inferred> {
    return (await this.ask({ kind: "classify", generation, images }, [images.pixels.buffer as ArrayBuffer])) as Inferred;
  }

  /** Lets it finish what it was asked: ONNX Runtime takes the whole process down when a thread is ended in the middle of a run. */
  async close(): Promise<void> {
    this.isClosing = true;
    // One that dies of what it was still at has stopped as well.
    await this.ask({ kind: "stop" }).catch(() => {});
    await this.ended;
  }

  private ask(request: Request, handedOver: readonly ArrayBuffer[] = []): Promise<Value> {
    return new Promise((resolve, reject) => {
      if (this.death) return reject(this.death);
      const id = this.nextId++;
      this.pending.set(id, { resolve, reject });
      const message: NumberedRequest = { id, request };
      this.worker.postMessage(message, handedOver);
    });
  }

  private settle(answer: Answer): void {
    const pending = this.pending.get(answer.id);
    this.pending.delete(answer.id);
    if ("failure" in answer) pending?.reject(errorOf(answer.failure));
    else pending?.resolve(answer.value);
  }
}
