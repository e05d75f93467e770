import type { ChunkProgress } from "../../attacks/run-folder.ts";
import { Interrupted } from "../../core/errors.ts";
import { interruptible } from "../interrupt.ts";
import { duration, ProgressLine } from "../output.ts";

/** `cw-l2: 128 of 1000 images  12 min 3 s left`; parts found in a folder do not count for the time. */
function describeAttack(what: string, { done, total, reused }: ChunkProgress, images: number, elapsedSeconds: number): string {
  const made = done - reused;
  const left = made > 0 && done < total ? `  ${duration((elapsedSeconds / made) * (total - done))} left` : "";
  return `${what}: ${Math.floor((done / total) * images)} of ${images} images${left}`;
}

/** What attacking needs of the terminal: a progress line per attack, and a checkpoint that Ctrl-C makes throw. */
export interface AttackConsole {
  readonly checkpoint: () => void;
  readonly show: (what: string, progress: ChunkProgress, images: number) => void;
}

/** Runs `work` so that Ctrl-C stops it at the next step. `kept`: what the message says of the parts that are finished. */
export async function withAttackConsole<T>(kept: string, work: (console: AttackConsole) => Promise<T>): Promise<T> {
  const line = new ProgressLine();
  let [current, startedAt] = ["", 0];
  try {
    return await interruptible((signal) =>
      work({
        checkpoint: () => {
          if (signal.aborted) throw new Interrupted(`stopped; ${kept}`);
        },
        show: (what, progress, images) => {
          if (what !== current) {
            line.end();
            [current, startedAt] = [what, performance.now()];
          }
          line.show(describeAttack(what, progress, images, (performance.now() - startedAt) / 1000), progress.done === progress.total);
        },
      }),
    );
  } finally {
    line.end();
  }
}
