import { existsSync } from "node:fs";
import { join } from "node:path";
import type { AttackResult, Samples } from "../../attacks/attack.ts";
import { makeAttack } from "../../attacks/attacks.ts";
import { sizeOfImage } from "../../attacks/distance.ts";
import { row } from "../../attacks/rows.ts";
import { attackInChunks } from "../../attacks/run-folder.ts";
import { UserError } from "../../core/errors.ts";
import type { ImageSet } from "../../data/image-set.ts";
import type { PaperModel } from "../../evaluate/protocols/paper.ts";
import { countedAttacks, type PaperAttack, paperCount } from "../../evaluate/protocols/paper-attacks.ts";
import { tablePercentiles } from "../../evaluate/protocols/tables.ts";
import { type AttackSummary, summariseAttack } from "../../evaluate/robustness/summary.ts";
import { withTargets } from "../../evaluate/robustness/targets.ts";
import { type LoadedModel, loadForAttack } from "../attack/model.ts";
import type { AttackConsole } from "../attack/progress.ts";
import { attackSource } from "../attack/record.ts";
import { loadSamples } from "../attack/samples.ts";
import { note } from "../output.ts";
import { countOf, modelPath, type ReproduceOptions, trainedModel, withoutModel } from "./options.ts";
import type { Provenance } from "./write.ts";

/** A model of the paper's with the images that are attacked. */
export interface Subject {
  readonly loaded: LoadedModel;
  readonly data: ImageSet;
  readonly samples: Samples;
}

export interface AttackedSubject {
  readonly result: AttackResult;
  readonly summary: AttackSummary;
  /** Those of the result; of a targeted attack not always those of the subject. */
  readonly samples: Samples;
}

/** Loads models and images once, and runs attacks whose parts are kept, so that what is made again is made of what is there. */
export class AttackRunner {
  private readonly options: ReproduceOptions;
  private readonly terminal: AttackConsole;
  private readonly subjects = new Map<string, Subject | undefined>();

  constructor(options: ReproduceOptions, terminal: AttackConsole) {
    this.options = options;
    this.terminal = terminal;
  }

  /** undefined where the model is not trained. */
  async subject(model: PaperModel): Promise<Subject | undefined> {
    if (!this.subjects.has(model.id)) this.subjects.set(model.id, await this.load(model));
    return this.subjects.get(model.id);
  }

  private async load(model: PaperModel): Promise<Subject | undefined> {
    if ((await trainedModel(model, this.options)) === undefined) {
      note(withoutModel(model, this.options, "its cells stay empty"));
      return undefined;
    }
    const { threads, dataDir } = this.options;
    const counts = countedAttacks.map(({ id }) => countOf(this.options, model.data, id) ?? paperCount);
    const loaded = loadForAttack(modelPath(this.options, model), tablePercentiles, threads === undefined ? {} : { threads });
    const { data, samples } = await loadSamples(loaded, model.data, {
      split: "test",
      // The one image of Tables 4, 6 and 9 is looked for among as many as the paper had.
      usual: Math.max(paperCount, ...counts),
      ...(dataDir === undefined ? {} : { dataDir }),
    });
    return { loaded, data, samples };
  }

  /**
   * Attacks the first samples of the subject, as many as `--count` says of the data or of the attack. A folder serves every count: the parts of fewer
   * samples are parts of more. Errors: UserError when there are not as many.
   */
  run(model: PaperModel, subject: Subject, attack: PaperAttack): Promise<AttackedSubject> {
    const { samples, loaded } = subject;
    const there = samples.labels.length;
    const asked = countOf(this.options, model.data, attack.id);
    if (asked !== undefined && asked > there)
      throw new UserError(`--count: expected at most ${there}, as many images as ${model.data} (test) has, got ${asked}`);
    const count = Math.min(asked ?? paperCount, there);
    const first = {
      ...samples,
      images: samples.images.subarray(0, count * sizeOfImage(loaded.model.shape)),
      labels: samples.labels.subarray(0, count),
    };
    return this.attack(`${model.id}: ${attack.id}`, join(folderOf(model, subject), attack.id), subject, first, attack);
  }

  /** Index of the first sample of a class that the model gets right: others are not attacked. Errors: UserError when there is none. */
  async firstRight({ loaded, data, samples }: Subject, label: number): Promise<number> {
    const { labels } = await loaded.model.score(samples.images);
    const index = samples.labels.findIndex((truth, i) => truth === label && labels[i] === label);
    if (index >= 0) return index;
    throw new UserError(
      `${loaded.path}: gets none of the first ${samples.labels.length} images of ${data.name} right that are of class ${label}, and such a one is what the table shows`,
    );
  }

  /** Attacks one sample alone. */
  runImage(model: PaperModel, subject: Subject, index: number, attack: PaperAttack): Promise<AttackedSubject> {
    const size = sizeOfImage(subject.loaded.model.shape);
    const { images, labels, guides } = subject.samples;
    const samples = { images: row(images, size, index).slice(), labels: labels.slice(index, index + 1), ...(guides ? { guides } : {}) };
    return this.attack(
      `${model.id}: ${attack.id} of image ${index}`,
      join(folderOf(model, subject), `${attack.id}-image-${index}`),
      subject,
      samples,
      attack,
    );
  }

  private async attack(what: string, folder: string, { loaded }: Subject, all: Samples, planned: PaperAttack): Promise<AttackedSubject> {
    const { model, card } = loaded;
    const attack = makeAttack(planned.attack, planned.settings);
    const samples = planned.targets === undefined ? all : (await withTargets(model, all, card.classNames, planned.targets, 0)).samples;
    const result = await attackInChunks(model, samples, attack, {
      model: loaded.sha256,
      folder: join(this.options.runs, "attacks", folder),
      ...(planned.epsilons ? { epsilons: planned.epsilons } : {}),
      // The paper's attacks are measured at each epsilon by itself.
      carryOver: planned.isAdaptive === true,
      checkpoint: this.terminal.checkpoint,
      onProgress: (progress) => this.terminal.show(what, progress, samples.labels.length),
    });
    return { result, summary: await summariseAttack(model, result, loaded.thresholds), samples };
  }

  /** Of every model that was there. */
  provenance(): Provenance[] {
    return [...this.subjects.values()].flatMap((subject) => (subject ? [attackSource(subject.loaded, subject.data)] : []));
  }

  async release(): Promise<void> {
    await Promise.all([...this.subjects.values()].map((subject) => subject?.loaded.model.release()));
  }
}

/** A model that was trained on since is attacked anew. */
const folderOf = ({ id }: PaperModel, { loaded }: Subject): string => join(id, loaded.sha256.slice(0, 16));

/** Whether any of the models is there: a figure without one is no figure. */
export const someTrained = (models: readonly PaperModel[], options: ReproduceOptions): boolean =>
  options.train === true || models.some((model) => existsSync(modelPath(options, model)));
