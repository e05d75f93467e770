import { UserError } from "../core/errors.ts";
import type { Criterion } from "./criteria.ts";
import { type Distance, type ImageShape, sizeOfImage } from "./distance.ts";
import type { AttackedModel } from "./model.ts";
import type { Guides } from "./problem.ts";

// What images, classes and epsilons that a caller gives must be.

/** What is attacked: images with their classes, and perhaps classes wanted and guides. */
interface Attackable extends Guides {
  readonly targets?: Int32Array;
  readonly guides?: Guides;
}

/** Errors: UserError as of `requireImages`, of guides too; when the criterion needs targets, or a target is no class or the sample's own. */
export function requireSamples(model: AttackedModel, { images, labels, targets, guides }: Attackable, criterion: Criterion): void {
  requireImages(model, "images", { images, labels });
  if (guides) requireImages(model, "guides", guides);
  if (!targets) {
    if (criterion.needsTarget) throw new UserError(`criterion ${criterion.name}: needs a target class per image`);
    return;
  }
  if (targets.length !== labels.length) throw new UserError(`targets: expected ${labels.length}, one per image, got ${targets.length}`);
  requireClasses("targets", targets, model.classes);
  const own = targets.findIndex((target, i) => target === labels[i]);
  if (own >= 0) throw new UserError(`targets: image ${own} is of class ${labels[own]} itself; take another class`);
}

/** Errors: UserError when it is negative, no number, or larger than the distance of any two images. */
export function requireEpsilon(distance: Distance, epsilon: number, shape: ImageShape): void {
  if (!Number.isFinite(epsilon) || epsilon < 0) throw new UserError(`epsilon: expected a number of at least 0, got ${epsilon}`);
  if (distance === "l0" && !Number.isInteger(epsilon))
    throw new UserError(`epsilon: l0 counts pixels; expected a whole number, got ${epsilon}`);
  if (epsilon <= diameter(distance, shape)) return;
  const example = distance === "linf" ? `; 8 of 255 grey levels is ${8 / 255}` : "";
  throw new UserError(
    `epsilon: pixels are in [0, 1], so an ${distance} distance of these images is at most ${diameter(distance, shape)}, got ${epsilon}${example}`,
  );
}

/** The largest distance of two images. */
function diameter(distance: Distance, shape: ImageShape): number {
  if (distance === "linf") return 1;
  return distance === "l0" ? shape.height * shape.width : Math.sqrt(sizeOfImage(shape));
}

/** Errors: UserError when the images have the wrong size or leave [0, 1], or a label is no class. `what`: their name in messages. */
function requireImages({ shape, classes }: AttackedModel, what: string, { images, labels }: Guides): void {
  const size = sizeOfImage(shape);
  if (images.length !== labels.length * size) {
    throw new UserError(
      `${what}: expected ${labels.length} x ${shape.channels} x ${shape.height} x ${shape.width} values for ${labels.length} labels, got ${images.length}`,
    );
  }
  const outside = images.findIndex((value) => !(value >= 0 && value <= 1));
  if (outside >= 0) {
    throw new UserError(
      `${what}: expected values in [0, 1], got ${images[outside]} in image ${Math.floor(outside / size)}; divide bytes by 255`,
    );
  }
  requireClasses(what === "images" ? "labels" : `labels of ${what}`, labels, classes);
}

/** Errors: UserError when a value is no class. */
function requireClasses(what: string, values: Int32Array, classes: number): void {
  const wrong = values.findIndex((value) => value < 0 || value >= classes);
  if (wrong >= 0) throw new UserError(`${what}: expected classes 0 to ${classes - 1}, got ${values[wrong]} for image ${wrong}`);
}
