import { setTimeout as pause } from "node:timers/promises";

// Leaving the process while threads compute. process.exit ends threads, and ONNX Runtime takes the process down (SIGABRT, with a message of C++)
// when its thread is ended in the middle of a run.

const closers = new Set<() => Promise<void>>();

/** `close` ends a thread as soon as it has done what it is at; it may be called again. The result takes it back: the thread has ended. */
export function closeBeforeExit(close: () => Promise<void>): () => void {
  closers.add(close);
  return () => closers.delete(close);
}

/** A batch takes milliseconds; of pictures of 100 megapixels, seconds. */
const patienceMs = 5000;

/** Ends the process as soon as no thread is in the middle of a run. One that is not done by then is killed, which leaves no message. */
export async function exitNow(code: number): Promise<never> {
  const closed = Promise.allSettled([...closers].map((close) => close()));
  const isClosed = await Promise.race([closed.then(() => true), pause(patienceMs, false)]);
  if (!isClosed) process.kill(process.pid, "SIGKILL");
  process.exit(code);
}
