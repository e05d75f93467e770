import { existsSync } from "node:fs";
import { dirname, join, parse } from "node:path";
import { encodeModelFile } from "../../classify/model-file.ts";
import { circumstances, commandLine } from "../../core/circumstances.ts";
import { writeFileAtomic } from "../../core/files.ts";
import type { ImageSet } from "../../data/image-set.ts";
import { type LoadOptions, loadDataset } from "../../data/registry.ts";
import type { TrainingFacts } from "../../evaluate/protocols/model-card.ts";
import type { PaperModel } from "../../evaluate/protocols/paper.ts";
import { runtimeVersion } from "../../runtime/session.ts";
import { hasCheckpoint } from "../../train/checkpoint.ts";
import { defaults, resolveConfig, type TrainConfig } from "../../train/config.ts";
import type { TrainResult } from "../../train/train.ts";
import { averageWithProgress } from "../commands/average.ts";
import { trainWithProgress } from "../commands/train.ts";

/** What the command line says to `sdim reproduce`. */
export interface ReproduceOptions {
  readonly models: string;
  readonly out: string;
  /** Where trainings and attacks keep what they have done. */
  readonly runs: string;
  readonly data?: readonly string[];
  /** `PaperModel.id`s */
  readonly only?: readonly string[];
  readonly svhn?: string;
  readonly dataDir?: string;
  /** Images to attack: everywhere, or by name of a data set or of an attack (`PaperAttack.id`). */
  readonly count?: number | ReadonlyMap<string, number>;
  readonly threads?: number;
  readonly train?: boolean;
  readonly list?: boolean;
}

export const modelPath = ({ models }: ReproduceOptions, { id }: PaperModel): string => join(models, id, "model.onnx");

/** What is done without a model that is not there. */
export const withoutModel = (model: PaperModel, options: ReproduceOptions, consequence: string): string =>
  `${model.id}: no ${modelPath(options, model)}, ${consequence} (--train trains it, --models names another folder)`;

/** An attack's own number goes before its data set's; undefined: as many as the paper. */
export const countOf = ({ count }: ReproduceOptions, data: string, attack: string): number | undefined =>
  typeof count === "object" ? (count.get(attack) ?? count.get(data)) : count;

export const loading = ({ dataDir }: ReproduceOptions): LoadOptions => (dataDir === undefined ? {} : { dataDir });

/** `--svhn` says what stands for SVHN, of a folder all images; of a path the last part is its name in what is published. */
export async function outOfDistribution(name: string, options: ReproduceOptions): Promise<ImageSet> {
  if (name !== "svhn" || options.svhn === undefined) return loadDataset(name, "test", loading(options));
  return { ...(await loadDataset(options.svhn, "test", { ...loading(options), isLabelled: false })), name: parse(options.svhn).name };
}

export const trainingFactsPath = (folder: string): string => join(folder, "training.json");

/** Path of the model file, trained first where asked. */
export async function trainedModel(model: PaperModel, options: ReproduceOptions): Promise<string | undefined> {
  const path = modelPath(options, model);
  if (existsSync(path)) return path;
  if (!options.train) return undefined;
  const data = await loadDataset(model.data, "train", loading(options));
  const { model: trained, elapsedSeconds } = await trainStages(model, join(options.runs, model.id), data);
  const facts: TrainingFacts = {
    elapsedSeconds,
    circumstances: circumstances(commandLine("sdim", process.argv.slice(2)), runtimeVersion()),
  };
  writeFileAtomic(trainingFactsPath(dirname(path)), `${JSON.stringify(facts, null, 2)}\n`);
  writeFileAtomic(path, encodeModelFile(trained));
  return path;
}

/** What trainings end with. */
type Trained = Pick<TrainResult, "model" | "elapsedSeconds">;

/** By the recipe and its warm restarts, in folders `-restart-1`, `-restart-2` and so on. A training that was stopped goes on; one that was finished only exports again. */
async function trainStages({ recipe, restarts, averaged = 1 }: PaperModel, out: string, data: ImageSet): Promise<Trained> {
  const stage = (folder: string, config: Partial<TrainConfig>, from?: string) => {
    const resume = hasCheckpoint(folder);
    return trainWithProgress(
      { out: folder, resume, ...(from === undefined || resume ? {} : { from }) },
      resolveConfig({ ...defaults, ...config }),
      data,
    );
  };
  const folders = [out, ...restarts.map((_, i) => `${out}-restart-${i + 1}`)];
  let last = await stage(out, recipe);
  for (const [i, restart] of restarts.entries()) {
    const next = await stage(folders[i + 1]!, { ...recipe, ...restart }, last.modelPath);
    last = { ...next, elapsedSeconds: last.elapsedSeconds + next.elapsedSeconds };
  }
  if (averaged === 1) return last;
  const startedAt = performance.now();
  const before = folders.slice(-averaged, -1).map((folder) => join(folder, "model.onnx"));
  const model = await averageWithProgress({ runs: [...before, folders.at(-1)!], data });
  return { model, elapsedSeconds: last.elapsedSeconds + (performance.now() - startedAt) / 1000 };
}
