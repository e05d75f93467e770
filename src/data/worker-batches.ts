import type { Worker } from "node:worker_threads";
import { InternalError, messageOf } from "../core/errors.ts";
import { entryBeside, startWorker } from "../core/worker.ts";
import { type Batch, type BatchPlan, type BatchSource, sharedBatch } from "./batch-source.ts";
import type { BatchRequest, BatchWork } from "./batch-worker.ts";
import type { ImageSet } from "./image-set.ts";

/** Two batches are under way while one is in use. */
const slotCount = 2;

/**
 * Batches prepared by a thread of their own, two ahead of the training: the same bytes as InThreadBatches, because seed and step alone decide
 * them. The images are copied once into memory that both threads see. Every `take` copies its batch out of the shared slot, which ONNX Runtime
 * cannot read itself, and gives the slot back at once.
 */
export class WorkerBatches implements BatchSource {
  private readonly worker: Worker;
  private readonly slots: readonly Batch[];
  private readonly batch: Batch;
  private readonly ready = new Set<number>();
  private next: number;
  private failure: InternalError | undefined;
  private wake: (() => void) | undefined;
  private isClosed = false;

  /** `firstStep`: of the first `take`. `entry`: the worker's program, ours unless told. */
  constructor(set: ImageSet, plan: BatchPlan, firstStep: number, entry: URL = entryBeside(import.meta.url, "batch-worker")) {
    this.slots = Array.from({ length: slotCount }, () => sharedBatch(set, plan.batchSize));
    const { images, labels } = this.slots[0]!;
    this.batch = { images: new Uint8Array(images.length), labels: new BigInt64Array(labels.length) };
    this.next = firstStep;
    const work: BatchWork = { set: sharedSet(set), plan, slots: this.slots };
    this.worker = startWorker(entry, { workerData: work });
    this.worker.on("message", ({ step }: BatchRequest) => {
      this.ready.add(step);
      this.wake?.();
    });
    this.worker.on("error", (error) => this.fail(messageOf(error)));
    this.worker.on("exit", (code) => this.fail(`it exited with code ${code}`));
    for (let ahead = 0; ahead < slotCount; ahead++) this.ask(firstStep + ahead);
  }

  /** Errors: InternalError when the thread has died. */
  async take(step: number): Promise<Batch> {
    if (step !== this.next) throw new InternalError(`batches: expected step ${this.next}, got ${step}`);
    while (!this.ready.has(step)) {
      if (this.failure) throw this.failure;
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
    this.ready.delete(step);
    const slot = this.slots[step % slotCount]!;
    this.batch.images.set(slot.images);
    this.batch.labels.set(slot.labels);
    this.ask(step + slotCount);
    this.next = step + 1;
    return this.batch;
  }

  async close(): Promise<void> {
    this.isClosed = true;
    await this.worker.terminate();
  }

  private ask(step: number): void {
    const request: BatchRequest = { step, slot: step % slotCount };
    this.worker.postMessage(request);
  }

  private fail(reason: string): void {
    // An error is followed by an exit: the first says more.
    if (this.isClosed || this.failure) return;
    this.failure = new InternalError(`batches: the thread that prepares them died: ${reason}`);
    this.wake?.();
  }
}

function sharedSet(set: ImageSet): ImageSet {
  const pixels = new Uint8Array(new SharedArrayBuffer(set.pixels.byteLength));
  pixels.set(set.pixels);
  const labels = new Int32Array(new SharedArrayBuffer(set.labels.byteLength));
  labels.set(set.labels);
  return { ...set, pixels, labels };
}
