import { UserError } from "../core/errors.ts";
import { oneOf } from "../core/names.ts";
import { convertChannels } from "../data/channels.ts";
import { balanced, holdOut, spread, withoutClasses } from "../data/hold-out.ts";
import type { ImageSet } from "../data/image-set.ts";
import { loadOutOfDistribution } from "../data/out-of-distribution.ts";
import { type LoadOptions, loadDataset } from "../data/registry.ts";
import { synthesise } from "../data/synthetic.ts";
import { heldOutSet, type Study } from "./study.ts";

/** What the trainings of a study see, are chosen by, and are reported on. */
export interface StudyData {
  /** The same for every training. */
  readonly training: ImageSet;
  /** Held out of the limited training images; accuracy on them is chosen by. */
  readonly validation: ImageSet;
  /** Told from the validation images; their AUROC is chosen by. None is of a test split. */
  readonly outliers: readonly ImageSet[];
  /** Reported, never chosen by. */
  readonly test: ImageSet;
  /** Told from the test images; reported, never chosen by. First the test images of the held-out classes, where there are any. */
  readonly reported: readonly ImageSet[];
}

export interface StudyDataOptions {
  readonly dataDir?: string;
  /** What stands for `svhn` among the reported sets. */
  readonly svhn?: string;
  /** What loads a data set, where not in silence. */
  readonly load?: (spec: string, split: "train" | "test", options: LoadOptions) => Promise<ImageSet>;
}

/** Of the split into training and validation images, and of the synthetic sets: one for all trainings, so that all are judged by the same images. */
const dataSeed = 0;

/** Errors: as `loadDataset`, `balanced`, `holdOut` and `withoutClasses`; UserError for a class that the data has not (with the nearest match), or a test split that is the training images. */
export async function loadStudyData(study: Study, { dataDir, svhn, load = loadDataset }: StudyDataOptions = {}): Promise<StudyData> {
  const loading: LoadOptions = { imageSize: study.base.config.imageSize, ...(dataDir === undefined ? {} : { dataDir }) };
  const whole = await load(study.data, "train", loading);
  const wholeTest = await load(study.data, "test", whole.origin ? { ...loading, ...whole.origin.choices } : loading);
  if (wholeTest.fingerprint === whole.fingerprint) {
    throw new UserError(
      `${study.data}: a study needs test images of their own, these are the training images; take data with a test split`,
    );
  }
  const heldOut = classNumbers(study.heldOutClasses, whole);
  const train = heldOut.length > 0 ? withoutClasses(whole, heldOut) : { known: whole };
  const test = heldOut.length > 0 ? withoutClasses(wholeTest, heldOut) : { known: wholeTest };
  const limited = study.limit === null ? train.known : balanced(train.known, study.limit);
  const { training, validation } = holdOut(limited, study.validation, dataSeed);
  const outliers = study.outliers.map((name) =>
    name === heldOutSet && "unknown" in train
      ? spread(train.unknown, study.outlierCount)
      : synthesise(name, validation, { count: study.outlierCount, seed: dataSeed }),
  );
  const reported = "unknown" in test ? [test.unknown] : [];
  for (const name of study.reported) {
    const spec = name === "svhn" ? (svhn ?? name) : name;
    const set = await loadOutOfDistribution(spec, test.known, { ...loading, isLabelled: false }, load);
    reported.push(convertChannels(set, whole.channels === 1 ? 1 : 3));
  }
  return { training, validation, outliers, test: test.known, reported };
}

/** A name is a class's name, a number its place from 0. */
function classNumbers(classes: Study["heldOutClasses"], { name, classNames }: ImageSet): number[] {
  const numbers = classes.map((one) => {
    if (typeof one === "string") return classNames.indexOf(oneOf(`class of ${name} in heldOutClasses`, one, classNames));
    if (one < classNames.length) return one;
    throw new UserError(`heldOutClasses: expected a class of ${name} from 0 to ${classNames.length - 1} or its name, got ${one}`);
  });
  const again = numbers.find((c, i) => numbers.indexOf(c) < i);
  if (again !== undefined) throw new UserError(`heldOutClasses: class ${again}, "${classNames[again]}", is there twice`);
  return numbers;
}

/** SHA-256 of every set, by what it is for. */
export const fingerprintsOf = ({ training, validation, outliers, test, reported }: StudyData): Record<string, string> =>
  Object.fromEntries([
    ...Object.entries({ training, validation, test }).map(([what, set]) => [what, set.fingerprint]),
    ...outliers.map((set) => [`outliers: ${set.name}`, set.fingerprint]),
    ...reported.map((set) => [`reported: ${set.name}`, set.fingerprint]),
  ]);
