import { z } from "zod";
import { localFeatureStages, type ModelConfig } from "../nn/classifier.ts";
import type { EncoderConfig } from "../nn/resnet.ts";

// What a network may be, the same in a training's config and in a model file's card. The upper limits are far above what is of use: they tell a slip of the
// hand, or a damaged file, from a network before memory runs out.

/** Weights of the encoder: 1 GiB in float32, of the 2 GiB that an ONNX file may hold. */
const mostWeights = 2 ** 28;

export const networkShape = {
  head: z.enum(["sdim", "softmax"]).describe("what classifies: class Gaussians or a linear layer"),
  depth: z
    .int()
    .min(10)
    .max(1002)
    .refine((depth) => (depth - 2) % 8 === 0, "expected 8n + 2 layers: 10, 18, 26, 34, ...")
    .describe("encoder layers, 8n + 2"),
  widths: z
    .tuple([filters(), filters(), filters(), filters()])
    .refine(
      (widths) => widths.every((width, i) => i === 0 || width >= widths[i - 1]!),
      "expected no stage to have fewer than the one before it",
    )
    .describe("filters of the four stages"),
  imageSize: z.int().min(8).max(4096).multipleOf(8).describe("height and width the encoder sees"),
  dimension: z.int().min(1).max(65_536).describe("d: numbers in a representation"),
  critic: z.enum(["concat", "dot"]).describe("how local features and representation are compared"),
  localFeatures: z.enum(localFeatureStages).describe("stage of the encoder whose output is local features"),
  logSigmaFloor: z.number().nullable().describe("lower bound of log sigma; null: none"),
} satisfies { readonly [K in keyof ModelConfig]?: z.ZodType<ModelConfig[K]> };

function filters() {
  return z.int().min(1).max(4096);
}

/** Of a network with more weights than memory should be asked for: what is wrong with it. */
export function tooManyWeights(config: EncoderConfig & Pick<ModelConfig, "dimension">): string | undefined {
  const weights = encoderWeights(config);
  if (weights <= mostWeights) return undefined;
  return `depth, widths and dimension come to ${(weights / 1e6).toFixed(0)} million weights, of ${(mostWeights / 1e6).toFixed(0)} million at most`;
}

/** Of convolutions and linear layers, about: 2n convolutions of 3 x 3 in each of the four stages, 8n + 2 = depth, and the head. */
function encoderWeights({ depth, widths, dimension }: EncoderConfig & Pick<ModelConfig, "dimension">): number {
  const ofStages = widths.reduce((sum, width) => sum + ((depth - 2) / 4) * 9 * width * width, 0);
  return ofStages + widths[3] * (widths[3] + dimension);
}
