// The library in a browser: classify, with the verdicts of Node. Everything exported here is documented where it is defined.

export { type BrowserClassifier, type BrowserClassifyOptions, type LoadClassifierOptions, loadClassifier } from "./browser/classifier.ts";
export { centreDigit } from "./browser/drawing.ts";
export type { FetchProgress } from "./browser/fetch-model.ts";
export { type BrowserImage, pictureOf } from "./browser/pictures.ts";
export { calibrationsOf, sourceOf, thresholdsAt } from "./classify/calibrations.ts";
export type { Calibration, CalibrationSource, ModelCard, ThresholdSet } from "./classify/card.ts";
export { type ClassGaussians, distancesToMeans } from "./classify/class-gaussians.ts";
export { type Classification, decideAt, type ImageVerdict, verdictsOf } from "./classify/classification.ts";
export { InternalError, UserError } from "./core/errors.ts";
export type { Picture } from "./data/picture.ts";
export { resizePicture } from "./data/resize.ts";
export { type Device, defaultThreads } from "./runtime/web-session.ts";
