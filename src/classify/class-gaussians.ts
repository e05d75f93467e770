import { logSigmaParameter, meanParameter } from "../nn/gaussians.ts";
import { type ModelFile, requireModelFile, tensorsOf } from "./model-bytes.ts";

/** The Gaussians of a model file's classes. */
export interface ClassGaussians {
  /** [C, d] */
  readonly means: Float32Array;
  /** Standard deviations, [C, d]. */
  readonly deviations: Float32Array;
}

/** Undefined for the softmax head, which has none. */
export function classGaussiansOf(file: ModelFile): ClassGaussians | undefined {
  requireModelFile(file);
  const { head, logSigmaFloor } = file.card.model;
  if (head !== "sdim") return undefined;
  const tensors = tensorsOf(file);
  const floor = logSigmaFloor ?? Number.NEGATIVE_INFINITY;
  const deviations = tensors.get(logSigmaParameter)!.map((logSigma) => Math.exp(Math.max(logSigma, floor)));
  return { means: tensors.get(meanParameter)!, deviations };
}

/**
 * How far a representation [d] is from each class's mean, [C], in standard deviations of that class, root mean square over the dimensions:
 *   distance_c = sqrt(1/d sum_k ((z_k - mu_ck) / sigma_ck)^2)
 * Samples of the class's own Gaussian have a mean square of 1; images of the class may lie closer, because training pulls them in.
 */
export function distancesToMeans(representation: Float32Array, { means, deviations }: ClassGaussians): number[] {
  const dimension = representation.length;
  return Array.from({ length: means.length / dimension }, (_, c) => {
    const at = c * dimension;
    const squares = representation.reduce((sum, z, k) => sum + ((z - means[at + k]!) / deviations[at + k]!) ** 2, 0);
    return Math.sqrt(squares / dimension);
  });
}
