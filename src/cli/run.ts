import { CommanderError } from "commander";
import { Interrupted, UserError } from "../core/errors.ts";
import { note } from "./output.ts";
import { createProgram } from "./program.ts";

/** 0 done, 1 our failure, 2 the caller's mistake, 130 stopped by the user. */
export const exitCodes = { done: 0, failure: 1, mistake: 2, interrupted: 130 } as const;

/** Runs the command line; what went wrong is said on stderr. `args`: without node and the script. -> the exit code */
export async function run(args: readonly string[]): Promise<number> {
  try {
    await (await createProgram(args)).parseAsync(args, { from: "user" });
    return exitCodes.done;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.mistake;
    if (error instanceof UserError) {
      note(`sdim: ${error.message}`);
      return exitCodes.mistake;
    }
    if (error instanceof Interrupted) {
      note(`sdim: ${error.message}`);
      return exitCodes.interrupted;
    }
    note(`sdim: this is our failure, please report it:\n${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    return exitCodes.failure;
  }
}
