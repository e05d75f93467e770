import { z } from "zod";
import { evaluationViewSchema } from "../evaluate/record-schema.ts";
import { robustnessSchema } from "../evaluate/robustness/report-schema.ts";
import type { ListedRun, RunList, RunView } from "../evaluate/run-view.ts";
import { trainConfigSchema } from "../train/config.ts";
import { epochRecord, historyRecord } from "../train/records.ts";

// What /v1/runs answers, for /docs: the types of run-view.ts hold it to them.

const listed = z.object({
  id: z.string().describe("name of its folder"),
  changedAt: z.iso.datetime().describe("when one of its files was last written"),
  state: z
    .discriminatedUnion("kind", [
      z.object({ kind: z.literal("finished") }),
      z.object({ kind: z.enum(["running", "stopped"]), step: z.int(), steps: z.int().nullable() }),
      z.object({ kind: z.literal("broken"), reason: z.string() }),
    ])
    .describe("step: of the last checkpoint; stopped: can be resumed; broken: cannot be read in full"),
  data: z.string().nullable(),
  step: z.int(),
  epochs: z.number().describe("done, with the part of the one under way"),
  loss: z.number().nullable().describe("the newest, of training"),
  validationAccuracy: z.number().nullable(),
  elapsedSeconds: z.number().nullable(),
  measured: z.record(z.string(), z.number()).describe("of the model file, for example testAccuracy"),
  config: trainConfigSchema.nullable(),
  hasEvaluation: z.boolean(),
  hasRobustness: z.boolean(),
}) satisfies z.ZodType<ListedRun>;

export const runList = z.object({
  runs: z.array(listed).describe("by name"),
  leftOut: z.int().describe("so many more are in the folder"),
}) satisfies z.ZodType<RunList>;

export const runView = listed.extend({
  changedKeys: z.array(z.string()).describe("of the config: those whose values are not the defaults"),
  history: z.array(historyRecord).describe("averages over 20 steps; 1,000 at most, evenly spaced"),
  epochRecords: z.array(epochRecord).describe("an epoch each, with what the held-out images say; 1,000 at most, evenly spaced"),
  counts: z.object({ history: z.int(), epochRecords: z.int() }).describe("how many there are"),
  evaluation: evaluationViewSchema.nullable().describe("evaluation.json of the folder, which sdim evaluate --out wrote"),
  robustness: z
    .object({ report: robustnessSchema, words: z.array(z.string()).describe("what it means") })
    .nullable()
    .describe("robustness.json of the folder, which sdim attack --standard --out wrote"),
  problems: z.array(z.string()).describe("what of its files cannot be read, and why"),
}) satisfies z.ZodType<RunView>;
