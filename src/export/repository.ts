import { existsSync } from "node:fs";
import { join } from "node:path";
import { UserError } from "../core/errors.ts";
import { readFileAtMost, requireWritable, writeFileAtomic } from "../core/files.ts";

/** A file of a model repository. `path`: within its folder. */
export interface RepositoryFile {
  readonly path: string;
  readonly content: string | Uint8Array;
}

/**
 * Writes the files of a repository in their order, beside what is there already, and gives their paths. Errors: UserError, before anything is
 * written, where other content is in the place of one and `isForced` does not give it up, or where none can be written.
 */
export function writeRepository(out: string, files: readonly RepositoryFile[], isForced = false): string[] {
  for (const { path, content } of files) {
    const place = join(out, path);
    if (!isForced && existsSync(place) && !Buffer.from(content).equals(readFileAtMost(place, Number.POSITIVE_INFINITY)))
      throw new UserError(`${place}: is there already, with other content; --force replaces it`);
  }
  for (const { path } of files) requireWritable(join(out, path));
  return files.map(({ path, content }) => {
    writeFileAtomic(join(out, path), content);
    return join(out, path);
  });
}
