import type { ModelFile } from "../classify/model-file.ts";
import { UserError } from "../core/errors.ts";
import type { ImageSet } from "../data/image-set.ts";
import { inHalfPrecision } from "./half-precision.ts";
import { quantise } from "./quantise.ts";
import { storeWeightsSmall } from "./weights-only.ts";

export const smallFormats = ["onnx-fp16", "onnx-int8"] as const;
export type SmallFormat = (typeof smallFormats)[number];

export interface SmallOptions {
  /** Only what is stored is small; a runtime computes in float32 as before. */
  readonly isWeightsOnly: boolean;
  /** Images from which the ranges of activations are taken: for onnx-int8 where not only weights are quantised. */
  readonly calibrationImages?: ImageSet | undefined;
  readonly threads?: number;
  readonly onProgress?: (done: number, total: number) => void;
}

/** A smaller model file with the same card and thresholds. Errors: UserError when calibration images are missing, or the file is an export itself. */
export async function exportSmall(
  file: ModelFile,
  format: SmallFormat,
  { isWeightsOnly, calibrationImages, threads, onProgress }: SmallOptions,
): Promise<ModelFile> {
  if (isWeightsOnly) return storeWeightsSmall(file, format === "onnx-fp16" ? "float16" : "int8");
  if (format === "onnx-fp16") return inHalfPrecision(file);
  if (!calibrationImages)
    throw new UserError(
      "onnx-int8: needs images for the ranges of activations (--data), or only the weights are stored small (--weights-only)",
    );
  return quantise(file, {
    images: calibrationImages,
    ...(threads === undefined ? {} : { threads }),
    ...(onProgress === undefined ? {} : { onProgress }),
  });
}
