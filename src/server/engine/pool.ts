import type { ModelCard } from "../../classify/card.ts";
import { InternalError, messageOf } from "../../core/errors.ts";
import { InferenceThread } from "./inference-thread.ts";

interface Loaded {
  readonly bytes: Uint8Array;
  readonly source: string;
}

interface Slot {
  thread: InferenceThread;
  /** Not while it starts or is replaced. */
  isUp: boolean;
  isBusy: boolean;
}

/** A thread that a caller has for itself until it gives it back. */
export type ClaimedThread = Pick<InferenceThread, "classify">;

/** Before a thread that died is started again, ms: one that dies at once must not keep the machine busy. */
const pauseBeforeRestart = 1000;

/** The inference threads. Each holds every model; one that dies is replaced. */
export class ThreadPool {
  /** Called when a thread has become free. */
  onFree: () => void = () => {};
  private readonly onDeath: (error: Error) => void;
  private readonly slots: Slot[];
  private readonly generations = new Map<number, Loaded>();
  private readonly restarts = new Set<NodeJS.Timeout>();
  private nextGeneration = 1;
  private isClosed = false;

  /** `onDeath`: called when a thread has died, or could not be replaced; another is started. */
  constructor(count: number, onDeath: (error: Error) => void) {
    this.onDeath = onDeath;
    this.slots = Array.from({ length: count }, (_, i) => ({ thread: this.start(i), isUp: true, isBusy: false }));
  }

  get size(): number {
    return this.slots.length;
  }

  /** Threads that can be worked with, busy or not. */
  get upCount(): number {
    return this.slots.filter(({ isUp }) => isUp).length;
  }

  get busyCount(): number {
    return this.slots.filter(({ isBusy }) => isBusy).length;
  }

  /**
   * Loads a model file into every thread, one after another, so that the others go on working; the number it is asked by from then on.
   * Errors: UserError when it is not a model that works; it is in no thread then.
   */
  async load(bytes: Uint8Array, source: string): Promise<{ readonly generation: number; readonly card: ModelCard }> {
    const generation = this.nextGeneration++;
    this.generations.set(generation, { bytes, source });
    try {
      let card: ModelCard | undefined;
      // A slot whose thread is just being replaced gets the model with all the others.
      for (const { thread, isUp } of this.slots) if (isUp) card = await thread.load(generation, bytes, source);
      if (!card) throw new InternalError("no inference thread is up");
      return { generation, card };
    } catch (error) {
      this.drop(generation);
      throw error;
    }
  }

  drop(generation: number): void {
    this.generations.delete(generation);
    for (const { thread, isUp } of this.slots) {
      // A thread that dies meanwhile has forgotten it as well.
      if (isUp) thread.drop(generation).catch(() => {});
    }
  }

  /** A free thread, for the caller alone until `giveBack`; undefined when there is none. */
  claim(): ClaimedThread | undefined {
    const slot = this.slots.find(({ isUp, isBusy }) => isUp && !isBusy);
    if (!slot) return undefined;
    slot.isBusy = true;
    return slot.thread;
  }

  giveBack(thread: ClaimedThread): void {
    const slot = this.slots.find((one) => one.thread === thread);
    // One that died while it was claimed has left its slot.
    if (slot) slot.isBusy = false;
    this.onFree();
  }

  async close(): Promise<void> {
    this.isClosed = true;
    for (const timer of this.restarts) clearTimeout(timer);
    await Promise.all(this.slots.map(({ thread }) => thread.close()));
  }

  private start(i: number): InferenceThread {
    return new InferenceThread((error) => this.restartLater(i, error));
  }

  private restartLater(i: number, reason: Error): void {
    if (this.isClosed) return;
    const slot = this.slots[i]!;
    slot.isUp = false;
    slot.isBusy = false;
    this.onDeath(reason);
    const timer = setTimeout(() => {
      this.restarts.delete(timer);
      void this.restart(slot, i);
    }, pauseBeforeRestart);
    this.restarts.add(timer);
  }

  private async restart(slot: Slot, i: number): Promise<void> {
    let death: Error | undefined;
    const thread = new InferenceThread((error) => {
      death = error;
      if (slot.isUp) this.restartLater(i, error);
    });
    slot.thread = thread;
    try {
      await this.loadAll(thread);
      slot.isUp = true;
      this.onFree();
    } catch (error) {
      // One that lives and cannot load what the others could is of no use.
      if (!death) await thread.close();
      this.restartLater(i, error instanceof Error ? error : new InternalError(messageOf(error)));
    }
  }

  /** More may be loaded into the other threads meanwhile, or dropped. */
  private async loadAll(thread: InferenceThread): Promise<void> {
    const loaded = new Set<number>();
    const next = () => [...this.generations].find(([generation]) => !loaded.has(generation));
    for (let one = next(); one; one = next()) {
      const [generation, { bytes, source }] = one;
      await thread.load(generation, bytes, source);
      loaded.add(generation);
      if (!this.generations.has(generation)) await thread.drop(generation);
    }
  }
}
