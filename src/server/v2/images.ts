import { longestSide } from "../../core/resize.ts";
import type { Picture } from "../../data/picture.ts";
import { HttpError } from "../errors.ts";
import { type ParsedRequest, wrong } from "./request.ts";

/** The one input of every model, `images` UINT8 [N, H, W, C], before the model is known. */
export interface ImagesTensor {
  readonly count: number;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  readonly pixels: Uint8Array;
}

/**
 * Checks and reads the input. Errors: HttpError 400 that says what was expected, 413 for an image of more than `mostPixels`, or longer than is read.
 */
export function imagesTensor({ json, binary }: ParsedRequest, mostPixels: number): ImagesTensor {
  const [input, ...others] = json.inputs;
  if (!input || others.length > 0 || input.name !== "images") {
    const names = json.inputs.map(({ name }) => `"${name}"`).join(", ");
    throw wrong(`inputs: expected one, "images", got ${names === "" ? "none" : names}`);
  }
  const { datatype, shape, data, parameters } = input;
  if (datatype !== "UINT8") throw wrong(`images: expected datatype UINT8, got ${datatype}`);
  const [count, height, width, channels] = shape as [number, number, number, number];
  if (shape.length !== 4 || shape.some((size) => size < 1)) {
    throw wrong(`images: expected shape [N, H, W, C] with sizes above 0, got [${shape.join(", ")}]`);
  }
  if (height * width > mostPixels)
    throw new HttpError(413, "image_too_large", `images: ${height} x ${width} is more than ${mostPixels} pixels`);
  if (Math.max(height, width) > longestSide)
    throw new HttpError(413, "image_too_large", `images: ${height} x ${width} is more than ${longestSide} pixels on a side`);
  const size = count * height * width * channels;
  const binarySize = parameters?.["binary_data_size"];
  if (binarySize === undefined) {
    if (binary.length > 0) throw wrong(`images: ${binary.length} bytes follow the JSON part, but no binary_data_size announces them`);
    return { count, height, width, channels, pixels: fromJson(data, shape, size) };
  }
  if (data !== undefined) throw wrong("images: expected data or binary_data_size, got both");
  if (binarySize !== size || binary.length !== size) {
    throw wrong(
      `images: [${shape.join(", ")}] needs ${size} bytes, got binary_data_size ${JSON.stringify(binarySize)} and ${binary.length} bytes after the JSON part`,
    );
  }
  return { count, height, width, channels, pixels: binary };
}

/** Flat or nested as the shape is. */
function fromJson(data: unknown, shape: readonly number[], size: number): Uint8Array {
  if (!Array.isArray(data)) throw wrong("images: expected data, an array of numbers (or binary_data_size)");
  const isNested = Array.isArray(data[0]);
  const length = isNested ? countNested(data, shape) : data.length;
  if (length !== size) throw wrong(`images: [${shape.join(", ")}] has ${size} values, got ${length}`);
  const values: unknown[] = isNested ? data.flat(3) : data;
  const pixels = new Uint8Array(size);
  for (const [i, value] of values.entries()) {
    if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value > 255) {
      throw wrong(`images: value ${i}: expected a whole number from 0 to 255, got ${shown(value)}`);
    }
    pixels[i] = value;
  }
  return pixels;
}

/** Arrays and objects without what is in them: there may be more levels than can be gone down. */
function shown(value: unknown): string {
  if (typeof value === "object" && value !== null) return Array.isArray(value) ? "an array" : "an object";
  return JSON.stringify(value)?.slice(0, 40) ?? "nothing";
}

/** Values of nested arrays, each level as long as the shape says. */
function countNested(data: unknown, [size, ...rest]: readonly number[]): number {
  if (!Array.isArray(data)) throw wrong("images: data is neither flat nor nested as the shape is");
  if (data.length !== size) throw wrong(`images: nested data: expected ${size} elements, got ${data.length}`);
  return rest.length === 0 ? data.length : data.reduce<number>((total, part) => total + countNested(part, rest), 0);
}

/** Each image on its own. Errors: HttpError 400 when the model takes another number of channels. */
export function picturesOf({ count, height, width, channels, pixels }: ImagesTensor, expectedChannels: number): readonly Picture[] {
  if (channels !== expectedChannels) throw wrong(`images: the model takes ${expectedChannels} channel(s) [N, H, W, C], got ${channels}`);
  const size = height * width * channels;
  return Array.from({ length: count }, (_, i) => ({ height, width, channels, pixels: pixels.subarray(i * size, (i + 1) * size) }));
}
