/** The caller's mistake: bad input, bad option, missing file. The command line prints the message and exits with 2. */
export class UserError extends Error {
  override readonly name = "UserError";
}

/** A training that comes to nothing by what was asked of it: its loss or its weights are not finite, or it never gets a class right. */
export class TrainingFailed extends UserError {}

/** Our own failure: a broken invariant. The command line prints it with a request to report and exits with 1. */
export class InternalError extends Error {
  override readonly name = "InternalError";
}

export function assertInternal(condition: unknown, message: string): asserts condition {
  if (!condition) throw new InternalError(message);
}

/** The message of anything thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The user asked to stop (Ctrl-C, SIGTERM): not a failure, but the work is not done. The command line exits with 130. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";
}
