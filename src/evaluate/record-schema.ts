import { z } from "zod";
import { calibrationSources } from "../classify/card.ts";
import { UserError } from "../core/errors.ts";
import { rejectScores } from "../nn/reject-score.ts";
import type { Evaluation } from "./evaluation.ts";
import { readJsonFile } from "./json-file.ts";
import type { Display, RecordedModel } from "./record.ts";

// Evaluations as they are read back from JSON: evaluation.ts and record.ts say what the fields mean. Fields that later versions add are passed over.

const interval = z.object({ low: z.number(), high: z.number() }).nullable();
const source = z.enum(calibrationSources).nullable();

const evaluationSchema = z.object({
  model: z.string(),
  data: z.string(),
  split: z.string(),
  fingerprint: z.string(),
  classNames: z.array(z.string()).min(2),
  count: z.int(),
  accuracy: z.number(),
  perClassAccuracy: z.array(z.number().nullable()),
  confusion: z.array(z.array(z.int())),
  rejection: z.array(
    z.object({
      percentile: z.number(),
      source,
      rejectionRate: z.number(),
      selectiveAccuracy: z.number().nullable(),
      intervals: z.object({ rejectionRate: interval, selectiveAccuracy: interval }),
    }),
  ),
  aurc: z.number(),
  excessAurc: z.number(),
  riskCoverage: z.array(z.object({ coverage: z.number(), risk: z.number() })),
  coverageAtRisk: z.array(z.object({ risk: z.number(), coverage: z.number(), interval })),
  riskAtCoverage: z.array(z.object({ coverage: z.number(), risk: z.number(), interval })),
  calibration: z.object({
    bins: z.int(),
    expectedCalibrationError: z.number(),
    adaptiveCalibrationError: z.number(),
    reliability: z.array(
      z.object({
        low: z.number(),
        high: z.number(),
        count: z.int(),
        confidence: z.number().nullable(),
        accuracy: z.number().nullable(),
      }),
    ),
    intervals: z.object({ expectedCalibrationError: interval, adaptiveCalibrationError: interval }),
  }),
  intervals: z.object({ accuracy: interval, perClassAccuracy: z.array(interval), aurc: interval, excessAurc: interval }),
  bootstrap: z.object({ resamples: z.int(), level: z.number(), seed: z.number() }),
  ood: z.array(
    z.object({
      data: z.string(),
      fingerprint: z.string(),
      count: z.int(),
      auroc: z.number(),
      // Records of before it have none.
      decisionAuroc: z.number().nullable().default(null),
      auprInPositive: z.number(),
      auprOutPositive: z.number(),
      fprAt95InPositive: z.number(),
      fprAt95OutPositive: z.number(),
      rejection: z.array(
        z.object({
          percentile: z.number(),
          source,
          decisionRejectionRate: z.number(),
          perClassRejectionRate: z.number(),
          intervals: z.object({ decisionRejectionRate: interval, perClassRejectionRate: interval }),
        }),
      ),
      rocCurve: z.array(z.object({ falsePositiveRate: z.number(), truePositiveRate: z.number() })),
      intervals: z.object({
        auroc: interval,
        decisionAuroc: interval.default(null),
        auprInPositive: interval,
        auprOutPositive: interval,
        fprAt95InPositive: interval,
        fprAt95OutPositive: interval,
      }),
    }),
  ),
}) satisfies z.ZodType<Evaluation>;

const displaySchema = z.object({
  thresholds: z.array(z.object({ percentile: z.number(), values: z.array(z.number()) })),
  scores: z.object({
    inDistribution: z.array(z.array(z.number())),
    outOfDistribution: z.array(z.object({ data: z.string(), byClass: z.array(z.array(z.number())) })),
  }),
  examples: z.array(
    z.object({
      title: z.string(),
      examples: z.array(
        z.object({
          png: z.string().regex(/^data:image\/png;base64,[A-Za-z0-9+/=]+$/),
          source: z.string(),
          trueLabel: z.string().nullable(),
          label: z.string(),
          accepted: z.boolean(),
          logLikelihood: z.number(),
          threshold: z.number(),
          posterior: z.number().nullable(),
        }),
      ),
    }),
  ),
}) satisfies z.ZodType<Display>;

/** What says by which score a model rejects. */
const modelSchema = z.object({
  head: z.enum(["sdim", "softmax"]),
  depth: z.int(),
  rejectBy: z.enum(rejectScores).optional(),
  testTimeFlip: z.boolean().optional(),
});

/** On what, with what and when, as far as it is shown. */
export const circumstancesSchema = z.object({
  command: z.string(),
  at: z.string(),
  sdim: z.string(),
  node: z.string(),
  onnxruntime: z.string(),
  machine: z.string(),
  cores: z.int(),
});

const recordSchema = z.object({
  circumstances: circumstancesSchema,
  modelFile: z.object({
    path: z.string(),
    sha256: z.string(),
    model: modelSchema.catchall(z.unknown()),
    training: z.record(z.string(), z.unknown()),
    calibration: z.object({ data: z.string(), split: z.string(), fingerprint: z.string(), percentile: z.number() }),
    version: z.string(),
  }) satisfies z.ZodType<RecordedModel>,
  evaluation: evaluationSchema,
  display: displaySchema.optional(),
});

/** A record as the web page gets it: of the model file what it is, not where it lies. */
export const evaluationViewSchema = recordSchema.omit({ modelFile: true }).extend({ model: modelSchema });
export type EvaluationView = z.infer<typeof evaluationViewSchema>;

/** A record as far as a report shows it. */
export type ReadRecord = z.infer<typeof recordSchema>;

/** Reads what `sdim evaluate --out` wrote. Errors: UserError with the file and what is wrong in it. */
export function readRecord(path: string): ReadRecord {
  const record = readJsonFile(path, recordSchema, "sdim evaluate --out");
  requireClasses(record, path);
  return record;
}

/** Everything that is by class has a value for each. */
function requireClasses({ evaluation, display }: ReadRecord, path: string): void {
  const classes = evaluation.classNames.length;
  const lists: readonly (readonly [string, readonly unknown[]])[] = [
    ["perClassAccuracy", evaluation.perClassAccuracy],
    ["intervals.perClassAccuracy", evaluation.intervals.perClassAccuracy],
    ["confusion", evaluation.confusion],
    ...evaluation.confusion.map((row) => ["a row of confusion", row] as const),
    ...(display?.thresholds ?? []).map(({ values }) => ["display.thresholds", values] as const),
    ...(display ? [["display.scores.inDistribution", display.scores.inDistribution] as const] : []),
    ...(display?.scores.outOfDistribution ?? []).map(({ byClass }) => ["display.scores.outOfDistribution", byClass] as const),
  ];
  const wrong = lists.find(([, values]) => values.length !== classes);
  if (wrong) throw new UserError(`${path}: ${wrong[0]}: expected ${classes} values, one for each class, got ${wrong[1].length}`);
}
