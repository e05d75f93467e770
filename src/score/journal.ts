import { closeSync, createReadStream, existsSync, fstatSync, ftruncateSync, openSync, rmSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { z } from "zod";
import { InternalError, messageOf, UserError } from "../core/errors.ts";
import { makeFolder } from "../core/files.ts";
import { problemsIn } from "../core/problems.ts";
import { linesOf } from "./inputs.ts";
import { type Row, row } from "./rows.ts";

/** Log-likelihoods of a million classes. */
const longestRow = 32e6;

/** What decides the rows: a journal goes on only with the same. */
const headerSchema = z.strictObject({
  kind: z.literal("sdim score"),
  format: z.literal(1),
  /** SHA-256 of the model file. */
  model: z.string(),
  input: z.string(),
  shard: z.string(),
  classLogLikelihoods: z.boolean(),
  /** Of the thresholds; none: those in force. */
  percentile: z.number().optional(),
});
export type JournalHeader = z.infer<typeof headerSchema>;

const sameRun: Readonly<Record<string, string>> = {
  model: "the model file",
  input: "the input",
  shard: "--shard",
  classLogLikelihoods: "--class-log-likelihoods",
  percentile: "--percentile",
};

/**
 * The rows of a scoring under way: JSON lines, a header first, appended as they come. After a kill its last line may be cut off; that line
 * is dropped when the scoring goes on.
 */
export class Journal {
  readonly path: string;
  private readonly header: JournalHeader;
  private file: number | undefined;
  /** Bytes of whole lines. */
  private end = 0;

  constructor(path: string, header: JournalHeader) {
    this.path = path;
    this.header = header;
  }

  /** The rows that are kept already. Errors: UserError when they are of another run, or damaged before the last line. */
  async *rows(): AsyncGenerator<Row> {
    this.end = 0;
    if (!existsSync(this.path)) return;
    let number = 0;
    // A line is whole when the next one has begun: the last piece is cut off, or empty.
    let previous: string | undefined;
    let difference: string | undefined;
    for await (const line of linesOf(createReadStream(this.path), this.path, { raw: true, longest: longestRow })) {
      if (previous !== undefined) {
        number++;
        if (number === 1) difference = this.differenceTo(previous);
        else if (difference !== undefined) throw this.otherRun(difference);
        else yield this.parse(row, previous, number);
        this.end += Buffer.byteLength(previous) + 1;
      }
      previous = line;
    }
    // Of another run, but without any row: nothing is lost.
    if (difference !== undefined) this.end = 0;
  }

  /** Opens for appending after the rows that were read. Call after `rows` has come to its end. */
  open(): void {
    this.attempt(() => {
      makeFolder(dirname(this.path));
      this.file = openSync(this.path, existsSync(this.path) ? "r+" : "wx+");
      ftruncateSync(this.file, this.end);
    });
    if (this.end === 0) this.write(`${JSON.stringify(this.header)}\n`);
  }

  /** Errors: UserError when it cannot be written, or another process writes to it. */
  append(rows: readonly Row[]): void {
    this.write(rows.map((one) => `${JSON.stringify(one)}\n`).join(""));
  }

  close(): void {
    if (this.file !== undefined) closeSync(this.file);
    this.file = undefined;
  }

  remove(): void {
    this.close();
    rmSync(this.path, { force: true });
  }

  private write(text: string): void {
    const file = this.file;
    if (file === undefined) throw new InternalError(`journal ${this.path}: written to before it was opened`);
    this.attempt(() => {
      if (fstatSync(file).size !== this.end) throw new UserError("it grew meanwhile: is another sdim score writing the same results?");
      const bytes = Buffer.from(text);
      for (let offset = 0; offset < bytes.length; ) offset += writeSync(file, bytes, offset, bytes.length - offset, this.end + offset);
      this.end += bytes.length;
    });
  }

  private attempt(work: () => void): void {
    try {
      work();
    } catch (error) {
      throw new UserError(`cannot write ${this.path}: ${messageOf(error)}`, { cause: error });
    }
  }

  /** In what the header is not this run's; undefined where it is. */
  private differenceTo(line: string): string | undefined {
    const kept = this.parse(headerSchema, line, 1);
    const others = Object.keys(sameRun).filter((key) => kept[key as keyof JournalHeader] !== this.header[key as keyof JournalHeader]);
    return others.length === 0 ? undefined : others.map((key) => sameRun[key]).join(", ");
  }

  private readonly otherRun = (difference: string): UserError =>
    new UserError(
      `${this.path}: rows of an earlier run, with another value of ${difference}. Repeat its command to go on with it, or begin anew with --restart`,
    );

  private parse<T>(schema: z.ZodType<T>, line: string, number: number): T {
    const wrong = `${this.path}, line ${number}: damaged, or not ours`;
    const advice = "Begin anew with --restart";
    let json: unknown;
    try {
      json = JSON.parse(line);
    } catch (error) {
      throw new UserError(`${wrong}: ${messageOf(error)}. ${advice}`, { cause: error });
    }
    const parsed = schema.safeParse(json);
    if (!parsed.success) throw new UserError(`${problemsIn(wrong, parsed.error, json)}. ${advice}`);
    return parsed.data;
  }
}
