import type { Worker } from "node:worker_threads";
import type { ImageBatch } from "../classify/classifier.ts";
import { InternalError, Interrupted, messageOf } from "../core/errors.ts";
import { closeBeforeExit } from "../core/exit.ts";
import { entryBeside, errorOf, startWorker } from "../core/worker.ts";
import type { ClassifyAnswer, ClassifyWork, Verdicts } from "./classify-worker.ts";

/** A classifier in a thread of its own, asked one batch at a time. */
export class ClassifyThread {
  private readonly worker: Worker;
  private failure: InternalError | undefined;
  private isClosing = false;
  private answer: { readonly resolve: (verdicts: Verdicts) => void; readonly reject: (error: Error) => void } | undefined;

  constructor(work: ClassifyWork, entry: URL = entryBeside(import.meta.url, "classify-worker")) {
    this.worker = startWorker(entry, { workerData: work });
    this.worker.on("message", (reply: ClassifyAnswer) => this.settle(reply));
    this.worker.on("error", (error) => this.die(messageOf(error)));
    this.worker.on("exit", (code) => this.die(`it exited with code ${code}`));
    this.worker.once(
      "exit",
      closeBeforeExit(() => this.close()),
    );
  }

  /**
   * `pixels` go to the thread: they are gone here. Errors: those of the classifier; InternalError when the thread has died; Interrupted when it
   * was closed, as it is when the process is to end at once.
   */
  classify(batch: ImageBatch): Promise<Verdicts> {
    return new Promise((resolve, reject) => {
      if (this.isClosing) return reject(new Interrupted("stopped"));
      if (this.failure) return reject(this.failure);
      if (this.answer) return reject(new InternalError("classifying: asked a second batch before the first was answered"));
      this.answer = { resolve, reject };
      this.worker.postMessage(batch, [batch.pixels.buffer as ArrayBuffer]);
    });
  }

  /** Lets it finish the batch it is at, releases the classifier and ends the thread. */
  async close(): Promise<void> {
    this.isClosing = true;
    if (this.failure) return;
    const ended = new Promise((resolve) => this.worker.once("exit", resolve));
    this.worker.postMessage("end");
    await ended;
  }

  private settle(reply: ClassifyAnswer): void {
    const answer = this.answer;
    this.answer = undefined;
    if ("verdicts" in reply) answer?.resolve(reply.verdicts);
    else answer?.reject(errorOf(reply.failure));
  }

  private die(reason: string): void {
    // An error is followed by an exit: the first says more.
    this.failure ??= new InternalError(`classifying: the thread that does it died: ${reason}`);
    this.answer?.reject(this.failure);
    this.answer = undefined;
  }
}
