import { exitNow } from "../core/exit.ts";

/** Runs `work` with a signal that Ctrl-C and SIGTERM abort; a second one ends the process at once. */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const stop = () => {
    if (controller.signal.aborted) return void exitNow(130);
    process.stderr.write("\nstopping after this step (once more: at once)\n");
    controller.abort();
  };
  process.on("SIGINT", stop).on("SIGTERM", stop);
  try {
    return await work(controller.signal);
  } finally {
    process.off("SIGINT", stop).off("SIGTERM", stop);
  }
}
