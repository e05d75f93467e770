import { UserError } from "../core/errors.ts";
import { Random } from "../core/random.ts";

/**
 * Which samples each training step sees: every epoch a fresh random order, cut into full batches; the few samples left over (others
 * each epoch) are not seen in it. A step's batch depends on the seed and the step alone, so a resumed training needs no saved position.
 */
export class BatchOrder {
  readonly stepsPerEpoch: number;
  private readonly count: number;
  private readonly batchSize: number;
  private readonly seed: number;
  private epoch = -1;
  private order: Int32Array = new Int32Array();

  /** Errors: UserError when there are fewer samples than one batch holds. */
  constructor(count: number, batchSize: number, seed: number) {
    if (batchSize > count)
      throw new UserError(`batchSize: expected at most the ${count} training samples, got ${batchSize}; take a smaller one (--batch-size)`);
    this.count = count;
    this.batchSize = batchSize;
    this.seed = seed;
    this.stepsPerEpoch = Math.floor(count / batchSize);
  }

  /** Sample indices of step `step` (from 0), [batchSize]. */
  batch(step: number): Int32Array {
    const epoch = Math.floor(step / this.stepsPerEpoch);
    if (epoch !== this.epoch) {
      this.order = Random.stream(this.seed, `order of epoch ${epoch}`).permutation(this.count);
      this.epoch = epoch;
    }
    const start = (step % this.stepsPerEpoch) * this.batchSize;
    return this.order.subarray(start, start + this.batchSize);
  }
}
