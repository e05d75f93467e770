import type { Worker } from "node:worker_threads";
import { InternalError, messageOf } from "../../core/errors.ts";
import { entryBeside, errorOf, startWorker } from "../../core/worker.ts";
import { requireFolder } from "../../evaluate/run-view.ts";
import { HttpError, overloaded } from "../errors.ts";
import type { Answer, Question } from "./messages.ts";

interface Pending {
  readonly resolve: (json: string) => void;
  readonly reject: (error: Error) => void;
}

/** Different questions that wait at most; the same one is asked once for all who ask it. */
const mostWaiting = 32;

/** Of the thread: what a folder holds must not take the server's memory. */
const resourceLimits = { maxOldGenerationSizeMb: 512 };

/** Asks the thread that reads runs. It is started by the first question and, where it died, by the next one. */
export class RunsReader {
  private readonly folder: string;
  private readonly entry: URL;
  private readonly answerMs: number;
  private worker: Worker | undefined;
  private readonly asked = new Map<string, Promise<string>>();
  private readonly waiting: Pending[] = [];

  /**
   * `answerMs`: a thread that has not answered by then is ended (a disk that hangs). `entry`: its program, ours unless told.
   * Errors: UserError when there is no such folder.
   */
  constructor(folder: string, answerMs: number, entry: URL = entryBeside(import.meta.url, "thread")) {
    requireFolder(folder);
    this.folder = folder;
    this.answerMs = answerMs;
    this.entry = entry;
  }

  /** JSON of a RunList. Errors: as `run`, but for 404. */
  list(): Promise<string> {
    return this.ask({ kind: "list" });
  }

  /** JSON of a RunView. Errors: HttpError 404 that names the nearest, 503 when too much is asked; InternalError when the thread died. */
  run(id: string): Promise<string> {
    return this.ask({ kind: "run", id });
  }

  async close(): Promise<void> {
    await this.worker?.terminate();
  }

  private ask(question: Question): Promise<string> {
    const key = JSON.stringify(question);
    const same = this.asked.get(key);
    if (same) return same;
    if (this.asked.size >= mostWaiting) return Promise.reject(overloaded("too many runs are being read: try again later"));
    const answer = this.put(question).finally(() => this.asked.delete(key));
    this.asked.set(key, answer);
    return answer;
  }

  private put(question: Question): Promise<string> {
    const worker = this.worker ?? this.start();
    return new Promise<string>((resolve, reject) => {
      const late = setTimeout(() => {
        this.fail(worker, `it took longer than ${this.answerMs} ms`);
        void worker.terminate();
      }, this.answerMs);
      const done = (settle: () => void) => {
        clearTimeout(late);
        settle();
      };
      this.waiting.push({ resolve: (json) => done(() => resolve(json)), reject: (error) => done(() => reject(error)) });
      worker.postMessage(question);
    });
  }

  private start(): Worker {
    const worker = startWorker(this.entry, { workerData: this.folder, resourceLimits });
    worker.on("message", (answer: Answer) => this.worker === worker && this.settle(answer));
    worker.on("error", (error) => this.fail(worker, messageOf(error)));
    worker.on("exit", (code) => this.fail(worker, `it exited with code ${code}`));
    this.worker = worker;
    return worker;
  }

  private settle(answer: Answer): void {
    const pending = this.waiting.shift();
    if ("json" in answer) pending?.resolve(answer.json);
    else pending?.reject(answer.failure.isMistake ? new HttpError(404, "unknown_run", answer.failure.message) : errorOf(answer.failure));
  }

  /** What waits fails with the thread; the next question starts another. */
  private fail(worker: Worker, reason: string): void {
    if (this.worker !== worker) return;
    this.worker = undefined;
    for (const { reject } of this.waiting.splice(0)) reject(new InternalError(`the thread that reads runs died: ${reason}`));
  }
}
