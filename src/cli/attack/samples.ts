import type { Samples } from "../../attacks/attack.ts";
import { sizeOfImage } from "../../attacks/distance.ts";
import { networkImages } from "../../attacks/samples.ts";
import { UserError } from "../../core/errors.ts";
import { type ImageSet, takeFirst, withClasses } from "../../data/image-set.ts";
import type { Split } from "../../data/registry.ts";
import { type DataOptions, loadOptions, loadWithProgress, optionsOfModel, requireOwnImages } from "../own-images.ts";
import type { LoadedModel } from "./model.ts";

/** As many images as the paper attacks; as many guides, however many are attacked. */
const usualCount = 1000;

/**
 * The first `count` images of the data (default: `usual`, or all where there are fewer), as the network sees them. Guides are the first 1,000
 * whatever the count, so that what is made of an image does not depend on it.
 * Errors: UserError for a count that is 0 or above the set's, other classes or other channels than the model's.
 */
export async function loadSamples(
  { card, model }: LoadedModel,
  spec: string,
  options: DataOptions & { readonly split: Split; readonly count?: number; readonly usual?: number },
): Promise<{ readonly data: ImageSet; readonly samples: Samples }> {
  const { count: asked, usual = usualCount, split } = options;
  const loaded = await loadWithProgress(spec, split, loadOptions(options, optionsOfModel(card)));
  requireOwnImages(options, [loaded]);
  const all = withClasses(loaded, card.classNames, "attack");
  if (asked !== undefined && (asked < 1 || asked > all.count)) {
    throw new UserError(`count: expected 1 to ${all.count}, as many images as ${all.name} (${all.split}) has, got ${asked}`);
  }
  const data = takeFirst(all, asked ?? Math.min(usual, all.count));
  const guides = Math.min(usualCount, all.count);
  const seen = takeFirst(all, Math.max(data.count, guides));
  const images = await networkImages(seen, model.shape);
  const first = (count: number) => ({
    images: images.subarray(0, count * sizeOfImage(model.shape)),
    labels: seen.labels.subarray(0, count),
  });
  return { data, samples: { ...first(data.count), guides: first(guides) } };
}
