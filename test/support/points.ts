import type { Samples } from "../../src/attacks/attack.ts";
import type { AttackedModel } from "../../src/attacks/model.ts";
import { Random } from "../../src/core/random.ts";

/** Random points of [0, 1] with the classes that the model gives them. */
export async function labelledPoints(model: AttackedModel, count: number, dimension: number): Promise<Samples> {
  const random = Random.stream(7, "points");
  const images = Float32Array.from({ length: count * dimension }, () => random.uniform());
  return { images, labels: (await model.score(images)).labels };
}
