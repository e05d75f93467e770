// The library: train, calibrate, classify, evaluate, attack. Everything exported here is documented where it is defined.

export { type AblateOptions, ablate, type StudyResult } from "./ablate/ablate.ts";
export { loadStudyData, type StudyData } from "./ablate/data.ts";
export { parseStudy, type Study } from "./ablate/study.ts";
export { writeStudy } from "./ablate/write.ts";
export {
  type Attack,
  type AttackDefinition,
  type AttackOptions,
  type AttackOutcome,
  type AttackResult,
  defineAttack,
  runAttack,
  type Samples,
} from "./attacks/attack.ts";
export { attackDefinitions, attackNames, makeAttack } from "./attacks/attacks.ts";
export { bestOfAttacks, overRestarts, overTargets } from "./attacks/combine.ts";
export {
  accepted,
  allOf,
  type Criterion,
  misclassified,
  misclassifiedAndAccepted,
  targeted,
  targetedAndAccepted,
} from "./attacks/criteria.ts";
export { type AttackedModel, GraphModel, loadAttackedModel } from "./attacks/model.ts";
export type { Problem } from "./attacks/problem.ts";
export { type AttackRates, attackRates } from "./attacks/rates.ts";
export { attackInChunks } from "./attacks/run-folder.ts";
export { networkImages } from "./attacks/samples.ts";
export { transfer } from "./attacks/transfer.ts";
export { calibrationsOf, putInForce, sourceOf, thresholdsAt } from "./classify/calibrations.ts";
export type { Calibration, CalibrationSource, ModelCard, ThresholdScope, ThresholdSet } from "./classify/card.ts";
export { type ClassGaussians, classGaussiansOf, distancesToMeans } from "./classify/class-gaussians.ts";
export { decideAt, type ImageVerdict, verdictsOf } from "./classify/classification.ts";
export {
  type Classification,
  Classifier,
  type ClassifierOptions,
  type ClassifyOptions,
  type ImageBatch,
} from "./classify/classifier.ts";
export { type InputGradient, InputGradients } from "./classify/input-gradients.ts";
export { decodeModelFile, encodeModelFile, type ModelFile, readModelFile } from "./classify/model-file.ts";
export { posteriors } from "./classify/posterior.ts";
export { InternalError, Interrupted, UserError } from "./core/errors.ts";
export type { Augmentation } from "./data/augment.ts";
export { convertChannels } from "./data/channels.ts";
export { contactSheet } from "./data/contact-sheet.ts";
export type { DownloadOptions } from "./data/download.ts";
export { type GetOptions, type GotFile, getDataset } from "./data/get.ts";
export { type HeldOut, holdOut } from "./data/hold-out.ts";
export {
  type BrokenFile,
  type ImageOrigin,
  type ImageSet,
  type ImageSetParts,
  imageSet,
  type LoadChoices,
  subset,
  takeFirst,
} from "./data/image-set.ts";
export { encodePng, type Picture, readPicture } from "./data/images.ts";
export { loadOutOfDistribution } from "./data/out-of-distribution.ts";
export { loadImageCsv, loadImageFolder, type OwnImageOptions } from "./data/own-images.ts";
export { augmentationOf, type DatasetName, datasetNames, type LoadOptions, loadDataset, type Split } from "./data/registry.ts";
export { type SyntheticName, type SyntheticOptions, synthesise, syntheticNames } from "./data/synthetic.ts";
export { type FileCheck, verifyDataset } from "./data/verify.ts";
export { type EvaluateOptions, type EvaluationRun, evaluate } from "./evaluate/evaluate.ts";
export type {
  CalibrationEvaluation,
  CoverageAtRisk,
  Evaluation,
  OodEvaluation,
  OodRejectionRow,
  RejectionRow,
  RiskAtCoverage,
} from "./evaluate/evaluation.ts";
export { type BootstrapOptions, bootstrap, type Interval } from "./evaluate/metrics/bootstrap.ts";
export { type EvaluationRecord, evaluationRecord } from "./evaluate/record.ts";
export { assembleReport, type ReportParts } from "./evaluate/report/assemble.ts";
export { renderReport } from "./evaluate/report/page.ts";
export type { RunReport } from "./evaluate/report/types.ts";
export { renderTable } from "./evaluate/summary.ts";
export { type Comparison, compare as compareExport } from "./export/compare.ts";
export { exportSmall, type SmallFormat, type SmallOptions } from "./export/export.ts";
export type { RejectScore } from "./nn/reject-score.ts";
export { type CalibratedModel, type CalibrateOptions, calibrateModel as calibrate } from "./reject/calibrate.ts";
export type { Provider } from "./runtime/session.ts";
export { type ScoreOptions, type ScoreProgress, type ScoreSummary, score } from "./score/score.ts";
export { parseShard, type Shard } from "./score/shard.ts";
export { type AverageOptions, averageRuns } from "./train/average-runs.ts";
export { type PresetName, resolveConfig, type TrainConfig } from "./train/config.ts";
export { fitToCount } from "./train/few-images.ts";
export type { EpochRecord, HistoryRecord, ValidationScore } from "./train/records.ts";
export { listRuns, type Run, type RunState, readRun } from "./train/runs.ts";
export { type TrainOptions, type TrainProgress, type TrainResult, train } from "./train/train.ts";
