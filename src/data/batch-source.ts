import { InternalError } from "../core/errors.ts";
import { type Augmentation, gatherAugmented } from "./augment.ts";
import { BatchOrder } from "./batches.ts";
import { gatherLabels, type ImageSet } from "./image-set.ts";

/** What decides every batch, besides the images themselves. */
export interface BatchPlan {
  readonly batchSize: number;
  readonly seed: number;
  readonly augmentation: Augmentation;
}

export interface Batch {
  /** [batchSize, H, W, C] */
  readonly images: Uint8Array;
  /** [batchSize] */
  readonly labels: BigInt64Array;
}

/** Batches by step, one after another. */
export interface BatchSource {
  /** The batch of `step`, which must be the one after the last taken. Its arrays hold until the next call. */
  take(step: number): Promise<Batch>;
  close(): Promise<void>;
}

const pixelBytes = ({ height, width, channels }: ImageSet, batchSize: number): number => batchSize * height * width * channels;

/** Room for one batch, in memory that threads can share. */
export function sharedBatch(set: ImageSet, batchSize: number): Batch {
  return {
    images: new Uint8Array(new SharedArrayBuffer(pixelBytes(set, batchSize))),
    labels: new BigInt64Array(new SharedArrayBuffer(batchSize * BigInt64Array.BYTES_PER_ELEMENT)),
  };
}

/** Gathers and augments the batch of any step: seed and step alone decide what is in it. */
export class BatchMaker {
  private readonly set: ImageSet;
  private readonly plan: BatchPlan;
  private readonly order: BatchOrder;

  constructor(set: ImageSet, plan: BatchPlan) {
    this.set = set;
    this.plan = plan;
    this.order = new BatchOrder(set.count, plan.batchSize, plan.seed);
  }

  make(step: number, { images, labels }: Batch): void {
    const indices = this.order.batch(step);
    gatherAugmented(this.set, indices, this.plan.augmentation, { seed: this.plan.seed, step }, images);
    gatherLabels(this.set, indices, labels);
  }
}

/** Makes each batch when it is asked for. */
export class InThreadBatches implements BatchSource {
  private readonly maker: BatchMaker;
  private readonly batch: Batch;

  constructor(set: ImageSet, plan: BatchPlan) {
    this.maker = new BatchMaker(set, plan);
    this.batch = { images: new Uint8Array(pixelBytes(set, plan.batchSize)), labels: new BigInt64Array(plan.batchSize) };
  }

  async take(step: number): Promise<Batch> {
    if (!Number.isInteger(step) || step < 0) throw new InternalError(`batches: expected a step, got ${step}`);
    this.maker.make(step, this.batch);
    return this.batch;
  }

  async close(): Promise<void> {}
}
