import { existsSync, readFileSync, statSync } from "node:fs";
import type { z } from "zod";
import { messageOf, UserError } from "../core/errors.ts";
import { problemsIn } from "../core/problems.ts";

/** More is no result of ours. */
const largestFile = 256e6;

/** Reads a file of JSON that `writer` wrote. Errors: UserError with the file and what is wrong in it. */
export function readJsonFile<T>(path: string, schema: z.ZodType<T>, writer: string): T {
  if (!existsSync(path)) throw new UserError(`${path}: there is no such file; ${writer} writes one`);
  let json: unknown;
  try {
    const found = statSync(path);
    if (!found.isFile()) throw new Error("not a file");
    if (found.size > largestFile) throw new Error(`${found.size} bytes, more than the ${largestFile} that are read at most`);
    json = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    // What JSON.parse says holds a piece of the file, which may be anything.
    if (error instanceof SyntaxError)
      throw new UserError(`${path}: expected JSON that ${writer} wrote, got something else`, { cause: error });
    throw new UserError(`${path}: cannot be read as JSON: ${messageOf(error)}`, { cause: error });
  }
  const parsed = schema.safeParse(json);
  if (!parsed.success) throw new UserError(problemsIn(`${path}: not a record of ${writer}`, parsed.error, json));
  return parsed.data;
}
