import { CommanderError } from "commander";
import { Interrupted, UserError } from "../core/errors.ts";
import { note } from "./output.ts";
import { createProgram } from "./program.ts";

/** 0 done, 1 our failure, 2 the caller's mistake, 130 stopped by the user. */
const exitCodes = { done: 0, failure: 1, mistake: 2, interrupted: 130 } as const;

// A reader that has seen enough (`| head`) is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(exitCodes.done);
  throw error;
});

try {
  await createProgram().parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? exitCodes.done : exitCodes.mistake;
  } else if (error instanceof UserError) {
    note(`sdim: ${error.message}`);
    process.exitCode = exitCodes.mistake;
  } else if (error instanceof Interrupted) {
    note(`sdim: ${error.message}`);
    process.exitCode = exitCodes.interrupted;
  } else {
    note(`sdim: this is our failure, please report it:\n${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    process.exitCode = exitCodes.failure;
  }
}
