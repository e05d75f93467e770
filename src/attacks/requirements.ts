import { UserError } from "../core/errors.ts";
import { sizeOfImage } from "./distance.ts";
import type { AttackedModel } from "./model.ts";
import type { Guides } from "./problem.ts";

// What images and classes that a caller gives must be.

/** Errors: UserError when the images have the wrong size or leave [0, 1], or a label is no class. `what`: their name in messages. */
export function requireImages({ shape, classes }: AttackedModel, what: string, { images, labels }: Guides): void {
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
export function requireClasses(what: string, values: Int32Array, classes: number): void {
  const wrong = values.findIndex((value) => value < 0 || value >= classes);
  if (wrong >= 0) throw new UserError(`${what}: expected classes 0 to ${classes - 1}, got ${values[wrong]} for image ${wrong}`);
}
