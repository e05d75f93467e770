import { join } from "node:path";
import { type Circumstances, circumstances } from "../core/circumstances.ts";
import { runtimeVersion } from "../runtime/session.ts";
import { train } from "../train/train.ts";
import { type Comparison, compare, type StudyTraining } from "./compare.ts";
import { fingerprintsOf, type StudyData } from "./data.ts";
import { type KeptOutcome, keptOutcome } from "./outcome.ts";
import { chosenTrainings, type PlannedTraining, type Study, trainingsOf } from "./study.ts";
import { type TrainAndMeasureOptions, trainAndMeasure } from "./train-and-measure.ts";

export interface AblateOptions extends Omit<TrainAndMeasureOptions, "train"> {
  /** Folder of the study's trainings, each in `<id>-<seed>`. */
  readonly runs: string;
  /** Trains and measures these variants only (`base` for the base); the result still has all. */
  readonly only?: readonly string[];
  /** Default: `train`. */
  readonly train?: TrainAndMeasureOptions["train"];
  /** Before each training that has yet to be done. */
  readonly onTraining?: (training: PlannedTraining, index: number, total: number) => void;
  /** After each training, and at the end: the study so far. */
  readonly onResult?: (result: StudyResult) => Promise<void>;
}

/** A set of images a study was made with. */
export interface StudySet {
  readonly name: string;
  readonly split: string;
  readonly count: number;
  readonly fingerprint: string;
}

/** What a study says so far. */
export interface StudyResult {
  /** Of the command that wrote this; trainings have their own. */
  readonly circumstances: Circumstances;
  readonly study: Study;
  readonly classNames: readonly string[];
  readonly data: {
    readonly training: StudySet;
    readonly validation: StudySet;
    readonly test: StudySet;
    readonly outliers: readonly StudySet[];
    readonly reported: readonly StudySet[];
  };
  readonly comparison: Comparison;
  /** All of the study's, also those not done yet. `circumstances`: under which it was measured. */
  readonly trainings: readonly (StudyTraining & { readonly circumstances: Circumstances | null })[];
}

/**
 * Trains and measures what a study plans and has not done yet, one training after another; a failed training is part of the result.
 * Errors: those of `keptOutcome` (before anything is trained), `train`, `evaluate` and of `onResult`.
 */
export async function ablate(study: Study, data: StudyData, options: AblateOptions): Promise<StudyResult> {
  const { runs, only, command, onTraining, onResult } = options;
  const folderOf = ({ id, seed }: PlannedTraining) => join(runs, `${id}-${seed}`);
  const fingerprints = fingerprintsOf(data);
  const planned = trainingsOf(study);
  const kept = new Map<string, KeptOutcome>();
  for (const training of planned) {
    const found = keptOutcome(folderOf(training), training, fingerprints);
    if (found) kept.set(folderOf(training), found);
  }
  const due = chosenTrainings(study, only).filter((training) => !kept.has(folderOf(training)));
  const result = () =>
    resultOf(
      study,
      data,
      command,
      planned.map((training) => ({ training, folder: folderOf(training) })),
      kept,
    );
  for (const [index, training] of due.entries()) {
    onTraining?.(training, index, due.length);
    const folder = folderOf(training);
    kept.set(folder, await trainAndMeasure(training, data, folder, { ...options, train: options.train ?? train }));
    await onResult?.(result());
  }
  const last = result();
  if (due.length === 0) await onResult?.(last);
  return last;
}

function resultOf(
  study: Study,
  { training, validation, test, outliers, reported }: StudyData,
  command: string,
  planned: readonly { readonly training: PlannedTraining; readonly folder: string }[],
  kept: ReadonlyMap<string, KeptOutcome>,
): StudyResult {
  const trainings = planned.map(({ training: { id, seed }, folder }) => ({
    id,
    seed,
    folder,
    outcome: kept.get(folder)?.outcome ?? ({ kind: "missing" } as const),
    circumstances: kept.get(folder)?.circumstances ?? null,
  }));
  const described = ({ name, split, count, fingerprint }: StudySet): StudySet => ({ name, split, count, fingerprint });
  return {
    circumstances: circumstances(command, runtimeVersion()),
    study,
    classNames: training.classNames,
    data: {
      training: described(training),
      validation: described(validation),
      test: described(test),
      outliers: outliers.map(described),
      reported: reported.map(described),
    },
    comparison: compare(study, trainings),
    trainings,
  };
}
