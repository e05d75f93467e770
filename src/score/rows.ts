import { z } from "zod";

/** What is said of a file that was classified. */
const verdictRow = z.strictObject({
  file: z.string(),
  /** Name of the winning class, also where it is rejected. */
  label: z.string(),
  accepted: z.boolean(),
  /** Of the winning class, nats. */
  logLikelihood: z.number(),
  threshold: z.number(),
  /** In the order of the model's classes; where they were asked for. */
  classLogLikelihoods: z.array(z.number()).optional(),
  error: z.null(),
});

/** What is said of a file that could not be classified. */
const brokenRow = z.strictObject({ file: z.string(), error: z.string() });

export const row = z.union([verdictRow, brokenRow]);
export type Row = z.infer<typeof row>;
export type VerdictRow = z.infer<typeof verdictRow>;

export const isVerdict = (one: Row): one is VerdictRow => one.error === null;

export interface ClassTally {
  readonly label: string;
  /** Files whose winning class it is. */
  count: number;
  /** Of these, rejected. */
  rejected: number;
}

/** Counts over rows. */
export class Tally {
  files = 0;
  broken = 0;
  accepted = 0;
  readonly classes: readonly ClassTally[];
  private readonly byLabel: ReadonlyMap<string, ClassTally>;

  constructor(classNames: readonly string[]) {
    this.classes = classNames.map((label) => ({ label, count: 0, rejected: 0 }));
    this.byLabel = new Map(this.classes.map((one) => [one.label, one]));
  }

  add(one: Row): void {
    this.files++;
    if (!isVerdict(one)) {
      this.broken++;
      return;
    }
    const ofClass = this.byLabel.get(one.label);
    if (ofClass) ofClass.count++;
    if (one.accepted) this.accepted++;
    else if (ofClass) ofClass.rejected++;
  }
}
