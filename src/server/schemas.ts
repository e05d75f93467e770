import { z } from "zod";
import { rejectScores } from "../nn/reject-score.ts";

// The one truth about what goes in and out: requests are checked against these, and /docs is made from them.

const error = z.object({ code: z.string(), message: z.string() });
export const errorSchema = z.object({
  error: error.extend({
    images: z
      .array(z.object({ index: z.int(), file: z.string().optional(), reason: z.string() }))
      .optional()
      .describe("the images it is about"),
  }),
});

const percentile = z
  .number()
  .optional()
  .describe("decide by the file's thresholds at this percentile, one of those of /v1/models/{name}; without it by those in force");
export const classifyQuery = z.strictObject({ percentile });

export const jsonImages = z.strictObject({
  images: z.array(z.string()).min(1).describe("image files (PNG, JPEG, WebP, GIF, TIFF, BMP), each in base64 or as a data: URL of base64"),
});

const result = z.object({
  label: z.string().describe("name of the winning class, also where it is rejected"),
  classIndex: z.int(),
  accepted: z.boolean().describe("whether its log-likelihood is not below its threshold"),
  logLikelihood: z.number().describe("of the winning class, nats"),
  threshold: z.number().describe("of the winning class"),
  classLogLikelihoods: z
    .array(z.number())
    .describe("log p(z|c) in the order of the model's classes, nats; another score where the model has another `rejectBy`"),
});
export const classification = z.object({
  model: z.string(),
  results: z.array(result).describe("in the order of the images"),
  timing: z.object({
    decodeMs: z.number(),
    queueMs: z.number().describe("longest wait of an image for its batch"),
    inferenceMs: z.number().describe("longest inference of a batch with an image of this request"),
    totalMs: z.number().describe("from the request's arrival"),
  }),
});
export type ClassificationBody = z.infer<typeof classification>;

export const modelInfo = z.object({
  name: z.string(),
  classNames: z.array(z.string()),
  rejectBy: z
    .enum([...rejectScores, "posterior"])
    .describe(
      "what logLikelihood and classLogLikelihoods are, and is compared with thresholds: log p(z|c), that less penalties, or log p(c|x)",
    ),
  thresholds: z.array(z.number()).describe("in force, by class"),
  percentile: z.number().describe("of the calibration images that the thresholds in force reject"),
  percentiles: z
    .array(z.object({ percentile: z.number(), thresholds: z.array(z.number()) }))
    .describe("all the file has of that calibration"),
  data: z.string().describe("the thresholds were taken from"),
  imageSize: z.int().describe("of the network's input; images may have any size"),
  channels: z.union([z.literal(1), z.literal(3)]),
  sha256: z.string(),
  file: z.string().describe("address of the ONNX file"),
  loadedAt: z.iso.datetime(),
});
export type ModelInfo = z.infer<typeof modelInfo>;
export const modelList = z.object({ models: z.array(modelInfo) });

export const health = z.object({ status: z.string() });

const parameters = z.record(z.string(), z.unknown()).optional();

/** A request of the Open Inference Protocol; tensors are looked at when the model is known. */
export const inferRequest = z.object({
  id: z.string().optional(),
  parameters: z.looseObject({ percentile }).optional(),
  inputs: z.array(z.object({ name: z.string(), shape: z.array(z.int()), datatype: z.string(), parameters, data: z.unknown().optional() })),
  outputs: z.array(z.object({ name: z.string(), parameters })).optional(),
});
export type InferRequest = z.infer<typeof inferRequest>;

const tensor = z.object({ name: z.string(), datatype: z.string(), shape: z.array(z.int()) });
export const inferResponse = z.object({
  model_name: z.string(),
  model_version: z.string(),
  id: z.string().optional(),
  outputs: z.array(tensor.extend({ parameters, data: z.array(z.unknown()).optional() })),
});
export const v2Live = z.object({ live: z.boolean() });
export const v2Ready = z.object({ ready: z.boolean() });
export const v2ModelReady = v2Ready.extend({ name: z.string() });
export const v2Error = z.object({ error: z.string() });
export const v2Server = z.object({ name: z.string(), version: z.string(), extensions: z.array(z.string()) });
export const v2Model = z.object({
  name: z.string(),
  versions: z.array(z.string()),
  platform: z.string(),
  inputs: z.array(tensor),
  outputs: z.array(tensor),
});

/** As /docs has it. */
export const documented = (schema: z.ZodType, description?: string): Record<string, unknown> => {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: "input" });
  return description === undefined ? rest : { description, ...rest };
};
