import { parentPort, workerData } from "node:worker_threads";
import { InternalError } from "../core/errors.ts";
import { type Batch, BatchMaker, type BatchPlan } from "./batch-source.ts";
import type { ImageSet } from "./image-set.ts";

// The thread that prepares batches: `{ step, slot }` comes in, the slot is filled, and the same message goes back.

/** What the thread is started with. Pixels, labels and slots are shared memory. */
export interface BatchWork {
  readonly set: ImageSet;
  readonly plan: BatchPlan;
  readonly slots: readonly Batch[];
}

export interface BatchRequest {
  readonly step: number;
  readonly slot: number;
}

if (!parentPort) throw new InternalError("batch-worker: expected to run as a worker thread");
const port = parentPort;
const { set, plan, slots } = workerData as BatchWork;
const maker = new BatchMaker(set, plan);
port.on("message", (request: BatchRequest) => {
  maker.make(request.step, slots[request.slot]!);
  port.postMessage(request);
});
